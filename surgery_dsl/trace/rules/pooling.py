"""Pooling, padding and resampling: spatial sizes change, channels stay."""

from surgery_dsl.interface.expression import Expression, add, multiply
from surgery_dsl.interface.model import Setting
from surgery_dsl.trace.atoms import Product, leaves
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step
from surgery_dsl.trace.windows import per_dimension, slide


def _rank(step: Step) -> int:
    name = step.operation.name
    return next(n for n in (1, 2, 3) if f"{n}d" in name)


@rule(
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
)
def pool(step: Step) -> Outcome:
    """A window slides over the last dimensions."""
    dims, rank = step.of("self").dims, _rank(step)
    kernel = per_dimension(step["kernel_size"], rank)
    stride = per_dimension(step["stride"], rank) if step["stride"] else kernel
    padding = per_dimension(step["padding"], rank, 0)
    dilation = per_dimension(step["dilation"], rank, 1)
    ceil = bool(step["ceil_mode"])
    lead = len(dims) - rank
    space = [
        slide(step, dims[lead + i], step.output[lead + i], kernel[i], stride[i], padding[i], dilation[i], ceil)
        for i in range(rank)
    ]
    kind = step.operation.name.removesuffix("_with_indices")
    settings: dict[str, Setting] = {"kernel_size": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil}
    if kind.startswith("max"):
        settings["dilation"] = dilation
    else:
        settings |= step.settings("count_include_pad", "divisor_override")
    return Outcome([[*dims[:lead], *space]] * len(step.output_sizes), kind=kind, settings=settings)


@rule(
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
    "adaptive_avg_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "adaptive_max_pool1d",
)
def adaptive_pool(step: Step) -> Outcome:
    """The last dimensions get sizes that the call gives."""
    dims, rank = step.of("self").dims, _rank(step)
    lead = len(dims) - rank
    wanted = per_dimension(step["output_size"], rank)
    space = [step.axes.derived(dims[lead + i], wanted[i], step.output[lead + i]) for i in range(rank)]
    kind = step.operation.name.strip("_")
    return Outcome([[*dims[:lead], *space]] * len(step.output_sizes), kind=kind, settings={"output_size": wanted})


@rule(
    "upsample_nearest1d",
    "upsample_nearest2d",
    "upsample_nearest3d",
    "_upsample_nearest_exact2d",
    "upsample_bilinear2d",
    "upsample_bicubic2d",
    "upsample_linear1d",
    "upsample_trilinear3d",
    "_upsample_bilinear2d_aa",
    "_upsample_bicubic2d_aa",
    "_upsample_lanczos2d_aa",
    "_upsample_nearest_exact1d",
    "_upsample_nearest_exact3d",
)
def upsample(step: Step) -> Outcome:
    """The last dimensions are stretched by whole factors, or to sizes that the call gives."""
    dims, rank = step.of("self" if "self" in step.records[0].arguments else "input").dims, _rank(step)
    lead = len(dims) - rank
    space: list[Product] = []
    for dim, sizes in zip(dims[lead:], step.output[lead:], strict=True):
        old, size = step.axes.sizes(dim), step.axes.expression(dim)
        factor = sizes[0] // old[0]
        wanted: Expression | None = step.axes.infer(sizes)
        if size is not None and all(n == factor * m for n, m in zip(sizes, old, strict=True)):
            wanted = multiply(factor, size)
        space.append(step.axes.derived(dim, wanted, sizes))
    settings = step.settings("align_corners")
    return Outcome([[*dims[:lead], *space]], kind=step.operation.name.strip("_"), settings=settings)


@rule(
    "constant_pad_nd",
    "reflection_pad1d",
    "reflection_pad2d",
    "reflection_pad3d",
    "replication_pad1d",
    "replication_pad2d",
    "replication_pad3d",
)
def pad(step: Step) -> Outcome:
    """Spatial sizes grow; padding of free axes by a constant is a sum whose outer parts are frozen."""
    dims = list(step.of("self").dims)
    amounts = step.size_list("pad" if step.operation.name == "constant_pad_nd" else "padding")
    for back, (before, after) in enumerate(zip(amounts[::2], amounts[1::2], strict=True)):
        at = len(dims) - 1 - back
        if not any(before) and not any(after):
            continue
        low, high = step.axes.infer(before), step.axes.infer(after)
        size = step.axes.expression(dims[at])
        if isinstance(low, int) and isinstance(high, int) and low >= 0 <= high and not _is_frozen(dims[at]):
            reason = f"padded in {step.axes.place}"
            outer = [step.axes.fresh(n, reason) if any(n) else None for n in (before, after)]
            parts = [part for part in (outer[0], dims[at], outer[1]) if part is not None]
            dims[at] = step.axes.concatenate(parts)
        else:
            wanted = None if size is None or low is None or high is None else add(size, low, high)
            dims[at] = step.axes.derived(dims[at], wanted, step.output[at])
    pads = tuple(n[0] for n in amounts)
    return Outcome([dims], kind="pad", settings={"pad": pads} | step.settings("value"))


def _is_frozen(dim: Product) -> bool:
    return all(leaf.frozen for leaf in leaves(dim))
