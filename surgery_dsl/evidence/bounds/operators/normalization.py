"""Normalization with constants: batch norm in eval mode."""

import torch

from surgery_dsl.evidence.bounds.graph import Affine, Call, Source
from surgery_dsl.evidence.bounds.operators import Several, rule


@rule(
    "native_batch_norm",
    "_native_batch_norm_legit_no_training",
    "cudnn_batch_norm",
    "miopen_batch_norm",
)
def batch_norm(call: Call) -> Several:
    """(x − mean) · weight / √(var + ε) + bias, channel by channel."""
    source, weight, bias, mean, variance, *rest = call.arguments
    if not isinstance(source, Source) or any(isinstance(value, Source) for value in call.arguments[1:]):
        raise call.refuse("its constants depend on the input")
    if call.operator != "_native_batch_norm_legit_no_training" and rest and rest[0] is True:
        raise call.refuse("it takes the statistics of the batch")
    epsilon = float(rest[-1])
    if mean is None or variance is None:
        raise call.refuse("it has no running statistics")
    shape = (1, -1, *[1] * (len(source.shape) - 2))
    scale = 1 / torch.sqrt(variance.detach().double() + epsilon)
    scale = scale if weight is None else scale * weight.detach().double()
    shift = -mean.detach().double() * scale
    shift = shift if bias is None else shift + bias.detach().double()
    factor, offset = scale.reshape(shape), shift.reshape(shape).broadcast_to(source.shape)
    # a few roundings make the two constants (16 is more than enough); the offset is a sum that may cancel
    size = (mean.detach().double() * scale).abs().reshape(shape)
    size = size + (0 if bias is None else bias.detach().double().abs().reshape(shape))
    node = Affine(
        (source.node,),
        tuple(source.shape),
        call.operator,
        call.module,
        lambda x: x * factor,
        lambda x: x * factor.abs(),
        offset,
        16,
        lambda rows: (rows * factor,),
        size.broadcast_to(source.shape),
        alike=True,
    )
    return Several((node, None, None, None))


@rule("native_layer_norm", "layer_norm", "native_group_norm")
def layer_norm(call: Call) -> Affine:
    """Refused: the quotient by a deviation that depends on the input has no bound here."""
    raise call.refuse("it divides by a deviation that depends on the input")
