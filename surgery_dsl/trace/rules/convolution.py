"""Convolutions in one to three dimensions: strided, dilated, grouped, depthwise, transposed."""

from surgery_dsl.interface import frozen
from surgery_dsl.trace.atoms import Product
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step
from surgery_dsl.trace.windows import per_dimension, slide, unslide


@rule("convolution", "_convolution")
def convolution(step: Step) -> Outcome | None:
    """Channels are groups × channels of a group; a group reads only its own."""
    source, weight = step.of("input").dims, step.of("weight").dims
    rank = len(weight) - 2
    if len(source) != rank + 2:
        return None
    transposed, groups = bool(step["transposed"]), int(step["groups"])
    group = step.axes.fresh(_same(step, groups))
    read = step.axes.fresh(_per_group(step, source[1], groups))
    written = step.axes.fresh(tuple(n // groups for n in step.output[1]))
    step.axes.unify(source[1], group + read)
    step.axes.unify(weight[0], group + (read if transposed else written))
    step.axes.unify(weight[1], written if transposed else read)
    bias = step.state("bias")
    if bias is not None:
        step.axes.unify(bias.dims[0], group + written)
    for dim in weight[2:]:
        step.axes.freeze(dim, frozen.KERNEL)
    space = _space(step, source[2:], transposed)
    channels = group + written
    fixed = [atom for dim in (source if transposed else space)[-rank:] for atom in dim]
    macs = source[0] + channels + read + [atom for dim in weight[2:] for atom in dim] + fixed
    names = ("stride", "padding", "dilation", "groups") + (("output_padding",) if transposed else ())
    settings = step.settings(*names)
    sizes = {"in_channels": group + read, "out_channels": channels}
    if groups > 1:
        sizes["groups"] = group
    return Outcome(
        [[source[0], channels, *space]],
        kind=f"conv_transpose{rank}d" if transposed else f"conv{rank}d",
        settings=settings,
        macs=(macs,),
        sizes=sizes,
    )


def _same(step: Step, size: int) -> tuple[int, ...]:
    return (size,) * len(step.records)


def _per_group(step: Step, channels: Product, groups: int) -> tuple[int, ...]:
    return tuple(n // groups for n in step.axes.sizes(channels))


def _space(step: Step, source: list[Product], transposed: bool) -> list[Product]:
    rank = len(source)
    kernel = step.records[0].arguments["weight"]
    lengths = [sizes[0] for sizes in map(step.axes.sizes, step.states[kernel].dims[2:])]
    stride, padding = per_dimension(step["stride"], rank, 1), per_dimension(step["padding"], rank, 0)
    dilation, extra = per_dimension(step["dilation"], rank, 1), per_dimension(step["output_padding"], rank, 0)
    out = []
    for i, dim in enumerate(source):
        sizes = step.output[2 + i]
        if transposed:
            reach = dilation[i] * (lengths[i] - 1)
            out.append(unslide(step, dim, sizes, reach, stride[i], padding[i], extra[i]))
        else:
            out.append(slide(step, dim, sizes, lengths[i], stride[i], padding[i], dilation[i]))
    return out
