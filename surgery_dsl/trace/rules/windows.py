"""Windows that are laid out side by side: unfold, im2col, col2im."""

from surgery_dsl.interface import frozen
from surgery_dsl.trace.atoms import Product
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step
from surgery_dsl.trace.windows import per_dimension, slide


@rule("unfold", "unfold_copy")
def unfold(step: Step) -> Outcome:
    """One dimension becomes windows, whose entries lie along a new last dimension. Source: torch.Tensor.unfold.

    Windows side by side are a view, and the axis is taken apart; windows that overlap or leave gaps freeze it.
    """
    dims = list(step.of("self").dims)
    at = step.dim("dimension", max(len(dims), 1))
    size, stride = int(step["size"]), int(step["step"])
    whole, counts = step.axes.sizes(dims[at]), step.output[at]
    if size == stride and all(n == size * count for n, count in zip(whole, counts, strict=True)):
        parts = step.axes.reshape([dims[at]], [counts, (size,) * len(counts)])
        if parts is not None:
            return Outcome([[*dims[:at], parts[0], *dims[at + 1 :], parts[1]]])
    space = slide(step, dims[at], counts, size, stride, 0, 1)
    inner = step.axes.fresh((size,) * len(counts), frozen.KERNEL)
    return Outcome([[*dims[:at], space, *dims[at + 1 :], inner]])


def _windows(step: Step) -> tuple[tuple[int, ...], ...]:
    names = (("kernel_size", None), ("stride", 1), ("padding", 0), ("dilation", 1))
    return tuple(per_dimension(step[name], 2, default) for name, default in names)


@rule("im2col")
def im2col(step: Step) -> Outcome:
    """(N, C, H, W) → (N, C · kernel, windows). Source: torch.nn.Unfold."""
    *lead, channels, height, width = step.of("self").dims
    kernel, stride, padding, dilation = _windows(step)
    place: Product = []
    for i, dim in enumerate((height, width)):
        sizes = step.axes.sizes(dim)
        reach = dilation[i] * (kernel[i] - 1)
        count = tuple((n + 2 * padding[i] - reach - 1) // stride[i] + 1 for n in sizes)
        place = place + slide(step, dim, count, kernel[i], stride[i], padding[i], dilation[i])
    inner = [atom for n in kernel for atom in step.axes.fresh((n,) * len(step.records), frozen.KERNEL)]
    settings = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    return Outcome([[*lead, channels + inner, place]], settings=dict(settings))


@rule("col2im")
def col2im(step: Step) -> Outcome | None:
    """(N, C · kernel, windows) → (N, C, H, W), entries that meet are added. Source: torch.nn.Fold."""
    *lead, columns, place = step.of("self").dims
    kernel, stride, padding, dilation = _windows(step)
    sizes = step.axes.sizes(columns)
    same = [(n,) * len(sizes) for n in kernel]
    channels = tuple(n // (kernel[0] * kernel[1]) for n in sizes)
    parts = step.axes.reshape([columns], [channels, *same])
    if parts is None:
        return None
    step.axes.freeze(parts[1] + parts[2], frozen.KERNEL)
    step.axes.freeze(place, frozen.SPATIAL)
    space = [step.axes.fresh(size, frozen.SPATIAL) for size in step.output[-2:]]
    settings = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
    return Outcome([[*lead, parts[0], *space]], settings=dict(settings))
