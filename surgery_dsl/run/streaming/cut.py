"""The bytes of a tensor that stay, read from a file in bounded blocks. Dtypes do not matter: bytes are moved.

What is contiguous in the file is read straight to where it goes. Other rows and columns are gathered from blocks of
whole rows. Every byte is read into memory that is used again: fresh memory costs as much as the reading.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from math import prod

import torch
from torch import Tensor

from surgery_dsl.kernels.gather import take_block

BLOCK = 1 << 20
"""Bytes that are asked for at once: they stay in a core's cache between reading, gathering and digesting."""
RUN = 64 << 10
"""Bytes of a run of rows from which on rows are read one run after the other, and not with what lies between."""
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}

Space = Callable[[int], Tensor]
"""Gives memory for the next so many bytes, aligned for their elements. It is filled before more is asked for."""


def cut(file: int, first: int, shape: tuple[int, ...], item: int, keep: Mapping[int, Tensor], space: Space) -> None:
    """Read what stays of a tensor, in order, into the memory that is given for it, at most a block at a time.

    Args:
        file: Descriptor of the file; its position is not used.
        first: Where the tensor begins in it.
        shape: Shape of the tensor in the file.
        item: Bytes of one element.
        keep: For each dimension that changes, the indices that stay; repeats duplicate.
        space: Where the bytes go.

    Raises:
        OSError: The file cannot be read, or ends too soon.
    """
    if not keep or not prod(shape):
        _ranges(file, [(first, prod(shape) * item)], space)
        return
    rows = keep.get(0)
    inner = {dim: indices for dim, indices in keep.items() if dim}
    width = prod(shape[1:]) * item
    if not inner and rows is not None:
        runs = list(_runs(rows))
        if len(runs) == 0 or len(rows) * width // len(runs) >= RUN:
            _ranges(file, [(first + start * width, count * width) for start, count in runs], space)
            return
    thin = prod(len(inner[dim]) if dim in inner else size for dim, size in enumerate(shape) if dim) * item
    if max(width, thin) > BLOCK:
        within = {dim - 1: indices for dim, indices in inner.items()}
        for row in range(shape[0]) if rows is None else rows.tolist():
            cut(file, first + row * width, shape[1:], item, within, space)
    elif thin:
        _blocks(file, first, (torch.arange(shape[0]) if rows is None else rows), (shape[1:], item), inner, space)


def copy(values: Tensor, space: Space) -> None:
    """Copy bytes that are in memory to where they go, at most a block at a time."""
    for block in torch.split(values, BLOCK):
        space(len(block)).copy_(block)


def _blocks(
    file: int, first: int, rows: Tensor, row: tuple[tuple[int, ...], int], inner: Mapping[int, Tensor], space: Space
) -> None:
    """Gather from blocks of whole rows, each of a shape and bytes an element."""
    shape, item = row
    width = prod(shape) * item
    kept = [len(inner[dim]) if dim in inner else size for dim, size in enumerate(shape, 1)]
    thin = prod(kept) * item
    most = BLOCK // max(width, thin)
    scratch = torch.empty((most, *shape), dtype=_WORDS[item])
    at = 0
    while at < len(rows):
        low, high, end = _span(rows, at, most)
        block = scratch[: high - low]
        _fill(file, first + low * width, block)
        chosen = rows[at:end] - low
        out = space(len(chosen) * thin).view(_WORDS[item]).view(len(chosen), *kept)
        take_block(block, {0: chosen, **inner}, out)
        at = end


def _span(wanted: Tensor, at: int, most: int) -> tuple[int, int, int]:
    """Return the least row, the row behind the greatest, and the end of the next rows that one block can hold."""
    part = wanted[at : at + most]
    low = torch.cummin(part, 0).values
    high = torch.cummax(part, 0).values + 1
    fits = int(((high - low) <= most).sum())  # spans only grow
    return int(low[fits - 1]), int(high[fits - 1]), at + fits


def _runs(rows: Tensor) -> Iterator[tuple[int, int]]:
    """Yield first row and length of each run of consecutive rows."""
    if not len(rows):
        return
    breaks = (torch.nonzero(rows[1:] != rows[:-1] + 1).reshape(-1) + 1).tolist()
    for start, end in zip([0, *breaks], [*breaks, len(rows)], strict=True):
        yield int(rows[start]), end - start


def _ranges(file: int, ranges: list[tuple[int, int]], space: Space) -> None:
    """Read ranges of a file behind one another, in full blocks but for the last."""
    left = sum(size for _, size in ranges)
    block, filled = torch.empty(0, dtype=torch.uint8), 0
    for first, size in ranges:
        done = 0
        while done < size:
            if filled == len(block):
                block, filled = space(min(left, BLOCK)), 0
            count = min(size - done, len(block) - filled)
            _fill(file, first + done, block[filled : filled + count])
            done, filled, left = done + count, filled + count, left - count


def _fill(file: int, first: int, block: Tensor) -> None:
    view = view_of(block)
    done = 0
    while done < len(view):
        count = os.preadv(file, [view[done:]], first + done)
        if not count:
            raise OSError(0, "the file ends before its tensors do")
        done += count


def view_of(block: Tensor) -> memoryview:
    """Return the bytes of a contiguous block, where they are."""
    return memoryview(block.reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]
