"""Sizes of what a sliding window makes."""

from surgery_dsl.interface.expression import Expression, add, floor_divide, multiply
from surgery_dsl.trace.atoms import Product, Sizes
from surgery_dsl.trace.step import Step


def per_dimension(value: object, rank: int, default: int | None = None) -> tuple[int, ...]:
    """Return one number for each spatial dimension where torch takes one for all."""
    if value is None or value == ():
        if default is None:
            raise TypeError("no size given")
        return (default,) * rank
    if isinstance(value, int):
        return (value,) * rank
    if isinstance(value, tuple):
        return value * rank if len(value) == 1 else value
    raise TypeError(f"not a size: {value!r}")


def slide(
    step: Step, source: Product, sizes: Sizes, kernel: int, stride: int, padding: int, dilation: int, ceil: bool = False
) -> Product:
    """Return the axis of a window's positions: floor((n + 2·padding − dilation·(kernel − 1) − 1) / stride) + 1.

    Source: torch.nn.Conv2d, torch.nn.MaxPool2d. With ``ceil`` the quotient is rounded up; torch then drops a last
    window that starts in the padding, which a formula cannot say: such a size is left to the numbers.
    """
    size = step.axes.expression(source)
    reach = dilation * (kernel - 1)
    if size is None or (ceil and not isinstance(size, int) and stride > reach + 1 - padding):
        return step.axes.derived(source, None, sizes)
    free = add(size, 2 * padding - reach - 1 + (stride - 1 if ceil else 0))
    out: Expression = add(floor_divide(free, stride), 1)
    if isinstance(out, int):
        out = sizes[0]
    return step.axes.derived(source, out, sizes)


def unslide(step: Step, source: Product, sizes: Sizes, kernel: int, stride: int, padding: int, extra: int) -> Product:
    """Return the axis of a transposed window: (n − 1)·stride − 2·padding + reach + extra + 1.

    ``kernel`` is the reach dilation·(kernel − 1). Source: torch.nn.ConvTranspose2d.
    """
    size = step.axes.expression(source)
    if size is None:
        return step.axes.derived(source, None, sizes)
    return step.axes.derived(source, add(multiply(stride, add(size, -1)), kernel + extra + 1 - 2 * padding), sizes)
