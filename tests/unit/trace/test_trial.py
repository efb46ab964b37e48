"""Sizes that a forward holds as numbers are found, and only those."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.interface.model import Interface
from surgery_dsl.trace.capture import trace
from tests.unit.trace.oracle import assert_permutable, assert_removable, free_axes, inputs_for, shaken, spec


def reason(interface: Interface, tensor: str, dim: int) -> list[str]:
    return [interface.axes[axis].frozen for axis in interface.leaves(interface.tensor_by_name[tensor].dims[dim])]


class HardView(nn.Module):
    """The first width is a number in the forward; the second is read from the tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x).view(-1, 6)
        x = self.b(F.relu(x))
        return self.c(x.view(-1, x.shape[-1]))


class Heads(nn.Module):
    """``heads`` is an attribute; the size of a head follows from the tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 2
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        x = x.view(x.shape[0], self.heads, x.shape[1] // self.heads)
        return self.b(torch.tanh(x).flatten(1))


class Chunks(nn.Module):
    """Halves that nothing couples but ``chunk``, which needs them equally large."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = nn.Linear(4, 8), nn.Linear(4, 5), nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        left, right = self.a(x).chunk(2, dim=1)
        return self.d(torch.tanh(self.b(left)) + self.c(right))


class Scaled(nn.Module):
    """A scale is computed from a width: cutting it would change the function."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        return self.b(x / x.shape[1] ** 0.5)


class FunctionalGroups(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.w = nn.Conv2d(2, 6, 1), nn.Parameter(torch.zeros(6, 3, 3, 3))
        self.b = nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(F.conv2d(torch.tanh(self.a(x)), self.w, groups=2)))


def test_a_width_that_a_view_holds_as_a_number_is_frozen_and_the_line_named() -> None:
    interface = trace(HardView(), spec("N", 4))
    (text,) = reason(interface, "a.weight", 0)
    assert "view" in text
    assert "number" in text
    assert "test_trial.py:" in text
    assert reason(interface, "b.weight", 0) == [""]


def test_the_number_of_heads_follows_from_the_attribute_that_the_forward_reads() -> None:
    interface = trace(Heads(), spec("N", 4))
    heads, size = reason(interface, "a.weight", 0)
    assert (heads, size) == ("", "")
    assert interface.module_by_path[""].integers == {"heads": interface.tensor_by_name["a.weight"].dims[0][:1]}
    model = shaken(Heads())
    given = inputs_for(spec("N", 4), {"N": 3})
    assert_permutable(model, interface, given)
    assert_removable(model, interface, given)


def test_halves_that_must_stay_equal_are_tied() -> None:
    interface = trace(Chunks(), spec("N", 4))
    (tie,) = interface.size_ties
    assert {axis for dim in tie.dims for axis in dim} == set(
        interface.leaves(interface.tensor_by_name["a.weight"].dims[0])
    )
    assert reason(interface, "a.weight", 0) == ["", ""]
    assert reason(interface, "b.weight", 0) == [""]
    model, given = shaken(Chunks()), inputs_for(spec("N", 4), {"N": 3})
    assert_removable(model, interface, given)


def test_a_scale_that_follows_from_a_width_freezes_it() -> None:
    interface = trace(Scaled(), spec("N", 4))
    (text,) = reason(interface, "a.weight", 0)
    assert "follows from its size" in text


class ScaledByTensor(nn.Module):
    """A scale is computed from a tensor that was made of a width."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.b(torch.tanh(x / torch.sqrt(torch.tensor(x.shape[-1], dtype=torch.float32))))


class DividedByWidth(nn.Module):
    """A sum is divided by a width, an integer."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.a(x))
        return self.b(x / x.shape[-1])


class CutTable(nn.Module):
    """Rows from the third on are read; where they begin is a number in the forward."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.a = nn.Parameter(torch.randn(8, 5)), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.a(x) @ self.table[2:6].T


@pytest.mark.parametrize("kind", [ScaledByTensor, DividedByWidth])
def test_a_number_that_follows_from_a_width_by_way_of_a_tensor_or_an_integer_freezes_it(kind: type[nn.Module]) -> None:
    (text,) = reason(trace(kind(), spec("N", 4)), "a.weight", 0)
    assert "follows from its size" in text


def test_what_lies_before_a_slice_is_frozen_where_the_slice_begins_at_a_number() -> None:
    before, _, behind = reason(trace(CutTable(), spec("N", 4)), "table", 0)
    assert "holds its size as a number" in before
    assert behind == ""


def test_groups_of_a_functional_convolution_are_frozen_but_not_the_channels_in_them() -> None:
    interface = trace(FunctionalGroups(), spec("N", 2, 5, 7))
    groups, channels = reason(interface, "w", 0)
    assert groups
    assert channels == ""


class Repeated(nn.Module):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(HardView() for _ in range(depth))
        self.up = nn.ModuleList(nn.Linear(3, 4) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        for block, up in zip(self.blocks, self.up, strict=True):
            x = up(block(x))
        return x


def test_the_same_line_in_many_modules_is_found_without_a_trial_for_each(monkeypatch: "object") -> None:
    from surgery_dsl.trace import trial

    runs = 0
    record = trial.record

    def counted(*args: object, **kwargs: object) -> object:
        nonlocal runs
        runs += 1
        return record(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(trial, "record", counted)  # type: ignore[attr-defined]
    interface = trace(Repeated(12), spec("N", 4))
    assert all(reason(interface, f"blocks.{i}.a.weight", 0) != [""] for i in range(12))
    assert all(reason(interface, f"blocks.{i}.b.weight", 0) == [""] for i in range(12))
    assert len(free_axes(interface)) == 12 + 12 + 11
    assert runs < 8


def test_whose_fault_an_objection_is_needs_no_forward_to_the_end() -> None:
    model = Repeated(12)
    ends: list[int] = []
    model.up[11].register_forward_hook(lambda *_: ends.append(1))
    trace(model, spec("N", 4))
    assert len(ends) == 4  # the free size at two values and a far one, and the trial that nothing objects to


def test_a_run_ends_after_the_call_that_is_wanted_and_leaves_the_model_as_it_was() -> None:
    from surgery_dsl.trace.forward import record

    model = Repeated(2)
    before = [id(parameter) for parameter in model.parameters()]
    (whole,), (some,) = (record(model, spec("N", 4), [{"N": 2}], until=until) for until in (None, 3))
    assert len(whole.records) > 4
    assert [call.operation.name for call in some.records] == [call.operation.name for call in whole.records[:4]]
    assert [id(parameter) for parameter in model.parameters()] == before
