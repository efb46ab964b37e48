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
