"""Widen a layer without changing its function: duplicate units and share out what reads them.

Unit ``j`` of the wider layer is a copy of unit ``source[j]``. Its incoming weights are copied; every reader of
the layer divides the outgoing weight by the number of copies. In real arithmetic the sum over the copies
is the old term, whatever elementwise function stands between. In float arithmetic each reader's sum differs
by rounding, and not at all where every count is a power of two.

References: T. Chen, I. Goodfellow, J. Shlens, "Net2Net: Accelerating learning via knowledge transfer", ICLR
2016, section 2.2 (Net2WiderNet).
"""

from __future__ import annotations

import torch
from torch import Tensor

from surgery_dsl.kernels.gather import as_product, select


def duplication(width: int, target: int, generator: torch.Generator | None = None) -> Tensor:
    """Choose which unit each unit of the wider layer copies.

    The first ``width`` units keep their places. Further ones copy units drawn at random, or, without a
    generator, all units in turn, which keeps counts as even as possible.

    Args:
        width: units now.
        target: units wanted, at least ``width``.
        generator: a CPU generator for random choice (the paper's form).

    Shapes: -> ``(target,)``, int64 on the CPU.

    Raises:
        ValueError: the layer is empty or would shrink.
    """
    if not 1 <= width <= target:
        raise ValueError(f"{width} units cannot be widened to {target}")
    more = target - width
    extra = torch.arange(more) % width if generator is None else torch.randint(width, (more,), generator=generator)
    return torch.cat([torch.arange(width), extra])


def copies(source: Tensor, width: int) -> Tensor:
    """Count how often each original unit occurs, as seen by each unit of the wider layer.

    Shapes: ``(target,)`` -> ``(target,)``, int64.
    """
    return torch.bincount(source, minlength=width)[source]


def widen_writer(
    tensor: Tensor, dim: int, source: Tensor, sizes: tuple[int, ...] | None = None, position: int = 0
) -> Tensor:
    """Duplicate units along an axis of what produces them: weights, biases, norm parameters and statistics.

    Args:
        tensor: any dtype and device.
        dim: dimension that holds the axis.
        source: made by :func:`duplication`.
        sizes: sizes of the dimension's axes, outermost first; by default the dimension is one axis.
        position: which of ``sizes`` is meant.

    Shapes: ``(…, width, …)`` -> ``(…, target, …)``. Values are copied bit for bit.

    Raises:
        ValueError: an index or the sizes do not fit the tensor.
    """
    return select(tensor, dim, source, sizes, position)


def widen_reader(
    tensor: Tensor, dim: int, source: Tensor, sizes: tuple[int, ...] | None = None, position: int = 0
) -> Tensor:
    """Duplicate units along an axis of what reads them, divided by the number of copies.

    Args: as :func:`widen_writer`; ``tensor`` is a float weight.

    Shapes: ``(…, width, …)`` -> ``(…, target, …)``.
    Dtype and device: kept; divided in the tensor's dtype.

    Raises:
        ValueError: an index or the sizes do not fit the tensor.
    """
    factors = (tensor.shape[dim],) if sizes is None else sizes
    wide = select(tensor, dim, source, factors, position)
    target_factors = (*factors[:position], len(source), *factors[position + 1 :])
    view = as_product(wide, dim, target_factors, position).movedim(dim + position, -1)
    view /= copies(source, factors[position]).to(wide.device, wide.dtype)
    return wide


def perturb_copies_(
    tensor: Tensor,
    dim: int,
    width: int,
    noise: float,
    generator: torch.Generator,
    sizes: tuple[int, ...] | None = None,
    position: int = 0,
) -> None:
    """Add noise to the copied units of a widened weight, in place, so that training can tell them apart.

    Normal noise of standard deviation ``noise`` times that of the original units is added to all units from
    ``width`` on. The function is then preserved only approximately.

    Args:
        tensor: what :func:`widen_writer` returned.
        dim: dimension that holds the axis.
        width: units before widening.
        noise: relative standard deviation, not negative; 0 changes nothing and draws nothing.
        generator: a CPU generator.
        sizes: sizes of the dimension's axes after widening.
        position: which of ``sizes`` is meant.

    Dtype and device: drawn in float32 on the CPU (float64 for float64), so that results do not depend on
        the device.

    Raises:
        ValueError: the noise is negative.
    """
    if noise < 0:
        raise ValueError(f"noise is a standard deviation, not {noise}")
    factors = (tensor.shape[dim],) if sizes is None else sizes
    axes = as_product(tensor, dim, factors, position).movedim(dim + position, 0)
    extra = axes[width:]
    if not noise or not extra.numel():
        return
    dtype = torch.float64 if tensor.dtype is torch.float64 else torch.float32
    spread = float(axes[:width].to(torch.float64).std(correction=0))
    drawn = torch.randn(extra.shape, generator=generator, dtype=dtype) * (noise * spread)
    extra += drawn.to(tensor.device, tensor.dtype)
