"""The bytes of a tensor that stay, read from a file in bounded blocks. Dtypes do not matter: bytes are moved.

What is contiguous in the file is read as it is. Other rows and columns are gathered from blocks of whole rows. Every
block that is given out has memory of its own, so that it may be written and digested while the next is read.
"""

import os
from collections.abc import Iterator, Mapping
from math import prod

import torch
from torch import Tensor

from surgery_dsl.kernels.gather import take_block

BLOCK = 2 << 20
"""Bytes that are read at once."""
RUN = 16 << 10
"""Bytes of a run of rows from which on rows are read one run after the other, and not with what lies between."""
_WORDS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def cut(file: int, first: int, shape: tuple[int, ...], item: int, keep: Mapping[int, Tensor]) -> Iterator[Tensor]:
    """Yield what stays of a tensor, in order, as blocks of bytes.

    Args:
        file: Descriptor of the file; its position is not used.
        first: Where the tensor begins in it.
        shape: Shape of the tensor in the file.
        item: Bytes of one element.
        keep: For each dimension that changes, the indices that stay; repeats duplicate.

    Raises:
        OSError: The file cannot be read, or ends too soon.
    """
    if not keep or not prod(shape):
        size = prod(shape) * item
        yield from _ranges(file, [(first, size)] if size else [])
        return
    rows = keep.get(0)
    inner = {dim: indices for dim, indices in keep.items() if dim}
    width = prod(shape[1:]) * item
    if not inner and rows is not None:
        runs = list(_runs(rows))
        if len(runs) == 0 or len(rows) * width // len(runs) >= RUN:
            yield from _ranges(file, [(first + start * width, count * width) for start, count in runs])
            return
    if width > BLOCK:
        for row in range(shape[0]) if rows is None else rows.tolist():
            yield from cut(file, first + row * width, shape[1:], item, {dim - 1: k for dim, k in inner.items()})
        return
    yield from _blocks(file, first, shape, item, rows, inner)


def _blocks(
    file: int, first: int, shape: tuple[int, ...], item: int, rows: Tensor | None, inner: Mapping[int, Tensor]
) -> Iterator[Tensor]:
    """Gather from blocks of whole rows."""
    width = prod(shape[1:]) * item
    thin = prod(len(inner[dim]) if dim in inner else size for dim, size in enumerate(shape) if dim) * item
    most = max(1, BLOCK // max(width, thin, 1))
    wanted = torch.arange(shape[0]) if rows is None else rows
    at = 0
    while at < len(wanted):
        low, high, end = _span(wanted, at, most)
        block = torch.empty((high - low, *shape[1:]), dtype=_WORDS[item])
        _fill(file, first + low * width, block)
        chosen = wanted[at:end] - low
        whole = rows is None or (len(chosen) == high - low and bool((chosen == torch.arange(high - low)).all()))
        yield _bytes(take_block(block, dict(inner) if whole else {0: chosen, **inner}))
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


def _ranges(file: int, ranges: list[tuple[int, int]]) -> Iterator[Tensor]:
    """Yield ranges of a file behind one another, in full blocks but for the last."""
    left = sum(size for _, size in ranges)
    block, filled = torch.empty(min(left, BLOCK), dtype=torch.uint8), 0
    for first, size in ranges:
        done = 0
        while done < size:
            count = min(size - done, len(block) - filled)
            _fill(file, first + done, block[filled : filled + count])
            done, filled, left = done + count, filled + count, left - count
            if filled == len(block):
                yield block
                block, filled = torch.empty(min(left, BLOCK), dtype=torch.uint8), 0


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
    return memoryview(_bytes(block).numpy())  # type: ignore[arg-type]


def _bytes(block: Tensor) -> Tensor:
    return block.reshape(-1).view(torch.uint8)
