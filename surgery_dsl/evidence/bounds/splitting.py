"""Splitting a box where its bound is too wide: many small boxes are bounded better than a large one."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.change import ChangeBound
from surgery_dsl.evidence.bounds.region import Box, Region

Bound = Callable[[Region], ChangeBound]
"""Bounds the forms that are meant over many regions at once."""


@final
@dataclass(frozen=True)
class Split:
    """What came of splitting.

    Attributes:
        bound: Greatest bound over all parts: of the forms that are meant, over the whole region.
        parts: How many boxes the region was cut into.
        pieces: Those boxes, with the bound of each: a proof that is checked without a search.
        seconds: Wall time.
    """

    bound: float
    parts: int
    pieces: Box
    bounds: Tensor
    seconds: float


@dataclass(frozen=True)
class _Parts:
    """Boxes side by side: their ends, the bound of each, and the flat side across which it is best halved."""

    low: Tensor
    high: Tensor
    bound: Tensor
    side: Tensor

    def take(self, which: Tensor) -> "_Parts":
        return _Parts(self.low[which], self.high[which], self.bound[which], self.side[which])

    def and_(self, other: "_Parts") -> "_Parts":
        return _Parts(
            torch.cat([self.low, other.low]),
            torch.cat([self.high, other.high]),
            torch.cat([self.bound, other.bound]),
            torch.cat([self.side, other.side]),
        )


def split(bound: Bound, region: Region, limit: float, seconds: float, most: int = 100_000, batch: int = 128) -> Split:
    """Bound forms over boxes by halving parts, the worst first, until all are at most a limit or time is up.

    A part is halved across the side along which its form can change most: coefficient times width.

    Args:
        bound: What is bounded.
        region: Boxes for one input.
        limit: Parts at or below it are not cut further.
        seconds: Wall time. No halving is begun that would last longer if it took as long as the one before; the bound
            found so far holds.
        most: Most parts.
        batch: Parts that are bounded side by side.
    """
    began = time.monotonic()
    box = region.boxes[0]
    found = _bounded(bound, box.low, box.high, batch)
    closed, open_ = _apart(found, limit)
    last = 0.0
    while True:
        room = min(batch // 2, most - len(closed.bound) - len(open_.bound), len(open_.bound))
        start = time.monotonic()
        if room < 1 or start - began + last > seconds:
            break
        order = open_.bound.argsort(descending=True)
        done, still = _apart(_bounded(bound, *_halved(open_.take(order[:room])), batch), limit)
        closed, open_ = closed.and_(done), open_.take(order[room:]).and_(still)
        last = time.monotonic() - start
    every = closed.and_(open_)
    return Split(
        float(every.bound.max()), len(every.bound), Box(every.low, every.high), every.bound, time.monotonic() - began
    )


def _bounded(bound: Bound, low: Tensor, high: Tensor, batch: int) -> _Parts:
    found: _Parts | None = None
    for start in range(0, len(low), batch):
        ends = low[start : start + batch], high[start : start + batch]
        one = bound(Region({0: Box(*ends)}))
        worst, form = one.bound.max(1)
        part = _Parts(*ends, worst, _side(ends[1] - ends[0], one, form))
        found = part if found is None else found.and_(part)
    assert found is not None
    return found


def _apart(parts: _Parts, limit: float) -> tuple[_Parts, _Parts]:
    """Return the parts that keep a limit, and the others; what is not a number does not keep it."""
    keeps = parts.bound <= limit
    return parts.take(keeps), parts.take(~keeps)


def _side(width: Tensor, found: ChangeBound, form: Tensor) -> Tensor:
    weight = width = width.flatten(1)
    if found.slopes is not None:
        rows = found.slopes[torch.arange(len(form)), form].flatten(1)
        weight = width * (rows.abs() + rows.abs().amax(1, keepdim=True) * 1e-3)
    return weight.argmax(1)


def _halved(parts: _Parts) -> tuple[Tensor, Tensor]:
    """Return both halves of each box; halves meet in a face that belongs to both, so that none of it is lost."""
    shape, side = parts.low.shape, parts.side.unsqueeze(1)
    low, high = parts.low.flatten(1), parts.high.flatten(1)
    middle = (low.gather(1, side) + high.gather(1, side)) / 2
    first, second = high.scatter(1, side, middle).reshape(shape), low.scatter(1, side, middle).reshape(shape)
    return torch.cat([parts.low, second]), torch.cat([first, parts.high])
