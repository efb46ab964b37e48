"""Views given by strides, and diagonals."""

import itertools
import math

from surgery_dsl.interface import frozen
from surgery_dsl.trace.atoms import Product
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step

_MOST_OFFSETS = 1 << 18
"""Offsets that are compared one by one at most; a view of more is not followed."""


@rule("as_strided", "as_strided_copy")
def as_strided(step: Step) -> Outcome | None:
    """Dimensions of the same size and stride are the same; all others must lie within one another's memory."""
    source = step.of("self").dims
    layout = step.size_list("memory")
    taken: set[int] = set()
    found: list[int | None] = []
    for size, stride in zip(step.output, step.size_list("stride"), strict=True):
        same = [i for i, dim in enumerate(source) if (step.axes.sizes(dim), layout[i]) == (size, stride)]
        found.append(next((i for i in same if i not in taken), None))
        taken |= {i for i in found if i is not None}
    if not all(_inside(step, source, taken, found, sample) for sample in range(len(step.records))):
        return None
    reason = frozen.regrouped("as_strided", step.axes.place)
    for i, dim in enumerate(source):
        if i not in taken:
            step.axes.freeze(dim, reason)
    sizes = zip(step.output, found, strict=True)
    dims = [step.axes.fresh(size, reason) if at is None else source[at] for size, at in sizes]
    return Outcome([dims], kind="as_strided")


def _inside(step: Step, source: list[Product], taken: set[int], found: list[int | None], sample: int) -> bool:
    """Say whether what no dimension stands for reads memory of the source's remaining dimensions alone."""
    layout, arguments = step.size_list("memory"), step.records[sample].arguments
    own = layout[-1][sample]
    given = arguments["storage_offset"]
    start = 0 if given is None else int(given) - own
    have = [(step.axes.sizes(d)[sample], layout[i][sample]) for i, d in enumerate(source) if i not in taken]
    strides = zip(step.output, arguments["stride"], found, strict=True)
    want = [(size[sample], int(stride)) for size, stride, at in strides if at is None]
    if math.prod(size for size, _ in have + want) > _MOST_OFFSETS:
        return False
    return {start + n for n in _offsets(want)} <= _offsets(have)


def _offsets(dims: list[tuple[int, int]]) -> set[int]:
    steps = [[i * stride for i in range(size)] for size, stride in dims]
    return {sum(one) for one in itertools.product(*steps)}


@rule("diagonal", "diagonal_copy")
def diagonal(step: Step) -> Outcome:
    """The main diagonal of a square joins its two dimensions; any other freezes them. Source: torch.diagonal."""
    dims = step.of("self").dims
    rank = len(dims)
    one, two = step.dim("dim1", rank), step.dim("dim2", rank, 1)
    rest = [dim for i, dim in enumerate(dims) if i not in (one, two)]
    square = step.axes.sizes(dims[one]) == step.axes.sizes(dims[two])
    if not step["offset"] and square:
        step.axes.unify(dims[one], dims[two])
        return Outcome([[*rest, dims[one]]])
    for at in (one, two):
        step.axes.freeze(dims[at], frozen.selected(step.axes.place))
    return Outcome([[*rest, step.axes.fresh(step.output[-1], frozen.selected(step.axes.place))]])


@rule("diag_embed")
def diag_embed(step: Step) -> Outcome | None:
    """The last dimension becomes the diagonal of a square. Source: torch.diag_embed."""
    *lead, last = step.of("self").dims
    rank = len(lead) + 2
    if step["offset"] or sorted((step.dim("dim1", rank, -2), step.dim("dim2", rank, -1))) != [rank - 2, rank - 1]:
        return None
    return Outcome([[*lead, last, last]])
