"""Importance scores of weights, and their sums over the units of an axis.

Elementwise functions take and return blocks of any shape; ``thresholds.Scores`` and the sums below call them
block by block, so that no score of a whole network is ever stored. The lowest score matters least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from surgery_dsl.kernels.blocks import aligned_blocks, block_indices, block_limit
from surgery_dsl.kernels.gather import as_product


def magnitude(weight: Tensor) -> Tensor:
    """Return ``|w|``.

    Shapes: any -> same. Dtype and device: kept; exact.

    References: S. Han et al., "Learning both weights and connections for efficient neural networks",
        NeurIPS 2015, section 3.1.
    """
    return weight.abs()


def powered(power: float) -> Callable[[Tensor], Tensor]:
    """Return the function ``|w| ** p``, whose sum over a unit is the p-th power of its p-norm.

    Raises:
        ValueError: the power is not positive.

    References: H. Li et al., "Pruning filters for efficient ConvNets", ICLR 2017, section 3.1 (p = 1).
    """
    if not power > 0:
        raise ValueError(f"a norm's power must be positive, not {power}")
    if power == 1:
        return torch.abs
    if power == 2:
        return torch.square
    return lambda weight: weight.abs().pow(power)


def gradient(gradient: Tensor) -> Tensor:
    """Return ``|g|``, the loss's rate of change with each weight.

    Shapes: any -> same. Dtype and device: kept; exact.
    """
    return gradient.abs()


def taylor(weight: Tensor, gradient: Tensor) -> Tensor:
    """Return ``|w · g|``, the first-order estimate of the loss's change if the weight became zero.

    Shapes: two of any one shape -> same. Dtype and device: promoted dtype, device kept.

    References: P. Molchanov et al., "Pruning convolutional neural networks for resource efficient inference",
        ICLR 2017, section 2.2, there averaged over a unit before the absolute value is taken; here each weight
        counts, so that signs do not cancel.
    """
    return (weight * gradient).abs()


def squared_gradient(gradient: Tensor) -> Tensor:
    """Return ``g²``; its mean over samples is the diagonal of the empirical Fisher information.

    Shapes: any -> same. Dtype and device: kept. float16 overflows above 255, so accumulate in float32.
    """
    return gradient.square()


def fisher(weight: Tensor, squared: Tensor) -> Tensor:
    """Return ``w² · E[g²]`` from weights and mean squared gradients.

    Shapes: two of any one shape -> same. Dtype and device: promoted dtype, device kept.

    References: L. Theis et al., "Faster gaze prediction with dense networks and Fisher pruning", 2018,
        arXiv:1801.05787, section 2.1, without the factor 1/2, which changes no order.
    """
    return weight.square() * squared


def accumulator(tensor: Tensor) -> Tensor:
    """Return zeros in which scores of a tensor can be summed over batches.

    Shapes: any -> same. Dtype and device: float32, or float64 for float64; the tensor's device.
    """
    dtype = torch.float64 if tensor.dtype is torch.float64 else torch.float32
    return torch.zeros(tensor.shape, dtype=dtype, device=tensor.device)


def accumulate_(total: Tensor, score: Callable[..., Tensor], *tensors: Tensor) -> None:
    """Add the scores of one batch to a running total, in place.

    Args:
        total: made by :func:`accumulator`.
        score: elementwise function of blocks of ``tensors``.
        tensors: its arguments, of the total's shape.

    Dtype and device: blocks are cast to the total's dtype before ``score`` sees them, so that half-precision
        gradients neither overflow nor vanish when squared. All on one device.
    Extra memory: some blocks.

    Raises:
        ValueError: shapes differ.
    """
    for block, *parts in aligned_blocks((total, *tensors)):
        block.add_(score(*(part.to(total.dtype) for part in parts)))


def axis_sums(
    tensors: Sequence[Tensor],
    score: Callable[..., Tensor],
    dim: int,
    *,
    sizes: Sequence[int] | None = None,
    position: int = 0,
) -> Tensor:
    """Sum elementwise scores over all entries that carry each index of an axis.

    Args:
        tensors: arguments of ``score``, of one shape and on one device.
        score: elementwise function of blocks, computed in float64.
        dim: the dimension that holds the axis, not negative.
        sizes: sizes of the dimension's axes, outermost first; by default the dimension is one axis.
        position: which of ``sizes`` is meant.

    Shapes: ``(…, outer * U * inner, …)`` -> ``(U,)``.
    Dtype and device: any float dtypes -> float64 on the same device.
    Numerics: float64 sums in a fixed order. Extra memory: some blocks in float64.

    Raises:
        ValueError: the sizes do not multiply to the dimension, or shapes differ.
    """
    views, axis = _product_views(tensors, dim, sizes, position)
    total = torch.zeros(views[0].shape[axis], dtype=torch.float64, device=views[0].device)
    for index in block_indices(views[0].shape, block_limit(total.device)):
        values = score(*(view[index].to(torch.float64) for view in views))
        place, others = _place(index, axis, values.dim())
        total[place] += values.sum(others) if others else values
    return total


def gathered(sums: Tensor, owners: Sequence[int], size: int) -> Tensor:
    """Add up sums of single entries by the index that each belongs to.

    Args:
        sums: one sum for each entry of a dimension.
        owners: the index that each entry belongs to, -1 for none; empty where entries are the indices already.
        size: how many indices there are.

    Shapes: ``(entries,)`` -> ``(size,)``. Dtype and device: kept.
    """
    if not len(owners):
        return sums
    index = torch.tensor(owners, dtype=torch.int64, device=sums.device)
    kept = index >= 0
    return torch.zeros(size, dtype=sums.dtype, device=sums.device).index_add_(0, index[kept], sums[kept])


def axis_maxima(
    tensors: Sequence[Tensor],
    score: Callable[..., Tensor],
    dim: int,
    *,
    sizes: Sequence[int] | None = None,
    position: int = 0,
) -> Tensor:
    """Find the greatest elementwise score among the entries that carry each index of an axis.

    A unit whose greatest ``|h|`` over a data set is at most eps is dead on that data set.

    Args, Shapes, Dtype and device: as :func:`axis_sums`. Exact; NaN wins. An empty axis or one without entries
    gives minus infinity.

    Raises:
        ValueError: the sizes do not multiply to the dimension, or shapes differ.
    """
    views, axis = _product_views(tensors, dim, sizes, position)
    best = torch.full((views[0].shape[axis],), -torch.inf, dtype=torch.float64, device=views[0].device)
    for index in block_indices(views[0].shape, block_limit(best.device)):
        values = score(*(view[index].to(torch.float64) for view in views))
        place, others = _place(index, axis, values.dim())
        best[place] = torch.maximum(best[place], values.amax(others) if others else values)
    return best


def axis_products(tensor: Tensor, dim: int, *, sizes: Sequence[int] | None = None, position: int = 0) -> Tensor:
    """Return the inner products of what any two indices of an axis hold: G_ij = Σ a_i · a_j over all other indices.

    Args:
        tensor: any float tensor.
        dim: the dimension that holds the axis, not negative.
        sizes: sizes of the dimension's axes, outermost first; by default the dimension is one axis.
        position: which of ``sizes`` is meant.

    Shapes: ``(…, outer * U * inner, …)`` -> ``(U, U)``.
    Dtype and device: any float dtype -> float64 on the same device.
    Numerics: float64 products of slabs of the other indices, in a fixed order. Extra memory: a slab in float64.

    Raises:
        ValueError: the sizes do not multiply to the dimension.
    """
    (view,), axis = _product_views((tensor,), dim, sizes, position)
    count = view.shape[axis]
    rows = view.movedim(axis, -1).reshape(-1, count)
    total = torch.zeros(count, count, dtype=torch.float64, device=tensor.device)
    for slab in torch.split(rows, max(1, block_limit(tensor.device) // max(count, 1))):
        exact = slab.to(torch.float64)
        total += exact.T @ exact
    return total


def _product_views(
    tensors: Sequence[Tensor], dim: int, sizes: Sequence[int] | None, position: int
) -> tuple[list[Tensor], int]:
    if len({tuple(tensor.shape) for tensor in tensors}) != 1:
        raise ValueError(f"scores need tensors of one shape, not {[tuple(tensor.shape) for tensor in tensors]}")
    if not 0 <= dim < tensors[0].dim():
        raise ValueError(f"dimension {dim} does not exist in shape {tuple(tensors[0].shape)}")
    factors = [tensors[0].shape[dim]] if sizes is None else sizes
    return [as_product(tensor, dim, factors, position) for tensor in tensors], dim + position


def _place(index: tuple[int | slice, ...], axis: int, rank: int) -> tuple[int | slice, list[int]]:
    """Say which indices of the axis a block holds, and which of the block's dimensions are other axes."""
    dropped = sum(isinstance(entry, int) for entry in index)
    place = index[axis] if axis < len(index) else slice(None)
    own = None if isinstance(place, int) else axis - dropped
    return place, [other for other in range(rank) if other != own]
