"""One spelling, and sentences for what differs."""

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.interface.canonical import canonical, differences
from surgery_dsl.interface.model import Dim, Extent, Interface
from surgery_dsl.trace.capture import trace
from tests.unit.trace.oracle import spec


class Net(nn.Module):
    def __init__(self, hidden: int = 6, act: type[nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.a, self.act, self.b = nn.Linear(4, hidden), act(), nn.Linear(hidden, 5)
        self.c = nn.Linear(2 * 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.b(self.act(self.a(x)))
        return self.c(torch.cat([x, torch.tanh(x)], 1))


@pytest.fixture(scope="module")
def traced() -> Interface:
    return trace(Net(), spec("N", 4))


def scrambled(interface: Interface, seed: int) -> Interface:
    """The same interface with axes and values numbered anew, in another order, and odds and ends added."""
    shuffle = random.Random(seed).shuffle
    extra = interface.axes[0].replaced(size=1, frozen="")
    axes, values = list(range(len(interface.axes) + 1)), list(range(len(interface.values) + 1))
    shuffle(axes)
    shuffle(values)

    def dim(old: Dim) -> Dim:
        return (*(axes[a] for a in old), axes[-1])

    def dims(old: tuple[Dim, ...]) -> tuple[Dim, ...]:
        return tuple(dim(d) for d in old)

    new_axes = [a.replaced(id=axes[i], parts=dims(a.parts)) for i, a in enumerate((*interface.axes, extra))]
    new_values = [v.replaced(dims=dims(v.dims)) for v in (*interface.values, interface.values[0])]
    renamed = {
        "axes": tuple(sorted(new_axes, key=lambda a: a.id)),
        "values": tuple(v for _, v in sorted(zip(values, new_values, strict=True), key=lambda pair: pair[0])),
        "tensors": tuple(t.replaced(dims=dims(t.dims)) for t in reversed(interface.tensors)),
        "modules": tuple(
            m.replaced(integers={k: dim(d) for k, d in m.integers.items()}) for m in reversed(interface.modules)
        ),
        "operators": tuple(
            op.replaced(
                inputs=tuple(values[v] for v in op.inputs),
                outputs=tuple(values[v] for v in op.outputs),
                macs=dims(op.macs),
            )
            for op in interface.operators
        ),
        "calls": tuple(
            c.replaced(inputs=tuple(values[v] for v in c.inputs), outputs=tuple(values[v] for v in c.outputs))
            for c in interface.calls
        ),
        "inputs": tuple(p.replaced(value=values[p.value]) for p in interface.inputs),
        "outputs": tuple(p.replaced(value=values[p.value]) for p in interface.outputs),
    }
    return interface.replaced(**renamed)


@pytest.mark.parametrize("seed", range(5))
def test_numbering_is_no_difference(traced: Interface, seed: int) -> None:
    other = scrambled(traced, seed)
    assert other != traced
    assert canonical(other) == canonical(traced)
    assert differences(traced, other) == differences(other, traced) == ()


def test_canonical_is_idempotent_and_says_the_same(traced: Interface) -> None:
    once = canonical(traced)
    assert canonical(once) == once
    assert differences(once, traced) == ()
    assert [t.name for t in once.tensors] == sorted(t.name for t in traced.tensors)


def test_labels_sources_and_wording_are_no_difference(traced: Interface) -> None:
    other = traced.replaced(
        axes=tuple(a.replaced(label="x", frozen="for another reason" if a.frozen else "") for a in traced.axes),
        operators=tuple(op.replaced(source="elsewhere.py:1") for op in traced.operators),
        requirements=(),
    )
    assert differences(traced, other) == ()


def test_an_open_size_with_one_value_is_that_number(traced: Interface) -> None:
    open_ = traced.replaced(
        axes=tuple(a.replaced(size=Extent(least=6, most=6)) if a.size == 6 else a for a in traced.axes)
    )
    assert differences(open_, traced) == ()


def _axis(interface: Interface, tensor: str, position: int) -> int:
    return interface.tensor_by_name[tensor].dims[position][0]


def _resized(i: Interface) -> Interface:
    return i.replaced(axes=tuple(a.replaced(size=9) if a.size == 6 else a for a in i.axes))


def _frozen(i: Interface) -> Interface:
    axis = _axis(i, "a.weight", 0)
    return i.replaced(axes=tuple(a.replaced(frozen="held") if a.id == axis else a for a in i.axes))


def _uncoupled(i: Interface) -> Interface:
    loose = i.axes[_axis(i, "a.weight", 0)].replaced(id=len(i.axes))
    tensors = tuple(t.replaced(dims=(t.dims[0], (loose.id,))) if t.name == "b.weight" else t for t in i.tensors)
    return i.replaced(axes=(*i.axes, loose), tensors=tensors)


def _coupled(i: Interface) -> Interface:
    axis = _axis(i, "b.weight", 0)
    tensors = tuple(t.replaced(dims=((axis,),)) if t.name == "a.bias" else t for t in i.tensors)
    return i.replaced(tensors=tensors)


def _tensor(change: Callable[[Interface], dict[str, object]], name: str) -> Callable[[Interface], Interface]:
    def apply(i: Interface) -> Interface:
        return i.replaced(tensors=tuple(t.replaced(**change(i)) if t.name == name else t for t in i.tensors))

    return apply


def _operator(name: str, **change: object) -> Callable[[Interface], Interface]:
    def apply(i: Interface) -> Interface:
        return i.replaced(operators=tuple(o.replaced(**change) if o.path == name else o for o in i.operators))

    return apply


MUTATIONS: dict[str, tuple[Callable[[Interface], Interface], tuple[str, ...]]] = {
    "size": (_resized, ("`a.weight` dimension 0", "6", "9")),
    "frozen": (_frozen, ("`a.weight` dimension 0", "frozen", "held")),
    "uncoupled": (_uncoupled, ("`b.weight` dimension 1", "share")),
    "coupled": (_coupled, ("`a.weight` dimension 0", "`a.bias` dimension 0")),
    "dtype": (_tensor(lambda i: {"dtype": "f16"}, "a.weight"), ("`a.weight`", "f32", "f16")),
    "role": (_tensor(lambda i: {"role": "buffer"}, "a.weight"), ("`a.weight`", "parameter", "buffer")),
    "tie": (_tensor(lambda i: {"tied_to": "a.bias"}, "c.bias"), ("`c.bias`", "`a.bias`")),
    "rank": (_tensor(lambda i: {"dims": ()}, "c.bias"), ("`c.bias`", "1 dimensions", "0")),
    "missing tensor": (lambda i: i.replaced(tensors=i.tensors[:-1]), ("`c.bias`", "predicted")),
    "missing module": (lambda i: i.replaced(modules=i.modules[:-1]), ("`c`", "predicted")),
    "type": (
        lambda i: i.replaced(
            modules=tuple(m.replaced(type="torch.nn.GELU") if m.path == "act" else m for m in i.modules)
        ),
        ("`act`", "torch.nn.ReLU", "torch.nn.GELU"),
    ),
    "integer": (
        lambda i: i.replaced(
            modules=tuple(
                m.replaced(integers={"in_features": m.integers["out_features"]}) if m.path == "a" else m
                for m in i.modules
            )
        ),
        ("`a`", "out_features"),
    ),
    "kind": (_operator("act", kind="gelu"), ("relu", "gelu", "`act`")),
    "setting": (_operator("act", settings={"alpha": 1.0}), ("`act`", "alpha", "1.0")),
    "read tensor": (_operator("a", tensors={"weight": "a.weight"}), ("`a`", "bias", "a.bias")),
    "macs": (_operator("a", macs=()), ("`a`", "multiply-accumulates", "0")),
    "flow": (_operator("/tanh#0", inputs=(0,)), ("`/tanh#0`", "reads")),
    "fewer operators": (lambda i: i.replaced(operators=i.operators[:-1]), ("6 operators", "5")),
    "call": (
        lambda i: i.replaced(calls=tuple(c.replaced(last=3) if c.module == "a" else c for c in i.calls)),
        ("`a`", "0-1", "0-3"),
    ),
    "no call": (lambda i: i.replaced(calls=i.calls[:-1]), ("`c`",)),
    "port": (lambda i: i.replaced(outputs=(i.outputs[0].replaced(name="y"),)), ("output", "y")),
    "port value": (lambda i: i.replaced(outputs=(i.outputs[0].replaced(value=1),)), ("`output`", "another value")),
    "value dtype": (
        lambda i: i.replaced(values=tuple(v.replaced(dtype="f16") if n == 2 else v for n, v in enumerate(i.values))),
        ("`act` result", "f32", "f16"),
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_change_is_told(traced: Interface, name: str) -> None:
    mutate, words = MUTATIONS[name]
    found = differences(traced, mutate(traced))
    assert found
    assert any(all(word in sentence for word in words) for sentence in found), found
    assert differences(mutate(traced), traced)


def test_two_networks_differ_where_they_do(traced: Interface) -> None:
    found = differences(traced, trace(Net(act=nn.GELU), spec("N", 4)))
    assert any("relu `act`" in sentence and "gelu `act`" in sentence for sentence in found)
    found = differences(traced, trace(Net(hidden=7), spec("N", 4)))
    assert found == ("`a.weight` dimension 0 is 6 in the prediction, 7 in the trace",)


def test_sums_are_compared_part_by_part(traced: Interface) -> None:
    class Other(Net):
        def forward(self, x: Tensor) -> Tensor:
            x = self.b(self.act(self.a(x)))
            return self.c(torch.cat([torch.tanh(x), torch.tanh(x)], 1))

    assert differences(traced, trace(Other(), spec("N", 4)))
    with_sum = next(a for a in traced.axes if a.parts)
    other = traced.replaced(
        axes=tuple(a.replaced(parts=(*a.parts, a.parts[0])) if a is with_sum else a for a in traced.axes)
    )
    assert any("sum of 2" in s and "of 3" in s for s in differences(traced, other))


class Grouped(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.function(x)
        return found


GROUPS: dict[int, Callable[[Tensor], Tensor]] = {
    1: lambda x: nn.functional.group_norm(x, 1),
    2: lambda x: nn.functional.group_norm(x, 2),
    8: lambda x: nn.functional.group_norm(x, 8),
}


@pytest.mark.parametrize("mine", GROUPS)
@pytest.mark.parametrize("theirs", GROUPS)
def test_norms_over_other_groups_differ(mine: int, theirs: int) -> None:
    """One group of all channels, and a group for each, have the same shapes throughout and other outputs."""
    one, two = (trace(Grouped(GROUPS[count]), spec("N", 8, 6, 6)) for count in (mine, theirs))
    x = torch.randn(2, 8, 6, 6)
    assert (not differences(one, two)) == torch.equal(GROUPS[mine](x), GROUPS[theirs](x))
