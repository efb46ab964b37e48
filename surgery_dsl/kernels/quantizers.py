"""Store weights as 8-bit integers, each within half a step of its value.

A scale is rounded up to 16 significant bits. A product of such a scale and an integer of 8 bits and a sign has
at most 24 significant bits: it is exact in float32, so the half-step bound holds for the numbers that the
network really uses, not only for real arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor

from surgery_dsl.kernels.blocks import block_limit

_SCALE_BITS = {torch.float32: 16, torch.float64: 45}  # with 8 bits of an integer: the dtype's precision


@final
@dataclass(frozen=True, eq=False)
class Quantized:
    """Hold a weight as integers: ``w ≈ (values − zero_point) · scale``.

    Attributes:
        values: int8, the weight's shape.
        scale: step between neighbouring values, positive; ``(O,)`` per channel, ``()`` per tensor. float32, or
            float64 for float64 weights.
        zero_point: int8 of the scale's shape: the integer that means 0. ``None`` where that is 0 (symmetric).
    """

    values: Tensor
    scale: Tensor
    zero_point: Tensor | None

    def restored(self, dtype: torch.dtype | None = None) -> Tensor:
        """Return the weight that the integers stand for; see :func:`dequantize`."""
        return dequantize(self.values, self.scale, self.zero_point, dtype)


def quantize(weight: Tensor, *, per: Literal["channel", "tensor"] = "channel", symmetric: bool = True) -> Quantized:
    """Round weights to int8 with one step for each output row, or one for all.

    Symmetric: ``Δ = max|w| / 127``, ``q = round(w / Δ)`` in -127..127. Asymmetric: ``Δ = (max − min) / 255``
    over a range that includes 0, ``q = round(w / Δ) + z`` in -128..127, so that 0 stays exactly 0.

    Args:
        weight: finite weights, output units along dimension 0.
        per: ``channel`` for one step a row, ``tensor`` for one step in all.
        symmetric: whether the integer 0 means 0.

    Shapes: ``(O, …)`` -> int8 ``(O, …)``, scale ``(O,)`` or ``()``.
    Dtype and device: float16, bfloat16 and float32 get float32 scales, float64 gets float64; on the weight's
        device. Computed in float64, some rows at a time.
    Numerics: ``|w − restored| ≤ Δ / 2`` exactly, for restored values in the scale's dtype; rounding them to
        half precision adds that rounding. Ties go to the even integer. A row of zeros stays zero and gets the
        smallest normal number as its step. Subnormal weights obey the bound too.

    Raises:
        ValueError: the weight is not a float tensor of rank 1 or more, is not finite, or spans more than half
            the range of the scale's dtype.

    References: B. Jacob et al., "Quantization and training of neural networks for efficient
        integer-arithmetic-only inference", CVPR 2018, section 2.1; here the scale is rounded up first.
    """
    source = weight.detach()
    if source.dim() < 1 or not source.is_floating_point():
        raise ValueError(f"a float tensor with rows is needed, not {source.dtype} of shape {tuple(source.shape)}")
    rows_ON = source.reshape(len(source), -1) if source.numel() else source.reshape(len(source), 0)
    low_O, high_O = _ranges(rows_ON, per)
    scale_dtype = torch.float64 if source.dtype is torch.float64 else torch.float32
    if symmetric:
        low_O, high_O = torch.zeros_like(low_O), torch.maximum(high_O, -low_O)
    if not bool((high_O - low_O <= torch.finfo(scale_dtype).max / 2).all()):
        raise ValueError("weights must be finite and span at most half the range of their dtype")
    scale_O = _steps(low_O, high_O, 127 if symmetric else 255, scale_dtype)
    zero_O = torch.zeros_like(low_O) if symmetric else -128 - _nearest(low_O, scale_O)
    values_ON = torch.empty(rows_ON.shape, dtype=torch.int8, device=source.device)
    least = -127 if symmetric else -128
    step = max(1, block_limit(source.device) // max(1, rows_ON.shape[1]))
    for start in range(0, len(rows_ON), step):
        part = slice(start, start + step)
        own = part if per == "channel" else slice(None)
        nearest_ON = _nearest(rows_ON[part].to(torch.float64), scale_O[own, None])
        values_ON[part] = nearest_ON.add_(zero_O[own, None]).clamp_(least, 127).to(torch.int8)
    shape = scale_O.shape if per == "channel" else ()
    zero_point = None if symmetric else zero_O.to(torch.int8).reshape(shape)
    return Quantized(values_ON.view(source.shape), scale_O.to(scale_dtype).reshape(shape), zero_point)


def dequantize(
    values: Tensor, scale: Tensor, zero_point: Tensor | None = None, dtype: torch.dtype | None = None
) -> Tensor:
    """Return ``(values − zero_point) · scale``.

    Args:
        values: int8 weights.
        scale: one step for each row, or one for all.
        zero_point: integers of the scale's shape that mean 0; ``None`` for 0.
        dtype: dtype of the result, by default the scale's.

    Shapes: ``(O, …)``, ``(O,)`` or ``()`` -> ``(O, …)``.
    Dtype and device: computed in the scale's dtype, where the product is exact; all on one device.

    Raises:
        ValueError: the scale is neither one number nor one for each row.
    """
    if scale.dim() and scale.shape != values.shape[:1]:
        raise ValueError(f"a scale of shape {tuple(scale.shape)} does not fit weights {tuple(values.shape)}")
    shape = (*scale.shape, *[1] * (values.dim() - 1)) if scale.dim() else ()
    numbers = values.to(scale.dtype)
    if zero_point is not None:
        numbers -= zero_point.to(scale.dtype).view(shape)
    numbers *= scale.view(shape)
    return numbers if dtype is None else numbers.to(dtype)


def _ranges(rows_ON: Tensor, per: str) -> tuple[Tensor, Tensor]:
    """Return least and greatest value, 0 included, of each row or of all: float64 ``(O,)`` or ``(1,)``."""
    if rows_ON.shape[1]:
        low_O, high_O = (end.to(torch.float64) for end in rows_ON.aminmax(dim=1))
    else:
        low_O = high_O = torch.zeros(len(rows_ON), dtype=torch.float64, device=rows_ON.device)
    if per == "tensor":
        zero = low_O.new_zeros(1)
        low_O, high_O = torch.cat([low_O, zero]).amin(0, True), torch.cat([high_O, zero]).amax(0, True)
    return low_O.clamp(max=0.0), high_O.clamp(min=0.0)


def _steps(low_O: Tensor, high_O: Tensor, count: int, dtype: torch.dtype) -> Tensor:
    """Return the least steps of few significant bits, ``count`` of which span each range, in float64."""
    info = torch.finfo(dtype)
    span_O = high_O - low_O
    # What the subtraction lost (Knuth's two-sum), so that ``span + lost`` is the exact span.
    back_O = span_O - high_O
    lost_O = (high_O - (span_O - back_O)) - (low_O + back_O)
    step_O = span_O / count
    exponent_O = torch.frexp(step_O).exponent - _SCALE_BITS[dtype]
    smallest = info.smallest_normal * info.eps  # a subnormal number
    quantum_O = torch.ldexp(torch.ones_like(step_O), exponent_O).clamp(min=smallest)
    up_O = (step_O / quantum_O).ceil() * quantum_O
    reach_O = up_O * count  # exact
    up_O += torch.where((span_O > reach_O) | ((span_O == reach_O) & (lost_O > 0)), quantum_O, 0.0)
    return torch.where(span_O > 0, up_O, info.smallest_normal)


def _nearest(values: Tensor, step: Tensor) -> Tensor:
    """Return the float64 integers nearest to ``values / step``, never more than half a step away."""
    nearest = (values / step).round_()
    # The division may round across a tie; the residual is exact (Sterbenz), so it tells on which side.
    residual = values - nearest * step
    return nearest + (residual > step / 2).to(torch.float64) - (residual < -step / 2).to(torch.float64)
