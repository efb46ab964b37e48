"""Dimensions that are repeated."""

from surgery_dsl.trace.atoms import Product
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step


@rule("expand", "expand_copy", "broadcast_to")
def expand(step: Step) -> Outcome:
    """A dimension of one becomes a new axis; the others stay."""
    dims = step.of("self").dims
    padded: list[Product] = [[] for _ in range(len(step.output) - len(dims))] + dims
    out = [
        dim if step.axes.sizes(dim) == size else step.axes.fresh(size, soft=True)
        for dim, size in zip(padded, step.output, strict=True)
    ]
    same = len(padded) == len(dims) and all(a is b for a, b in zip(out, dims, strict=True))
    return Outcome([out], kind="expand", identity=same)


@rule("repeat")
def repeat(step: Step) -> Outcome:
    """The whole dimension again and again: a new outer axis for the copies."""
    dims = step.of("self").dims
    padded: list[Product] = [[] for _ in range(len(step.output) - len(dims))] + dims
    times = step.size_list("repeats")
    out = [step.axes.fresh(n, soft=True) + dim for n, dim in zip(times, padded, strict=True)]
    return Outcome([out], kind="repeat")
