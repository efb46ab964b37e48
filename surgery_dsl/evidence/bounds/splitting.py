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


def split(bound: Bound, region: Region, limit: float, seconds: float, most: int = 100_000, batch: int = 128) -> Split:
    """Bound forms over one box by halving parts until all are at most a limit, or time is up.

    A part is halved across the side along which its form can change most: coefficient times width.

    Args:
        bound: What is bounded.
        region: One box for one input.
        limit: Parts at or below it are not cut further.
        seconds: Wall time after which no part is cut any more. The bound found so far holds.
        most: Most parts.
        batch: Parts that are bounded side by side.
    """
    began = time.monotonic()
    box = region.boxes[0]
    done: list[tuple[Tensor, Tensor, Tensor]] = []
    lows, highs = box.low, box.high
    parts = lows.shape[0]
    while lows.shape[0]:
        take = min(batch, lows.shape[0])
        low, high = lows[-take:], highs[-take:]
        lows, highs = lows[:-take], highs[:-take]
        found = bound(Region({0: Box(low, high)}))
        worst, form = found.bound.max(1)
        open_ = ~(worst <= limit)  # so that what is not a number counts as open
        exhausted = time.monotonic() - began > seconds or parts + int(open_.sum()) > most
        closed = torch.ones_like(open_) if exhausted else ~open_
        done.append((low[closed], high[closed], worst[closed]))
        if exhausted:
            if lows.shape[0]:
                starts = range(0, lows.shape[0], batch)
                turns = [(lows[start : start + batch], highs[start : start + batch]) for start in starts]
                rest = [bound(Region({0: Box(*turn)})).bound.amax(1) for turn in turns]
                done.append((lows, highs, torch.cat(rest)))
            break
        if bool(open_.any()):
            first, last = _halved(low[open_], high[open_], found, form, open_)
            lows, highs = torch.cat([lows, first]), torch.cat([highs, last])
            parts += int(open_.sum())
    low, high, bounds = (torch.cat(column) for column in zip(*done, strict=True))
    return Split(float(bounds.max()), low.shape[0], Box(low, high), bounds, time.monotonic() - began)


def _halved(low: Tensor, high: Tensor, found: ChangeBound, form: Tensor, open_: Tensor) -> tuple[Tensor, Tensor]:
    """Return both halves of each box; halves meet in a face that belongs to both, so that none of it is lost."""
    width = (high - low).flatten(1)
    weight = width
    if found.slopes is not None:
        rows = found.slopes[open_, form[open_]].flatten(1)
        weight = width * (rows.abs() + rows.abs().amax(1, keepdim=True) * 1e-3)
    side = weight.argmax(1, keepdim=True)
    flat_low, flat_high = low.flatten(1), high.flatten(1)
    middle = (flat_low.gather(1, side) + flat_high.gather(1, side)) / 2
    first = flat_high.scatter(1, side, middle).reshape(high.shape)
    second = flat_low.scatter(1, side, middle).reshape(low.shape)
    return torch.cat([low, second]), torch.cat([first, high])
