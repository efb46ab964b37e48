"""Batch norms in eval mode folded into the linear layer or convolution before them."""

import torch
from torch import Tensor


def fold_norm(
    weight: Tensor,
    bias: Tensor | None,
    mean: Tensor,
    variance: Tensor,
    gain: Tensor | None,
    offset: Tensor | None,
    *,
    eps: float,
    position: int = 0,
    groups: int = 1,
) -> tuple[Tensor, Tensor]:
    """Return weight and bias that give what the layer and the norm behind it gave.

    s = gain / √(variance + eps); each output's weights are multiplied with its s, and the bias becomes
    s · (bias − mean) + offset.

    Args:
        weight: Of the layer, outputs along ``position``.
        bias: ``[out]``, or ``None`` for zeros.
        mean: Running mean, ``[out]``.
        variance: Running variance, ``[out]``.
        gain: ``[out]``, or ``None`` for ones.
        offset: ``[out]``, or ``None`` for zeros.
        eps: What the norm adds to the variance.
        position: Dimension of the weight's outputs: 0; 1 for a transposed convolution or a weight stored as (in, out).
        groups: Of a transposed convolution, whose weight is ``[in, out / groups, …]``, the inputs group by group.

    Dtype and device: computed in float64 where the weight is; rounded once, to the weight's dtype.

    Reference: B. Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only
    inference", CVPR 2018, section 3.2.
    """

    def wide(value: Tensor | None, missing: float) -> Tensor:
        if value is None:
            return torch.full(mean.shape, missing, dtype=torch.float64, device=weight.device)
        return value.detach().to(weight.device, torch.float64)

    scale = wide(gain, 1.0) / (wide(variance, 1.0) + eps).sqrt()
    shift = scale * (wide(bias, 0.0) - wide(mean, 0.0)) + wide(offset, 0.0)
    each = weight.detach().double()
    if position == 0:
        scaled = each * scale.view(-1, *[1] * (each.dim() - 1))
    else:
        parts = each.view(groups, each.shape[0] // groups, *each.shape[1:])
        scaled = (parts * scale.view(groups, 1, -1, *[1] * (each.dim() - 2))).view_as(each)
    return scaled.to(weight.dtype), shift.to(weight.dtype)
