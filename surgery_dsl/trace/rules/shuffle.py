"""Rearrangements of channels and space, and gates of two halves."""

from surgery_dsl.interface import frozen
from surgery_dsl.interface.expression import multiply
from surgery_dsl.trace.atoms import Product, Sizes
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step


def _apart(step: Step, dim: Product, *sizes: Sizes) -> list[Product] | None:
    return step.axes.reshape([dim], list(sizes))


def _times(sizes: Sizes, factor: int) -> Sizes:
    return tuple(n * factor for n in sizes)


def _over(sizes: Sizes, factor: int) -> Sizes:
    return tuple(n // factor for n in sizes)


@rule("pixel_shuffle")
def pixel_shuffle(step: Step) -> Outcome | None:
    """Channels C·r·r become C, height and width r times as large. Source: torch.nn.PixelShuffle."""
    *lead, channels, height, width = step.of("self").dims
    factor = int(step["upscale_factor"])
    same = (factor,) * len(step.records)
    parts = _apart(step, channels, _over(step.axes.sizes(channels), factor * factor), same, same)
    if parts is None:
        return None
    step.axes.freeze(parts[1] + parts[2], frozen.KERNEL)
    space = [_scaled(step, dim, factor) for dim in (height, width)]
    return Outcome([[*lead, parts[0], *space]], settings={"upscale_factor": factor})


def _scaled(step: Step, dim: Product, factor: int) -> Product:
    size = step.axes.expression(dim)
    wanted = None if size is None else multiply(factor, size)
    return step.axes.derived(dim, wanted, _times(step.axes.sizes(dim), factor))


@rule("pixel_unshuffle")
def pixel_unshuffle(step: Step) -> Outcome:
    """Height and width become r times smaller, channels C·r·r. Source: torch.nn.PixelUnshuffle."""
    *lead, channels, height, width = step.of("self").dims
    factor = int(step["downscale_factor"])
    inner = [step.axes.fresh((factor,) * len(step.records), frozen.KERNEL) for _ in range(2)]
    space = []
    for dim in (height, width):
        sizes, size = step.axes.sizes(dim), step.axes.expression(dim)
        if size is not None:
            step.axes.require("divides", factor, size, f"{step.axes.operator} takes it apart")
        space.append(step.axes.divided(dim, factor, _over(sizes, factor)))
    return Outcome([[*lead, channels + inner[0] + inner[1], *space]], settings={"downscale_factor": factor})


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(step: Step) -> Outcome | None:
    """Channels g·C become C·g. Source: torch.nn.ChannelShuffle."""
    batch, channels, *space = step.of("self").dims
    groups = int(step["groups"])
    same = (groups,) * len(step.records)
    parts = _apart(step, channels, same, _over(step.axes.sizes(channels), groups))
    return None if parts is None else Outcome([[batch, parts[1] + parts[0], *space]], settings={"groups": groups})


@rule("glu")
def glu(step: Step) -> Outcome | None:
    """Half of a dimension gates the other half: both are one axis. Source: torch.nn.GLU."""
    dims = list(step.of("self").dims)
    at = step.dim("dim", len(dims), -1)
    whole = step.axes.sizes(dims[at])
    half, start = _over(whole, 2), (0,) * len(whole)
    value, gate = step.axes.narrow(dims[at], start, half), step.axes.narrow(dims[at], half, whole)
    if value is None or gate is None:
        return None
    step.axes.unify(value, gate)
    dims[at] = value
    return Outcome([dims], settings={"dim": at})
