"""Fourier transforms, and complex numbers as pairs of real ones."""

from surgery_dsl.interface import frozen
from surgery_dsl.interface.expression import add, floor_divide
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.rules.pointwise import pointwise
from surgery_dsl.trace.step import Step


@rule("_fft_c2c", "_fft_r2c", "_fft_c2r")
def transform(step: Step) -> Outcome:
    """Positions along the transformed dimensions mix with one another; the others are free. Source: torch.fft."""
    dims = list(step.of("self").dims)
    over = step.dims("dim", len(dims))
    for at in over:
        step.axes.freeze(dims[at], f"a Fourier transform depends on the order along it ({step.axes.place})")
    last, sizes = over[-1], step.output[over[-1]]
    if step.axes.sizes(dims[last]) != sizes:
        size = step.axes.expression(dims[last])
        half = None if size is None else add(floor_divide(size, 2), 1)
        dims[last] = step.axes.derived(dims[last], half if "r2c" in step.operation.name else None, sizes)
    return Outcome([dims], settings=step.scalars())


@rule("view_as_real", "view_as_real_copy")
def as_pairs(step: Step) -> Outcome:
    """A new last dimension of two: real and imaginary part."""
    pair = step.axes.fresh(step.output[-1], frozen.selected(step.axes.place))
    return Outcome([[*step.of("self").dims, pair]], kind="view_as_real")


@rule("view_as_complex", "view_as_complex_copy")
def from_pairs(step: Step) -> Outcome:
    """The last dimension, of two, vanishes."""
    dims = step.of("self").dims
    step.axes.freeze(dims[-1], frozen.selected(step.axes.place))
    return Outcome([dims[:-1]], kind="view_as_complex")


@rule("complex", "polar", "_conj", "_conj_physical", "conj_physical", "_neg_view", "resolve_conj", "resolve_neg")
def of_parts(step: Step) -> Outcome | None:
    """Entry by entry."""
    return pointwise(step)
