"""Mixtures of experts, found by what the forward does: a router chooses entries of stacked weights.

The expert axis is what a linear layer (the router) writes, a softmax or a choice of the greatest runs over, and
parameters of three dimensions or more carry as their first; or it indexes a list of modules, and these are the experts.
A router with as many modules, or matrices, beside it that nothing ties to its axis is a mixture too: one whose forward
could not be followed, and which keeps its experts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from surgery_dsl.interface import frozen
from surgery_dsl.interface.flow import WEIGHTED, Flow, unit_dim
from surgery_dsl.interface.model import Interface, Operator
from surgery_dsl.interface.paths import common, list_holder

FEWEST_LISTED = 2
"""Experts of a list that must stay: a loop is known by two turns or more."""
_CHOICES = frozenset({"topk", "softmax", "sort", "argmax", "max"})


@dataclass(frozen=True)
class Mixture:
    """One mixture of experts.

    Attributes:
        axis: The axis that counts experts.
        module: Path of the innermost module that holds the experts: their stacked weights, or the list of them.
        holder: Path of the smallest module that holds them and the router.
        router: Position of the router among the operators.
        chosen: How many experts each token goes through; 0 where all of them are.
        choice: Path of the operator that chooses; empty where none does.
        lists: Paths of the lists of experts; empty where these are stacked weights alone.
    """

    axis: int
    module: str
    holder: str
    router: int
    chosen: int
    choice: str
    lists: tuple[str, ...] = ()


def mixtures(flow: Flow) -> tuple[Mixture, ...]:
    """Return the mixtures of experts of a network, in the order of the forward."""
    interface = flow.interface
    stacked = _stacked(interface)
    homes = _homes(interface, stacked)
    found: dict[int, Mixture] = {}
    for at, operator in enumerate(interface.operators):
        if operator.kind != "linear":
            continue
        dim = unit_dim(interface, operator)
        if len(dim) == 1 and dim[0] not in found and _is_chosen_from(dim[0], interface):
            (axis,) = dim
            home = homes.get(axis) or _beside(axis, operator.module, interface, stacked)
            if not home:
                continue
            inner = common(sorted(home))
            choice = next(_choices(axis, interface), None)
            found[axis] = Mixture(
                axis=axis,
                module=inner,
                holder=common([inner, operator.module]),
                router=at,
                chosen=chosen_along(axis, interface),
                choice=choice.path if choice is not None else "",
                lists=tuple(one.path for one in interface.indexed if one.dim == dim),
            )
    return tuple(found.values())


def is_routed(axis: int, interface: Interface) -> bool:
    """Whether a router writes an axis, and something is chosen along it."""
    written = any(op.kind == "linear" and unit_dim(interface, op) == (axis,) for op in interface.operators)
    return written and _is_chosen_from(axis, interface)


def chosen_along(axis: int, interface: Interface) -> int:
    """Return how many indices of an axis are chosen for each token; 0 where all of them are."""
    choice = next(_choices(axis, interface), None)
    chosen = choice.settings.get("k", 1) if choice is not None else 0
    return chosen if isinstance(chosen, int) else 1


def _homes(interface: Interface, stacked: Mapping[int, list[str]]) -> dict[int, set[str]]:
    """Return, for each axis, the modules that hold what it counts: stacked parameters, or a list of modules."""
    found = {axis: {name.rpartition(".")[0] for name in names} for axis, names in stacked.items()}
    for one in interface.indexed:
        found.setdefault(one.dim[0], set()).add(list_holder(one.path)[0])
    return found


def _beside(axis: int, router: str, interface: Interface, stacked: Mapping[int, list[str]]) -> set[str]:
    """Return the modules beside a router that hold as many modules, or stacked matrices, as its frozen axis counts."""
    size, reason = interface.exact_size(axis), interface.axes[axis].frozen
    if not reason or reason in (frozen.INPUT, frozen.OUTPUT) or size is None or size < FEWEST_LISTED:
        return set()
    beside = [path for path in (router.rpartition(".")[0], router.rpartition(".")[0].rpartition(".")[0]) if path]
    near = dict.fromkeys(child for path in beside for child in (path, *interface.children.get(path, ())))
    held = {name.rpartition(".")[0] for names in stacked.values() for name in names}
    alike = [names for other, names in stacked.items() if interface.exact_size(other) == size]
    counted = {name.rpartition(".")[0] for names in alike for name in names}
    return {path for path in near if path in counted or (path not in held and _numbered(path, interface) == size)}


def _numbered(path: str, interface: Interface) -> int:
    """Return how many modules right below one go by numbers, and by them alone."""
    names = [child.rpartition(".")[2] for child in interface.children.get(path, ())]
    stems = {name.rstrip("0123456789") for name in names}
    return len(names) if len(stems) == 1 and all(name[-1].isdecimal() for name in names) else 0


def _stacked(interface: Interface) -> dict[int, list[str]]:
    """Return, for each axis, the parameters that are stacks along it and no layer's weight."""
    layers = {
        op.tensors["weight"]
        for op in interface.operators
        if op.kind in WEIGHTED and "weight" in op.tensors
        # What a linear layer reads of three dimensions is one matrix of a stack.
        if op.kind != "linear" or len(interface.tensor_by_name[op.tensors["weight"]].dims) < 3
    }
    found: dict[int, list[str]] = {}
    for tensor in interface.tensors:
        stacked = tensor.role == "parameter" and len(tensor.dims) > 2 and len(tensor.dims[0]) == 1
        if stacked and tensor.name not in layers:
            found.setdefault(tensor.dims[0][0], []).append(tensor.name)
    return found


def _over(operator: Operator, axis: int, interface: Interface) -> bool:
    """Whether an operator runs over an axis."""
    position = operator.settings.get("dim")
    if isinstance(position, tuple) and len(position) == 1:
        (position,) = position
    if not operator.inputs or not isinstance(position, int):
        return False
    dims = interface.values[operator.inputs[0]].dims
    return -len(dims) <= position < len(dims) and axis in interface.leaves(dims[position])


def _is_chosen_from(axis: int, interface: Interface) -> bool:
    return any(operator.kind in _CHOICES and _over(operator, axis, interface) for operator in interface.operators)


def _choices(axis: int, interface: Interface) -> Iterator[Operator]:
    """Yield the operators that choose some indices of an axis."""
    yield from (op for op in interface.operators if op.kind == "topk" and _over(op, axis, interface))
