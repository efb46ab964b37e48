"""Brute force: what an axis graph must mean, worked out on real tensors without any of the library's runtime.

An axis is right if permuting it in every tensor that carries it leaves the function as it was, and if indices that
are zero in every such tensor can be cut out. An axis that is missing a carrier fails both.
"""

import copy
import itertools
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.expression import evaluate
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Dim, Interface
from surgery_dsl.interface.ties import SizeTies
from surgery_dsl.modules.integers import set_integer
from surgery_dsl.trace.capture import trace
from surgery_dsl.trace.dtypes import BY_NAME

Order = Mapping[int, Sequence[int]]
"""For some leaf axes, the indices that are kept, in order."""


def spec(*dims: int | str, name: str = "x", dtype: str = "f32", below: int | None = None) -> tuple[InputSpec, ...]:
    return (InputSpec(name=name, dtype=dtype, dims=dims, below=below),)


def free_axes(interface: Interface) -> list[int]:
    """Leaf axes that some tensor carries and that nothing freezes."""
    return [a.id for a in interface.axes if not a.parts and not a.frozen and interface.carriers.get(a.id)]


def width(interface: Interface, axis: int) -> int:
    size = interface.exact_size(axis)
    assert size is not None
    return size


def kept(interface: Interface, dim: Dim, order: Order) -> list[int]:
    """Flat indices of a dimension that are kept, in order."""
    flat = [0]
    for number in dim:
        axis = interface.axes[number]
        if axis.parts:
            own, offset = [], 0
            for part in axis.parts:
                own += [offset + i for i in kept(interface, part, order)]
                offset += len(kept(interface, part, {}))
            length = offset
        else:
            length = width(interface, number)
            own = list(order.get(number, range(length)))
        flat = [i * length + j for i, j in itertools.product(flat, own)]
    return flat


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    found = dict(model.named_parameters(remove_duplicate=False))
    return found | dict(model.named_buffers(remove_duplicate=False))


def gathered(model: nn.Module, interface: Interface, order: Order, wrong: str = "") -> nn.Module:
    """A copy of the model with the given indices of axes; ``wrong`` names a tensor that gets other indices."""
    result = copy.deepcopy(model)
    tensors, made = _tensors(result), dict[int, Tensor]()
    for name, tensor in tensors.items():
        dims = interface.tensor_by_name[name].dims
        if id(tensor) not in made:
            new = tensor.detach()
            for position, dim in enumerate(dims):
                touched = set(interface.leaves(dim)) & order.keys()
                if touched:
                    mine = {a: [(i + 1) % width(interface, a) for i in order[a]] for a in touched}
                    indices = kept(interface, dim, mine if name == wrong else order)
                    new = new.index_select(position, torch.tensor(indices))
            made[id(tensor)] = nn.Parameter(new) if isinstance(tensor, nn.Parameter) else new.clone()
        path, _, leaf = name.rpartition(".")
        module = result.get_submodule(path)
        (module._parameters if leaf in module._parameters else module._buffers)[leaf] = made[id(tensor)]  # type: ignore[assignment]
    for module in interface.modules:
        for attribute, dim in module.integers.items():
            set_integer(result.get_submodule(module.path), attribute, len(kept(interface, dim, order)))
    return result


def planted(model: nn.Module, interface: Interface, order: Order) -> nn.Module:
    """A copy of the model whose tensors are zero at every index that ``order`` does not keep."""
    result = copy.deepcopy(model)
    for name, tensor in _tensors(result).items():
        if not tensor.is_floating_point() or name.endswith("running_var"):
            continue
        for position, dim in enumerate(interface.tensor_by_name[name].dims):
            if set(interface.leaves(dim)) & order.keys():
                mask = torch.zeros(tensor.shape[position], dtype=tensor.dtype)
                mask[kept(interface, dim, order)] = 1
                shape = [-1 if i == position else 1 for i in range(tensor.dim())]
                tensor.data.mul_(mask.view(shape))
    return result


def shaken(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model in float64 with every floating tensor drawn anew, so that no index is like another."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    for name, tensor in _tensors(model).items():
        if tensor.is_floating_point():
            noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
            fan = max(1, tensor.numel() // max(1, tensor.shape[0])) if tensor.dim() > 1 else 1
            tensor.data = noise.abs() + 0.5 if name.endswith("running_var") else 1.3 * noise / fan**0.5
    return model


def inputs_for(specs: Sequence[InputSpec], sizes: Mapping[str, int], seed: int = 1) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    made: dict[str, Tensor] = {}
    for one in specs:
        shape = [d if isinstance(d, int) else sizes[d] for d in one.dims]
        if BY_NAME[one.dtype].is_floating_point:
            made[one.name] = torch.randn(shape, generator=generator, dtype=torch.float64)
        else:
            made[one.name] = torch.randint(0, one.below or 2, shape, generator=generator)
    return made


def outputs(model: nn.Module, given: Mapping[str, Tensor]) -> Tensor:
    """All results of a model in one row."""
    with torch.no_grad():
        result = model(*given.values()) if len(given) == 1 else model(**given)
    parts = [result] if isinstance(result, Tensor) else list(result.values() if isinstance(result, dict) else result)
    return torch.cat([part.flatten() for part in parts])


def error(a: Tensor, b: Tensor) -> float:
    """Largest difference relative to the largest value; infinite where the shapes differ."""
    if a.shape != b.shape:
        return float("inf")
    scale = max(a.abs().max().item(), b.abs().max().item())
    assert scale > 1e-3, "the network says nothing: the check would be void"
    return (a - b).abs().max().item() / scale


def assert_permutable(
    model: nn.Module,
    interface: Interface,
    given: Mapping[str, Tensor],
    axes: Sequence[int] | None = None,
    control: bool = True,
) -> None:
    """Every free axis may be permuted in all of its carriers at once, and in no fewer."""
    before = outputs(model, given)
    for axis in free_axes(interface) if axes is None else axes:
        size = width(interface, axis)
        order = {axis: [*range(1, size), 0] if size > 2 else [1, 0]}
        label = interface.axes[axis].label
        assert error(before, outputs(gathered(model, interface, order), given)) < 1e-9, f"{label} is not whole"
        carriers = list(dict.fromkeys(name for name, _ in interface.carriers[axis]))
        told = (error(before, outputs(gathered(model, interface, order, wrong=name), given)) for name in carriers)
        assert not control or len(carriers) == 1 or any(wrong > 1e-6 for wrong in told), (
            f"{label}: the check cannot tell"
        )


def tied_along(cuts: Mapping[int, list[int]], interface: Interface) -> dict[int, list[int]]:
    """The cuts, and as many indices of every axis whose size is tied to theirs."""
    following = SizeTies(interface).following({axis: len(indices) for axis, indices in cuts.items()})
    assert isinstance(following, dict), following
    return {**cuts, **{axis: list(range(n)) for axis, n in following.items()}}


def assert_removable(
    model: nn.Module,
    interface: Interface,
    given: Mapping[str, Tensor],
    axes: Sequence[int] | None = None,
    control: bool = True,
) -> None:
    """Indices of a free axis that are zero in all carriers may be cut; all axes at once as well."""
    chosen = free_axes(interface) if axes is None else list(axes)
    cuts: dict[int, list[int]] = {}
    alone: list[dict[int, list[int]]] = []
    for axis in chosen:
        size = width(interface, axis)
        if size > 1:
            cuts[axis] = [i for i in range(size) if i % 3 != 1 or (size == 2 and i == 0)]
            alone.append(tied_along({axis: cuts[axis]}, interface))
    for order in [*alone, tied_along(cuts, interface)]:
        reference = outputs(planted(model, interface, order), given)
        small = gathered(model, interface, order)
        labels = ", ".join(interface.axes[axis].label for axis in order)
        assert error(reference, outputs(small, given)) < 1e-9, f"{labels} cannot be cut"
    for axis, order in zip(cuts, alone, strict=True):
        carriers = list(dict.fromkeys(name for name, _ in interface.carriers[axis]))
        reference = outputs(planted(model, interface, order), given)
        told = (error(reference, outputs(gathered(model, interface, order, wrong=name), given)) for name in carriers)
        label = interface.axes[axis].label
        assert not control or len(carriers) == 1 or any(wrong > 1e-6 for wrong in told), (
            f"{label}: the check cannot tell"
        )


def parameters(interface: Interface) -> int:
    total = 0
    for tensor in interface.tensors:
        if tensor.role == "parameter" and not tensor.tied_to:
            exact = interface.numel(tensor).substitute(interface.exact_size).value
            assert exact is not None
            total += exact
    return total


def macs(interface: Interface, sizes: Mapping[str, int]) -> int:
    def size(axis: int) -> int | None:
        found = interface.axes[axis].size
        return evaluate(found, sizes)  # type: ignore[arg-type]

    total = 0
    for operator in interface.operators:
        for dim in operator.macs:
            count = interface.size(dim).substitute(size).value
            assert count is not None
            total += count
    return total


def assert_counts(
    model: nn.Module, interface: Interface, given: Mapping[str, Tensor], sizes: Mapping[str, int]
) -> None:
    """Parameters and multiply-accumulates are those of torch."""
    assert parameters(interface) == sum(p.numel() for p in model.parameters())
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):  # else it misses attention
        outputs(model, given)
    assert 2 * macs(interface, sizes) == counter.get_total_flops()


def assert_right(
    build: Callable[[], nn.Module],
    specs: tuple[InputSpec, ...],
    sizes: Mapping[str, int],
    removable: bool = True,
    least: int = 1,
    control: bool = True,
) -> Interface:
    """Trace a network and hold every free axis to the oracle; return the interface.

    Without ``control`` it is not asked that a wrong coupling would be noticed (units may be dead in drawn networks).
    """
    torch.manual_seed(0)
    model = build()
    interface = trace(model, specs)
    model = shaken(model)
    given = inputs_for(specs, sizes)
    assert len(free_axes(interface)) >= least
    assert_permutable(model, interface, given, control=control)
    if removable:
        assert_removable(model, interface, given, control=control)
    assert_counts(model, interface, given, sizes)
    assert_retraceable(build(), interface, specs)
    return interface


def resized(interface: Interface, sizes: Mapping[int, int]) -> Interface:
    axes = tuple(a.replaced(size=sizes[a.id]) if a.id in sizes else a for a in interface.axes)
    return interface.replaced(axes=axes)


def assert_retraceable(model: nn.Module, interface: Interface, specs: tuple[InputSpec, ...]) -> None:
    """A model that was cut has the interface that the cut predicts."""
    order = {a: range(1 + width(interface, a) // 2) for a in free_axes(interface)}
    small = gathered(model, interface, order)
    predicted = resized(interface, {axis: len(indices) for axis, indices in order.items()})
    assert differences(predicted, trace(small, specs)) == ()


def names(interface: Interface) -> list[tuple[str, str]]:
    return [(operator.kind, operator.path) for operator in interface.operators]


def reasons(interface: Interface, place: str) -> list[str]:
    """Why the leaf axes of a dimension (``a.weight[0]``) keep their sizes; empty texts for those that are free."""
    name, _, dim = place.rstrip("]").partition("[")
    return [interface.axes[a].frozen for a in interface.leaves(interface.tensor_by_name[name].dims[int(dim)])]


def assert_rule(
    build: Callable[[], nn.Module],
    specs: tuple[InputSpec, ...],
    free: Sequence[str],
    held: Mapping[str, str] | None = None,
    sizes: Mapping[str, int] | None = None,
    removable: bool = True,
    retraceable: bool = True,
) -> Interface:
    """Hold an operator's rule to brute force on a tiny network around it.

    Every axis that is called free is permuted in all of its carriers, and cut where it is planted with zeros, in
    float64, each beside a control that is coupled wrongly. A rule that froze everything would pass that, one that
    frees too much would not: so dimensions that must be ``free`` are named, and those that must be ``held`` with a
    word of the reason.

    Args:
        build: Makes the network.
        specs: Its inputs.
        free: Dimensions with at least one free axis (``a.weight[0]``).
        held: Dimensions of which every axis is frozen or the contract's, and what one of the reasons says.
        sizes: Sizes of free input dimensions.
        removable: Whether entries of zero leave the function as it is when they go (not so for means).
        retraceable: Whether the smaller network must trace to the predicted interface.
    """
    torch.manual_seed(0)
    model = build()
    interface = trace(model, specs)
    for place in free:
        assert "" in reasons(interface, place), f"{place} is held: {reasons(interface, place)}"
    for place, word in (held or {}).items():
        found = reasons(interface, place)
        assert all(found), f"{place} is free"
        assert any(word in one for one in found), f"{place} is held: {found}"
    model = shaken(model)
    given = inputs_for(specs, sizes or {})
    assert_permutable(model, interface, given)
    if removable:
        assert_removable(model, interface, given)
    if retraceable:
        torch.manual_seed(0)
        assert_retraceable(build(), interface, specs)
    return interface
