"""Mixtures of experts, found by what the forward does: a router chooses entries of stacked weights.

The expert axis is what a linear layer (the router) writes, a softmax or a choice of the greatest runs over, and
parameters of three dimensions or more carry as their first.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from surgery_dsl.interface.flow import WEIGHTED, Flow, unit_dim
from surgery_dsl.interface.model import Interface, Operator
from surgery_dsl.interface.paths import common

_CHOICES = frozenset({"topk", "softmax", "sort", "argmax", "max"})


@dataclass(frozen=True)
class Mixture:
    """One mixture of experts.

    Attributes:
        axis: The axis that counts experts.
        module: Path of the innermost module that holds the stacked weights.
        holder: Path of the smallest module that holds them and the router.
        router: Position of the router among the operators.
        chosen: How many experts each token goes through; 0 where all of them are.
        choice: Path of the operator that chooses; empty where none does.
    """

    axis: int
    module: str
    holder: str
    router: int
    chosen: int
    choice: str


def mixtures(flow: Flow) -> tuple[Mixture, ...]:
    """Return the mixtures of experts of a network, in the order of the forward."""
    interface = flow.interface
    stacked = _stacked(interface)
    found: dict[int, Mixture] = {}
    for at, operator in enumerate(interface.operators):
        if operator.kind != "linear":
            continue
        dim = unit_dim(interface, operator)
        if len(dim) == 1 and dim[0] in stacked and dim[0] not in found and _is_chosen_from(dim[0], interface):
            (axis,) = dim
            modules = sorted({name.rpartition(".")[0] for name in stacked[axis]})
            inner = common(modules)
            choice = next(_choices(axis, interface), None)
            chosen = choice.settings.get("k", 1) if choice is not None else 0
            found[axis] = Mixture(
                axis=axis,
                module=inner,
                holder=common([inner, operator.module]),
                router=at,
                chosen=chosen if isinstance(chosen, int) else 1,
                choice=choice.path if choice is not None else "",
            )
    return tuple(found.values())


def _stacked(interface: Interface) -> dict[int, list[str]]:
    """Return, for each axis, the parameters that are stacks along it and no layer's weight."""
    layers = {op.tensors["weight"] for op in interface.operators if op.kind in WEIGHTED and "weight" in op.tensors}
    found: dict[int, list[str]] = {}
    for tensor in interface.tensors:
        stacked = tensor.role == "parameter" and len(tensor.dims) > 2 and len(tensor.dims[0]) == 1
        if stacked and tensor.name not in layers:
            found.setdefault(tensor.dims[0][0], []).append(tensor.name)
    return found


def _over(operator: Operator, axis: int, interface: Interface) -> bool:
    """Whether an operator runs over an axis."""
    position = operator.settings.get("dim")
    if not operator.inputs or not isinstance(position, int):
        return False
    dims = interface.values[operator.inputs[0]].dims
    return -len(dims) <= position < len(dims) and axis in interface.leaves(dims[position])


def _is_chosen_from(axis: int, interface: Interface) -> bool:
    return any(operator.kind in _CHOICES and _over(operator, axis, interface) for operator in interface.operators)


def _choices(axis: int, interface: Interface) -> Iterator[Operator]:
    """Yield the operators that choose some indices of an axis."""
    yield from (op for op in interface.operators if op.kind == "topk" and _over(op, axis, interface))
