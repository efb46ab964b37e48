"""Search for an input of a region where two networks differ most: what a bound can be at least.

Projected gradient ascent (Madry et al., ICLR 2018, arXiv 1706.06083, section 2.1) on the largest of some linear forms
of the change, or on another value of both outputs, from the middle of the region, its far corner and random starts.
From the best input, coordinates are then moved to ends of their sides one by one: networks of linear pieces differ most
at corners of their pieces, often of the region, and a gradient knows only its own piece.
What is found is a *witness*, never a bound: the largest change is at least that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.graph import Graph
from surgery_dsl.evidence.bounds.region import Box

TRIES = 16
"""Coordinates that are tried for each that is moved."""
Value = Callable[[Tensor, Tensor], Tensor]
"""What is to be great, [B], of the outputs [B, …] of the network before and of the one after; differentiable."""

Inside = Callable[[Tensor], Tensor]
"""The same, of one input of each box, [B, 1, *shape]."""


@final
@dataclass(frozen=True)
class Attack:
    """The worst inputs that were found, one for each box.

    Attributes:
        points: [B, 1, *shape], inside the boxes.
        values: [B]: the value there, in float64.
    """

    points: Tensor
    values: Tensor


def attack(
    old: Graph,
    new: Graph,
    box: Box,
    wanted: "Tensor | Value",
    seed: int = 0,
    starts: int = 4,
    steps: int = 40,
    moves: int = 16,
) -> Attack:
    """Look for inputs where a value of both networks' outputs is great.

    Args:
        old: The network before.
        new: The network after.
        box: Where to look, for networks of one input; B boxes side by side.
        wanted: The value; or forms [K, outputs], float64: the largest of them of f′(x) − f(x).
        seed: Of the random starts.
        starts: How many starts; the first is the middle.
        steps: Steps of each; the step shrinks from a quarter of the box to nothing.
        moves: How many coordinates are moved at last, at most.
    """
    score = _largest_of(wanted) if isinstance(wanted, Tensor) else wanted

    def value(x: Tensor) -> Tensor:
        return score(old.run(x), new.run(x))

    generator = torch.Generator().manual_seed(seed)
    middle = (box.low + box.high) / 2
    best = Attack(middle, torch.full(middle.shape[:1], -torch.inf, dtype=torch.float64, device=middle.device))
    for start in range(starts):
        share = torch.rand(middle.shape, generator=generator, dtype=torch.float64).to(middle.device)
        share = torch.full_like(share, 0.5) if start == 0 else share.round() if start == 1 else share
        best = ascended(value, box, (box.low + (box.high - box.low) * share).clamp(box.low, box.high), steps, best)
    return climbed(value, box, best, moves)


def ascended(value: Inside, box: Box, x: Tensor, steps: int, best: Attack) -> Attack:
    """Return the best of what was known and of the points on the way up from ``x``."""
    for step in range(steps + 1):
        found, slope = _with_slope(value, x)
        best = _better(best, x, found)
        rate = 0.25 * (1 - step / max(steps, 1))
        x = (x + rate * (box.high - box.low) * slope.sign()).clamp(box.low, box.high)
    return best


def climbed(value: Inside, box: Box, best: Attack, moves: int, tries: int = TRIES) -> Attack:
    """Move the one coordinate to the one end that makes the value greatest, of those that the slope says most of."""
    low, high = box.low.flatten(1), box.high.flatten(1)
    for _ in range(moves):
        _, slope = _with_slope(value, best.points)
        here, slope = best.points.flatten(1), slope.flatten(1)
        end = torch.where(slope > 0, high, low)
        end = torch.where(here == end, low + high - end, end)  # at its best end already: the gradient may err
        before, likely = best, (slope * (end - here)).topk(min(tries, here.shape[1]), 1).indices
        for at in torch.split(likely, 1, 1):
            x = here.scatter(1, at, end.gather(1, at)).reshape(best.points.shape).clamp(box.low, box.high)
            best = _better(best, x, value(x).detach())
        if torch.equal(best.values, before.values):
            break
    return best


def _with_slope(value: Inside, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        found = value(x)
    return found.detach(), torch.autograd.grad(found.sum(), x)[0]


def _better(best: Attack, x: Tensor, found: Tensor) -> Attack:
    better = found > best.values
    points = torch.where(better.reshape(-1, *[1] * (x.dim() - 1)), x.detach(), best.points)
    return Attack(points, torch.where(better, found, best.values))


def _largest_of(forms: Tensor) -> Value:
    return lambda old, new: ((new - old).flatten(1) @ forms.T).amax(1)
