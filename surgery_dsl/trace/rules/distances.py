"""Distances and further products."""

from surgery_dsl.interface import frozen
from surgery_dsl.trace.atoms import flat
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step


@rule("_cdist_forward", "cdist", "_euclidean_dist")
def cdist(step: Step) -> Outcome:
    """(…, P, M), (…, R, M) → (…, P, R): norms of differences over M. Source: torch.cdist."""
    one, two = step.of("x1").dims, step.of("x2").dims
    step.axes.unify(one[-1], two[-1])
    lead = [a or b for a, b in zip(one[:-2], two[:-2], strict=True)]
    for a, b in zip(one[:-2], two[:-2], strict=True):
        if flat(a) and flat(b):
            step.axes.unify(a, b)
    return Outcome([[*lead, one[-2], two[-2]]], kind="cdist", settings=step.settings("p"))


@rule("addbmm")
def addbmm(step: Step) -> Outcome:
    """Products of matrices summed over the batch, plus a matrix."""
    own, one, two = (step.of(name).dims for name in ("self", "batch1", "batch2"))
    step.axes.unify(one[0], two[0])
    step.axes.unify(one[2], two[1])
    out = [one[1], two[2]]
    for dim, mine in zip(reversed(out), reversed(own), strict=False):
        if flat(mine):
            step.axes.unify(mine, dim)
    macs = one[0] + one[1] + one[2] + two[2]
    return Outcome([out], settings=step.scalars(), macs=(macs,))


@rule("addmv")
def addmv(step: Step) -> Outcome:
    """A matrix times a vector plus a vector."""
    own, matrix, vector = (step.of(name).dims for name in ("self", "mat", "vec"))
    step.axes.unify(matrix[1], vector[0])
    if own and flat(own[-1]):
        step.axes.unify(own[-1], matrix[0])
    return Outcome([[matrix[0]]], settings=step.scalars(), macs=(matrix[0] + matrix[1],))


@rule("addr", "outer", "ger")
def outer(step: Step) -> Outcome:
    """An outer product, plus a matrix."""
    names = ("vec1", "vec2") if step.operation.name == "addr" else ("self", "vec2")
    out = [step.of(name).dims[0] for name in names]
    own = step.of("self").dims if step.operation.name == "addr" else []
    for dim, mine in zip(reversed(out), reversed(own), strict=False):
        if flat(mine):
            step.axes.unify(mine, dim)
    return Outcome([out], settings=step.scalars())


@rule("linalg_cross", "cross")
def cross(step: Step) -> Outcome:
    """The product of vectors in space along one dimension; the others are free."""
    one, two = step.of("self").dims, step.of("other").dims
    at = step.dim("dim", len(one), -1)
    dims = []
    for position, (a, b) in enumerate(zip(one, two, strict=True)):
        if flat(a) and flat(b):
            step.axes.unify(a, b)
        dims.append(a if flat(a) else b)
        if position == at:
            step.axes.freeze(dims[-1], frozen.selected(step.axes.place))
    return Outcome([dims], settings={"dim": at})


@rule("trace")
def trace(step: Step) -> Outcome:
    """The sum of a diagonal."""
    one, two = step.of("self").dims
    if step.axes.sizes(one) == step.axes.sizes(two):
        step.axes.unify(one, two)
    else:
        step.axes.freeze([*one, *two], frozen.selected(step.axes.place))
    return Outcome([[]])


@rule("grid_sampler_2d", "grid_sampler_3d", "cudnn_grid_sampler")
def grid_sample(step: Step) -> Outcome:
    """(N, C, …) read at (N, …, coordinates): channels stay, places are read by position."""
    source = step.of("input" if step["input"] is not None else "self").dims
    grid = step.of("grid").dims
    step.axes.unify(source[0], grid[0])
    for dim in source[2:]:
        step.axes.freeze(dim, frozen.SPATIAL)
    step.axes.freeze(grid[-1], frozen.selected(step.axes.place))
    return Outcome([[*source[:2], *grid[1:-1]]], kind="grid_sample", settings=step.scalars())
