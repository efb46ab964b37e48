"""Find the key at a place in the order of many streams, without sorting or storing them.

A histogram over the upper bits of the keys tells in which cell the wanted one lies; the cell becomes the next
histogram's whole range, and what remains is small enough to sort. This is most-significant-digit radix
selection (D. Knuth, The Art of Computer Programming, volume 3, section 5.2.5), streamed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

import torch
from torch import Tensor

SORTABLE = 1 << 19  # so many candidates are gathered and sorted; more are counted again
_POOLED_BITS = 16  # cells of one histogram: 2**16 counters of 8 bytes, half a MiB
_TABLE_BITS = 20  # cells of all histograms together: 8 MiB


@final
@dataclass(frozen=True, eq=False)
class Keys:
    """Hold integer keys of several streams, read one block at a time and as often as needed.

    Attributes:
        sizes: keys in each stream.
        read: yields the blocks of the stream at a position.
        span: least and greatest key that can occur.
        probe: the part of the span where the wanted key is looked for first.
    """

    sizes: tuple[int, ...]
    read: Callable[[int], Iterator[Tensor]]
    span: tuple[int, int]
    probe: tuple[int, int]


def locate(stream: Keys, room: Sequence[int], count: int) -> tuple[int, list[int], list[int]]:
    """Find the key of the entry at place ``count``, where no stream counts for more than its room.

    Each stream offers its lowest keys, at most as many as it has room for; of all that is offered the one at
    place ``count`` is wanted.

    Args:
        stream: the keys.
        room: for each stream, how many of its keys count; at most its size.
        count: the place, in 1..sum(room).

    Returns:
        The key, and for each stream how many of its keys lie below it and on it, whatever the room.
    """
    rows = _Rows.over(stream.sizes, room)
    (low, high), probe = stream.span, stream.probe
    held = sum(stream.sizes)
    while low < high and held > SORTABLE:
        low, high, held = _narrow(stream, rows, count, (low, high), probe)
        probe = (low, high)
    return _count(stream, low) if low == high else _sort(stream, room, count, (low, high), held)


def _narrow(
    stream: Keys, rows: _Rows, count: int, known: tuple[int, int], probe: tuple[int, int]
) -> tuple[int, int, int]:
    """Narrow the interval of keys that holds the wanted one, by one histogram over a part of it.

    Returns:
        The new interval's ends, and how many entries lie within.
    """
    low, high = probe
    bits = min(_POOLED_BITS, max(8, _TABLE_BITS - (len(rows.limits) - 1).bit_length()))
    shift = max(0, (high - low).bit_length() - bits)
    below, table = _histogram(stream, rows, low, high, shift)
    held = table.sum(0)
    reached = table.cumsum_(1).add_(below[:, None]).clamp_(max=rows.limits[:, None]).sum(0)
    if int(below.clamp(max=rows.limits).sum()) >= count:
        return known[0], low - 1, int(below.sum())
    if int(reached[-1]) < count:
        return high + 1, known[1], sum(stream.sizes) - int(below.sum() + held.sum())
    cell = int(torch.searchsorted(reached, count))
    start = ((low >> shift) + cell) << shift
    return max(low, start), min(high, start + (1 << shift) - 1), int(held[cell])


def _histogram(stream: Keys, rows: _Rows, low: int, high: int, shift: int) -> tuple[Tensor, Tensor]:
    """Count keys below ``low``, and those of each cell of 2**shift keys up to ``high``, by row."""
    first = low >> shift
    cells = (high >> shift) - first + 1
    below = torch.zeros(len(rows.limits), dtype=torch.int64)
    table = torch.zeros(len(rows.limits), cells, dtype=torch.int64)
    for position, row in enumerate(rows.of):
        for keys in stream.read(position):
            smallest, greatest = (int(end) for end in keys.aminmax())
            if smallest < low or greatest > high:
                less, keys = _split(keys, low, high)
                below[row] += less
            # bincount is three times slower on int16; shifting first keeps the difference in range
            index = (keys >> shift).to(torch.int32 if keys.dtype is torch.int16 else keys.dtype).sub_(first)
            table[row] += torch.bincount(index.view(-1), minlength=cells).to("cpu")
    return below, table


def _split(keys: Tensor, low: int, high: int) -> tuple[int, Tensor]:
    """Count the keys below ``low`` and gather those from ``low`` to ``high``."""
    less = keys < low
    inside = (keys <= high).logical_xor_(less)
    return int(less.sum()), keys[inside]


def _count(stream: Keys, key: int) -> tuple[int, list[int], list[int]]:
    """Count each stream's entries below a key and on it."""
    less, equal = [], []
    for position in range(len(stream.sizes)):
        below = same = 0
        for keys in stream.read(position):
            below += int((keys < key).sum())
            same += int((keys == key).sum())
        less.append(below)
        equal.append(same)
    return key, less, equal


def _sort(
    stream: Keys, room: Sequence[int], count: int, known: tuple[int, int], held: int
) -> tuple[int, list[int], list[int]]:
    """Find the wanted key among the few entries between two keys, by sorting them."""
    # One buffer instead of many small tensors: those would be cut from the holes that freed blocks leave, so
    # that every next block needs fresh memory.
    gathered = torch.empty(held, dtype=torch.int64)
    below, ends, end = [], [], 0
    for position in range(len(stream.sizes)):
        before = 0
        for keys in stream.read(position):
            less, within = _split(keys, *known)
            gathered[end : end + len(within)] = within
            before += less
            end += len(within)
        below.append(before)
        ends.append(end)
    inside = [gathered[start:end].sort().values for start, end in pairwise([0, *ends])]
    usable = [keys[: max(0, most - less)] for keys, most, less in zip(inside, room, below, strict=True)]
    wanted = count - sum(min(most, less) for most, less in zip(room, below, strict=True))
    key = int(torch.cat(usable).kthvalue(wanted).values)
    lower = [int(torch.searchsorted(keys, key)) for keys in inside]
    upper = [int(torch.searchsorted(keys, key, right=True)) for keys in inside]
    smaller = [before + more for before, more in zip(below, lower, strict=True)]
    return key, smaller, [last - first for first, last in zip(lower, upper, strict=True)]


@final
@dataclass(frozen=True, eq=False)
class _Rows:
    """Assign streams to histogram rows: one for all that cannot reach their limit, one for each other."""

    of: tuple[int, ...]
    limits: Tensor

    @staticmethod
    def over(sizes: Sequence[int], room: Sequence[int]) -> _Rows:
        of: list[int] = []
        limits = [0]
        for size, most in zip(sizes, room, strict=True):
            if most >= size:
                of.append(0)
                limits[0] += size
            else:
                of.append(len(limits))
                limits.append(most)
        return _Rows(tuple(of), torch.tensor(limits))
