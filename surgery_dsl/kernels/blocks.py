"""Work through large tensors in small blocks, in row-major order and without copies.

A block of 2**18 float32 entries is 1 MiB: it stays in a core's cache while several operations pass
over it, which makes a chain of elementwise operations cost little more than one reading of memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

CPU_BLOCK = 1 << 18
ACCELERATOR_BLOCK = 1 << 24


def block_limit(device: torch.device) -> int:
    """Return how many entries one block should hold on a device.

    CPU blocks fit a second-level cache; accelerator blocks are large enough to hide the cost of
    starting kernels.
    """
    return CPU_BLOCK if device.type == "cpu" else ACCELERATOR_BLOCK


def block_indices(shape: Sequence[int], limit: int) -> Iterator[tuple[int | slice, ...]]:
    """Yield indices that cut a shape into blocks, in row-major order.

    The first dimension whose remaining entries fit the limit is cut into even ranges; dimensions
    before it are walked one index at a time.

    Args:
        shape: sizes of the tensor.
        limit: most entries of one block.

    Raises:
        ValueError: the limit is below 1.
    """
    if limit < 1:
        raise ValueError(f"a block must hold at least 1 entry, not {limit}")
    if 0 in shape:
        return
    if math.prod(shape) <= limit:
        yield ()
        return
    split = next(dim for dim in range(len(shape)) if math.prod(shape[dim + 1 :]) <= limit)
    rows = shape[split]
    ranges = math.ceil(rows / (limit // math.prod(shape[split + 1 :])))
    step = math.ceil(rows / ranges)
    for outer in range(math.prod(shape[:split])):
        prefix: list[int | slice] = []
        for size in reversed(shape[:split]):
            outer, index = divmod(outer, size)
            prefix.insert(0, index)
        for start in range(0, rows, step):
            yield (*prefix, slice(start, min(start + step, rows)))


def aligned_blocks(tensors: Sequence[Tensor], limit: int | None = None) -> Iterator[tuple[Tensor, ...]]:
    """Yield views of the same block of several tensors of one shape.

    Blocks come in row-major order of the logical index, whatever the strides, and together cover
    every entry once. Blocks of contiguous tensors are flat; others keep the rank that indexing leaves.
    Writing into a block writes into its tensor.

    Args:
        tensors: at least one tensor; all of one shape. Devices and dtypes may differ.
        limit: most entries of one block; by default :func:`block_limit` of the first tensor's device.

    Raises:
        ValueError: no tensor, or shapes that differ.
    """
    if not tensors:
        raise ValueError("blocks need at least one tensor")
    shape = tensors[0].shape
    for tensor in tensors[1:]:
        if tensor.shape != shape:
            raise ValueError(f"shapes differ: {tuple(shape)} and {tuple(tensor.shape)}")
    size = block_limit(tensors[0].device) if limit is None else limit
    plain = [tensor.detach() for tensor in tensors]
    if all(tensor.is_contiguous() for tensor in plain):
        if plain[0].numel():
            yield from zip(*(torch.split(tensor.view(-1), size) for tensor in plain), strict=True)
        return
    for index in block_indices(shape, size):
        yield tuple(tensor[index] for tensor in plain)


def blocks(tensor: Tensor, limit: int | None = None) -> Iterator[Tensor]:
    """Yield views of one tensor's blocks; see :func:`aligned_blocks`."""
    for (block,) in aligned_blocks((tensor,), limit):
        yield block
