"""Concatenation and stacking."""

from surgery_dsl.interface import frozen
from surgery_dsl.interface.loops import ENTRIES
from surgery_dsl.interface.model import Setting
from surgery_dsl.trace.atoms import Product, flat
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step


@rule("cat", "concat", "concatenate")
def cat(step: Step) -> Outcome:
    """One dimension becomes a sum; the others are joined."""
    rank = len(step.output)
    at = step.dim("dim", rank)
    states = [
        state
        for state in step.many("tensors")
        if len(state.dims) == rank and not any(0 in step.axes.sizes(dim) for dim in state.dims)
    ]
    dims = list(states[0].dims)
    for state in states[1:]:
        for position in range(rank):
            if position != at:
                dims[position] = dims[position] or state.dims[position]
                step.axes.unify(dims[position], state.dims[position])
    if len(states) > 1 and not any(flat(state.dims[at]) for state in states):
        return _counted(step, dims, at, "cat")
    dims[at] = step.axes.concatenate([state.dims[at] for state in states])
    return Outcome([dims], kind="cat", settings={"dim": at})


@rule("stack")
def stack(step: Step) -> Outcome:
    """A new dimension counts the tensors; all others are joined."""
    states = step.many("tensors")
    rank = len(step.output)
    at = step.dim("dim", rank)
    dims: list[Product] = list(states[0].dims)
    for state in states[1:]:
        for mine, theirs in zip(dims, state.dims, strict=True):
            step.axes.unify(mine, theirs)
    dims.insert(at, [])
    return _counted(step, dims, at, "stack")


def _counted(step: Step, dims: list[Product], at: int, kind: str) -> Outcome:
    """Return what puts one index of each of several tensors side by side."""
    dims[at] = step.axes.fresh(step.output[at])
    settings: dict[str, Setting] = {"dim": at}
    if step.by_entry(dims[at]):
        settings[ENTRIES] = True
    elif kind == "cat":
        dims[at] = step.axes.concatenate([[] for _ in range(step.output[at][0])])
    else:
        step.axes.freeze(dims[at], frozen.selected(step.axes.place))
    return Outcome([dims], kind=kind, settings=settings)
