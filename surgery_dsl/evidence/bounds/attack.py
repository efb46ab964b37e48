"""Search for an input of a region where two networks differ most: what a bound can be at least.

Projected gradient ascent (Madry et al., ICLR 2018, arXiv 1706.06083, section 2.1) on the largest of some linear forms
of the change, or on another value of both outputs, from the middle of the region, its far corner and random starts.
What is found is a *witness*, never a bound: the largest change is at least that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.graph import Graph
from surgery_dsl.evidence.bounds.region import Box

Value = Callable[[Tensor, Tensor], Tensor]
"""What is to be great, [B], of the outputs [B, …] of the network before and of the one after; differentiable."""


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
    old: Graph, new: Graph, box: Box, wanted: "Tensor | Value", seed: int = 0, starts: int = 4, steps: int = 40
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
    """
    score = _largest_of(wanted) if isinstance(wanted, Tensor) else wanted
    generator = torch.Generator().manual_seed(seed)
    width = box.high - box.low
    best = torch.full((width.shape[0],), -torch.inf, dtype=torch.float64, device=width.device)
    points = (box.low + box.high) / 2
    for start in range(starts):
        share = torch.rand(width.shape, generator=generator, dtype=torch.float64).to(width.device)
        share = torch.full_like(share, 0.5) if start == 0 else share.round() if start == 1 else share
        x = (box.low + width * share).clamp(box.low, box.high)
        for step in range(steps + 1):
            x = x.detach().requires_grad_()
            with torch.enable_grad():
                value = score(old.run(x), new.run(x))
            better = value.detach() > best
            best = torch.where(better, value.detach(), best)
            points = torch.where(better.reshape(-1, *[1] * (x.dim() - 1)), x.detach(), points)
            if step == steps:
                break
            (slope,) = torch.autograd.grad(value.sum(), x)
            rate = 0.25 * (1 - step / steps)
            x = (x.detach() + rate * width * slope.sign()).clamp(box.low, box.high)
    return Attack(points, best)


def _largest_of(forms: Tensor) -> Value:
    return lambda old, new: ((new - old).flatten(1) @ forms.T).amax(1)
