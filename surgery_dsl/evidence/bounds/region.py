"""Sets of inputs over which a bound holds: boxes, and tokens from a vocabulary."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.rounding import Unsound


@final
@dataclass(frozen=True)
class Box:
    """All points between two corners, many boxes side by side.

    Attributes:
        low: [B, 1, *shape], float64.
        high: The same.
    """

    low: Tensor
    high: Tensor

    def __post_init__(self) -> None:
        ordered = self.low <= self.high  # false for NaN
        finite = torch.isfinite(self.low) & torch.isfinite(self.high)
        if not bool((ordered & finite).all()):
            raise Unsound("a box whose corners are not finite, or not in order")


@final
@dataclass(frozen=True)
class Region:
    """What the inputs of a network may be.

    Attributes:
        boxes: By the number of the input, for inputs that are real numbers.
        tokens: By the number of the input, for integers that only look up rows: [B, 1, …, rows], true where a row may
            be looked up at a place.
    """

    boxes: Mapping[int, Box] = field(default_factory=dict)
    tokens: Mapping[int, Tensor] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many regions lie side by side: B."""
        first = next(iter([*(box.low for box in self.boxes.values()), *self.tokens.values()]))
        return first.shape[0]

    @property
    def dimensions(self) -> int:
        """How many numbers and tokens an input has."""
        tokens = sum(allowed[0, ..., 0].numel() for allowed in self.tokens.values())
        return sum(box.low[0].numel() for box in self.boxes.values()) + tokens

    def to(self, device: "torch.device") -> "Region":
        """Return the region on a device."""
        boxes = {at: Box(box.low.to(device), box.high.to(device)) for at, box in self.boxes.items()}
        return Region(boxes, {at: allowed.to(device) for at, allowed in self.tokens.items()})

    def holds(self, *points: Tensor) -> bool:
        """Whether one input of each region, given for each input of the network, lies in it."""
        for at, box in self.boxes.items():
            if points[at].shape != box.low.shape or not bool(
                ((points[at] >= box.low) & (points[at] <= box.high)).all()
            ):
                return False
        for at, allowed in self.tokens.items():
            shape, rows = allowed.shape[:-1], allowed.shape[-1]
            if points[at].shape != shape or not bool(((points[at] >= 0) & (points[at] < rows)).all()):
                return False
            if not bool(allowed.gather(-1, points[at].unsqueeze(-1)).all()):
                return False
        return True

    def part(self, wanted: Tensor) -> "Region":
        """Return some of the regions, by position."""
        boxes = {at: Box(box.low[wanted], box.high[wanted]) for at, box in self.boxes.items()}
        return Region(boxes, {at: allowed[wanted] for at, allowed in self.tokens.items()})


def around(points: Tensor, radius: float, low: float | None = None, high: float | None = None) -> Region:
    """Return the l∞ balls around points [B, *shape] of one input, cut at the ends of a domain where given.

    The corners are computed in float64 and moved outward by one unit in the last place, so that every point of the
    ball in real arithmetic is inside.
    """
    centre = points.double().unsqueeze(1)
    inf = torch.full_like(centre, torch.inf)
    first = torch.nextafter(centre - radius, -inf) if radius else centre
    last = torch.nextafter(centre + radius, inf) if radius else centre
    if low is not None:
        first, last = first.clamp(min=low), last.clamp(min=low)
    if high is not None:
        first, last = first.clamp(max=high), last.clamp(max=high)
    return Region({0: Box(first, last)})


def held(points: Tensor, box: Box, dtype: torch.dtype) -> Tensor:
    """Return inputs of the boxes that a dtype holds, near the given ones; else the given ones."""
    near = points.to(dtype)
    if dtype in (torch.float32, torch.float64):
        inf = torch.full_like(near, torch.inf)
        near = torch.where(near.double() < box.low, torch.nextafter(near, inf), near)
        near = torch.where(near.double() > box.high, torch.nextafter(near, -inf), near)
    inside = (near.double() >= box.low) & (near.double() <= box.high)
    return torch.where(inside, near.double(), points)
