"""Masks and index lists: the lowest of one score vector, its complement, packed bits, counts.

Order is total everywhere: by score, then by index. Both zeros tie; NaN is refused.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from surgery_dsl.kernels.blocks import aligned_blocks, blocks
from surgery_dsl.kernels.ordered_bits import integer_of, ordered_bits


def lowest(scores_U: Tensor, count: int, *, largest: bool = False) -> Tensor:
    """Return the indices of the ``count`` units of lowest score, ascending.

    Args:
        scores_U: one score for each unit.
        count: units to return.
        largest: return the highest instead; ties still go to the lower index.

    Shapes: ``(U,)`` -> ``(count,)``.
    Dtype and device: float scores; int64 indices on the CPU, so that choices do not depend on the device.
    Numerics: exact and deterministic (a stable sort of the scores' bit patterns).

    Raises:
        ValueError: scores are not a vector, one is NaN, or ``count`` is not in 0..U.
    """
    if scores_U.dim() != 1:
        raise ValueError(f"scores must be a vector, not of shape {tuple(scores_U.shape)}")
    if not 0 <= count <= len(scores_U):
        raise ValueError(f"cannot choose {count} of {len(scores_U)} units")
    keys = ordered_bits(scores_U.detach().to("cpu"))
    order = torch.sort(-keys if largest else keys, stable=True).indices
    return order[:count].sort().values


def kept(size: int, removed: Tensor | Sequence[int]) -> Tensor:
    """Return the indices of 0..size-1 that are not removed, ascending.

    Shapes: removed ``(r,)`` -> ``(size - r,)``, int64 on the CPU.

    Raises:
        ValueError: an index is repeated or outside 0..size-1.
    """
    indices = torch.as_tensor(removed, dtype=torch.int64).to("cpu")
    if indices.numel() and (int(indices.min()) < 0 or int(indices.max()) >= size):
        raise ValueError(f"indices must lie in 0..{size - 1}: {indices.tolist()}")
    keep = torch.ones(size, dtype=torch.bool)
    keep[indices] = False
    remaining = keep.nonzero().view(-1)
    if len(remaining) != size - indices.numel():
        raise ValueError(f"indices are repeated: {indices.tolist()}")
    return remaining


def zero_slices_(tensor: Tensor, dim: int, indices: Tensor) -> None:
    """Write zeros into slices of a tensor along one dimension, in place.

    Args:
        tensor: any dtype and device.
        dim: dimension that is indexed.
        indices: slices to clear, int64 ``(r,)``.

    Raises:
        IndexError: an index or the dimension is out of range.
    """
    tensor.detach().index_fill_(dim, indices.to(tensor.device), 0)


def zero_where_(tensor: Tensor, mask: Tensor) -> None:
    """Write +0.0 where a mask is true, in place, and touch no other bit.

    Args:
        tensor: float16, bfloat16, float32 or float64, on any device.
        mask: booleans of the tensor's shape on its device.

    Numerics: NaN and infinities are cleared too. Extra memory: one block.

    Raises:
        ValueError: the mask is not boolean, or shapes or dtypes do not fit.
    """
    if mask.dtype is not torch.bool:
        raise ValueError(f"a mask must be boolean, not {mask.dtype}")
    integer = integer_of(tensor.dtype)
    for block, chosen in aligned_blocks((tensor, mask)):
        # Multiplying the bits by 0 or 1 is six times faster than masked_fill_ with a random mask on CPU, and
        # unlike a product of floats it never writes -0.0.
        block.view(integer).mul_(~chosen)


def count_nonzero(tensor: Tensor) -> int:
    """Count the entries that are not zero, block by block.

    Shapes: any. Dtype and device: any. Numerics: both zeros count as zero, NaN does not. Extra memory: one
    block of booleans.
    """
    return sum(int((block != 0).sum()) for block in blocks(tensor))


def pack_bits(mask: Tensor) -> Tensor:
    """Store a boolean mask with eight entries a byte, the first in the lowest bit.

    The layout is that of ``numpy.packbits(mask, bitorder="little")``; the last byte is filled with zeros.

    Shapes: any, N entries -> ``(ceil(N / 8),)``.
    Dtype and device: bool -> uint8 on the same device.

    Raises:
        ValueError: the mask is not boolean.
    """
    if mask.dtype is not torch.bool:
        raise ValueError(f"a mask must be boolean, not {mask.dtype}")
    packed = torch.zeros((mask.numel() + 7) // 8, dtype=torch.uint8, device=mask.device)
    flat = mask.contiguous().view(-1)
    for bit in range(8):
        column = flat[bit::8]
        packed[: len(column)] |= column.to(torch.uint8) << bit
    return packed


def unpack_bits(packed: Tensor, shape: Sequence[int]) -> Tensor:
    """Restore the boolean mask that :func:`pack_bits` stored.

    Shapes: ``(ceil(N / 8),)`` -> ``shape`` of N entries.
    Dtype and device: uint8 -> bool on the same device.

    Raises:
        ValueError: the number of bytes does not fit the shape.
    """
    size = torch.Size(shape).numel()
    if packed.dtype is not torch.uint8 or packed.numel() != (size + 7) // 8:
        raise ValueError(f"{packed.numel()} elements of {packed.dtype} do not hold a mask of {size} entries")
    mask = torch.empty(size, dtype=torch.bool, device=packed.device)
    for bit in range(8):
        column = mask[bit::8]
        column.copy_((packed[: len(column)] >> bit) & 1)
    return mask.view(tuple(shape))
