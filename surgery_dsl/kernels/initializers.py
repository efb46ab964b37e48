"""Fill weights with fresh random numbers: whole tensors, or chosen units of a trained one.

Numbers are drawn on the CPU in float32 (float64 for float64) and then moved, so that a seed gives the same
weights on every device. Fans are those of the whole tensor ``(O, I, *kernel)``, also where only some rows are
filled: a unit that starts afresh has as many inputs as its neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from surgery_dsl.kernels.masks import kept

Draw = Callable[[tuple[int, ...], torch.dtype], Tensor]


def kaiming_(
    tensor: Tensor,
    generator: torch.Generator,
    *,
    mode: Literal["fan_in", "fan_out"] = "fan_in",
    gain: float = math.sqrt(2.0),
    distribution: Literal["normal", "uniform"] = "normal",
    rows: Tensor | Sequence[int] | None = None,
) -> None:
    """Fill a weight so that the variance of activations is kept through ReLU layers.

    Standard deviation ``gain / √fan``; uniform on ``±√3`` times that.

    Args:
        tensor: the weight, filled in place.
        generator: a CPU generator.
        mode: keep variance forward (``fan_in``) or of gradients (``fan_out``).
        gain: ``√2`` for ReLU, ``√(2 / (1 + a²))`` for leaky ReLU of slope ``a``, 1 for linear.
        distribution: ``normal`` or ``uniform``.
        rows: units to fill, along dimension 0; by default all. The other rows are not touched.

    Shapes: ``(O, I, *kernel)``. Dtype and device: any float dtype, any device; both kept.

    Raises:
        ValueError: the tensor has fewer than two dimensions, a row is out of range or repeated.

    References: K. He et al., "Delving deep into rectifiers", ICCV 2015, equations 10 and 14.
    """
    fan_in, fan_out = fans(tensor)
    deviation = gain / math.sqrt(max(1, fan_in if mode == "fan_in" else fan_out))
    _fill(tensor, rows, _scaled(distribution, deviation, generator))


def xavier_(
    tensor: Tensor,
    generator: torch.Generator,
    *,
    gain: float = 1.0,
    distribution: Literal["normal", "uniform"] = "uniform",
    rows: Tensor | Sequence[int] | None = None,
) -> None:
    """Fill a weight so that variance is kept forward and backward through nearly linear layers.

    Standard deviation ``gain · √(2 / (fan_in + fan_out))``; uniform on ``±√3`` times that.

    Args: as :func:`kaiming_`.

    Shapes: ``(O, I, *kernel)``. Dtype and device: any float dtype, any device; both kept.

    Raises:
        ValueError: the tensor has fewer than two dimensions, a row is out of range or repeated.

    References: X. Glorot, Y. Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", AISTATS 2010, equation 16.
    """
    fan_in, fan_out = fans(tensor)
    deviation = gain * math.sqrt(2.0 / max(1, fan_in + fan_out))
    _fill(tensor, rows, _scaled(distribution, deviation, generator))


def orthogonal_(
    tensor: Tensor,
    generator: torch.Generator,
    *,
    gain: float = 1.0,
    rows: Tensor | Sequence[int] | None = None,
) -> None:
    """Fill a weight with orthonormal rows, or orthonormal columns where there are more rows than columns.

    The matrix ``(O, I · kernel)`` is the Q factor of a Gaussian matrix, with signs that make it uniform over
    orthogonal matrices. Chosen rows are orthonormal among themselves, not to the rows that stay; more
    chosen rows than columns have orthonormal columns.

    Args: as :func:`kaiming_`; ``gain`` multiplies the result.

    Shapes: ``(O, I, *kernel)``. Dtype and device: any float dtype, any device; both kept. The factorization runs
        on the CPU in float64, so that orthogonality is lost to the tensor's dtype alone.

    Raises:
        ValueError: the tensor has fewer than two dimensions, a row is out of range or repeated.

    References: A. Saxe, J. McClelland, S. Ganguli, "Exact solutions to the nonlinear dynamics of learning in
        deep linear neural networks", ICLR 2014; F. Mezzadri, "How to generate random matrices from the
        classical compact groups", 2007 (signs).
    """
    fans(tensor)

    def draw(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        height, width = shape[0], math.prod(shape[1:])
        drawn = torch.randn(height, width, generator=generator, dtype=torch.float64)
        q, r = torch.linalg.qr(drawn if height >= width else drawn.t())
        signed: Tensor = q * torch.where(r.diagonal() < 0, -gain, gain)
        return (signed if height >= width else signed.t()).to(dtype).reshape(shape)

    _fill(tensor, rows, draw)


def fans(tensor: Tensor) -> tuple[int, int]:
    """Return how many weights feed one output, and how many outputs one input feeds.

    Shapes: ``(O, I, *kernel)`` -> ``(I · kernel, O · kernel)``.

    Raises:
        ValueError: the tensor has fewer than two dimensions.
    """
    if tensor.dim() < 2:
        raise ValueError(f"fans need a weight (out, in, …), not shape {tuple(tensor.shape)}")
    field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * field, tensor.shape[0] * field


def _scaled(distribution: str, deviation: float, generator: torch.Generator) -> Draw:
    def draw(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        if distribution == "normal":
            return torch.empty(shape, dtype=dtype).normal_(0.0, deviation, generator=generator)
        bound = math.sqrt(3.0) * deviation
        return torch.empty(shape, dtype=dtype).uniform_(-bound, bound, generator=generator)

    return draw


def _fill(tensor: Tensor, rows: Tensor | Sequence[int] | None, draw: Draw) -> None:
    target = tensor.detach()
    dtype = torch.float64 if tensor.dtype is torch.float64 else torch.float32
    if rows is None:
        target.copy_(draw(tuple(tensor.shape), dtype))
        return
    chosen = torch.as_tensor(rows, dtype=torch.int64).to("cpu")
    kept(len(tensor), chosen)  # refuses rows out of range and repeated ones
    fresh = draw((len(chosen), *tensor.shape[1:]), dtype)
    target.index_copy_(0, chosen.to(tensor.device), fresh.to(tensor.device, tensor.dtype))
