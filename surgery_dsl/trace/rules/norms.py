"""Normalisation."""

from surgery_dsl.trace.atoms import Product
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step


@rule(
    "native_batch_norm",
    "_native_batch_norm_legit",
    "_native_batch_norm_legit_no_training",
    "cudnn_batch_norm",
    "miopen_batch_norm",
    "_batch_norm_with_update",
    "_batch_norm_no_update",
    "batch_norm",
)
def batch_norm(step: Step) -> Outcome:
    """Statistics, scale and shift run along the channels."""
    dims = step.of("input").dims
    for name in ("weight", "bias", "running_mean", "running_var"):
        state = step.state(name)
        if state is not None:
            step.axes.unify(state.dims[0], dims[1])
    if step["training"] or step.state("running_mean") is None:
        _hold_averaged(step, dims[:1] + dims[2:])
    eps = step["eps"] if step["eps"] is not None else step["epsilon"]
    rest: list[list[Product]] = [_statistics(step, sizes, dims[1]) for sizes in step.output_sizes[1:]]
    return Outcome([dims, *rest], kind="batch_norm", settings={"eps": eps}, sizes={"num_features": dims[1]})


def _hold_averaged(step: Step, dims: list[Product]) -> None:
    """Freeze what a norm of parameters alone averages over: no operator shows anyone that fewer would change it.

    Weights are standardised in this way. Source: Qiao et al. 2019, "Micro-Batch Training with Batch-Channel
    Normalization and Weight Standardization", section 3.
    """
    if step.of("input").is_parameter:
        for dim in dims:
            step.axes.freeze(dim, f"{step.axes.operator} of a parameter averages over it ({step.axes.place})")


def _statistics(step: Step, sizes: list[tuple[int, ...]], channels: Product) -> list[Product]:
    if len(sizes) == 1 and sizes[0] == step.axes.sizes(channels):
        return [channels]
    return [step.axes.fresh(size, "a statistic of the norm") for size in sizes]


@rule("native_layer_norm", "_fused_rms_norm", "rms_norm")
def layer_norm(step: Step) -> Outcome:
    """Scale and shift run along the last dimensions, over which mean and variance are taken."""
    dims = step.of("input").dims
    count = len(step["normalized_shape"])
    last = dims[len(dims) - count :]
    for name in ("weight", "bias"):
        state = step.state(name)
        if state is not None:
            for own, dim in zip(state.dims, last, strict=True):
                step.axes.unify(own, dim)
    _hold_averaged(step, last)
    kind = "layer_norm" if step.operation.name == "native_layer_norm" else "rms_norm"
    settings = step.settings("eps") | {"rank": count}
    sizes = {f"normalized_shape.{i}": dim for i, dim in enumerate(last)}
    lead: list[Product] = dims[: len(dims) - count]
    rest: list[list[Product]] = [[*lead, *([[]] * (len(out) - len(lead)))] for out in step.output_sizes[1:]]
    return Outcome([dims, *rest], kind=kind, settings=settings, sizes=sizes)


@rule("native_group_norm", "group_norm")
def group_norm(step: Step) -> Outcome:
    """Channels are groups × channels of a group; mean and variance are taken over a group."""
    dims = step.of("input").dims
    name = "group" if step.operation.name == "native_group_norm" else "num_groups"
    count = int(step[name])
    group = step.axes.fresh((count,) * len(step.records))
    inner = step.axes.fresh(tuple(n // count for n in step.axes.sizes(dims[1])))
    step.axes.unify(dims[1], group + inner)
    for tensor in ("weight", "bias"):
        state = step.state(tensor)
        if state is not None:
            step.axes.unify(state.dims[0], dims[1])
    _hold_averaged(step, [inner, *dims[2:]])
    settings = step.settings("eps") | {"num_groups": count}
    rest: list[list[Product]] = [[dims[0], group] for _ in step.output_sizes[1:]]
    sizes = {"num_channels": dims[1], "num_groups": group}
    return Outcome([dims, *rest], kind="group_norm", settings=settings, sizes=sizes)
