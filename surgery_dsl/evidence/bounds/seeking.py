"""Search for an input of a region where two networks differ most, tokens among it.

Real numbers are moved by projected gradient ascent (:mod:`surgery_dsl.evidence.bounds.attack`). Tokens are swapped by
the same gradient, taken by the share of every row of the vocabulary at every place: to first order it says what a swap
gains (HotFlip; Ebrahimi et al., ACL 2018, arXiv 1712.06751). What is found is a witness, never a bound.
"""

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from surgery_dsl.evidence.bounds.attack import Value, attack
from surgery_dsl.evidence.bounds.graph import Graph
from surgery_dsl.evidence.bounds.region import Box, Region

MOST_SHARES = 1 << 23
"""Shares of rows that are held at once, over all regions and places."""
DRAWN = 32
"""Tokens that are tried before the search starts at the best of them."""
SWEEPS = 2
"""How often each place is gone through in the end."""
TRIED = 16
"""Rows that are tried at a place."""
MOST_PLACES = 32
"""Places that are gone through."""
Points = tuple[Tensor, ...]
"""One input of each region, for each input of the graphs: real numbers, then tokens."""


def together(region: Region) -> int:
    """Return how many regions are searched side by side."""
    shares = sum(allowed[0].numel() for allowed in region.tokens.values())
    return max(1, min(64, MOST_SHARES // max(1, shares)))


def seek(old: Graph, new: Graph, region: Region, value: Value, seed: int, starts: int = 4, steps: int = 40) -> Points:
    """Look for inputs where a value of both networks' outputs is great; return one of each region.

    Args:
        old: The network before.
        new: The network after.
        region: Where to look.
        value: Of outputs [B, …] of both, [B]; differentiable.
        seed: Of the random starts.
        starts: How many starts.
        steps: Steps of each.
    """
    if not region.tokens:
        return (attack(old, new, region.boxes[0], value, seed, starts, steps).points,)
    (allowed,) = region.tokens.values()
    if bool((allowed.sum(-1) == 1).all()) and not region.boxes:
        return (allowed.long().argmax(-1),)  # one input each
    box = region.boxes.get(0)
    generator = torch.Generator().manual_seed(seed)
    best: tuple[Tensor, Points] | None = None
    for start in range(starts):
        reals = _started(box, generator, start)
        tokens = _best_drawn(old, new, value, allowed, reals, generator, alike=start == 0)
        found = _ascended(old, new, value, (box, allowed), (reals, tokens), steps)
        for _ in range(SWEEPS):
            found = _swept(old, new, value, allowed, found)
        best = _better(best, *found)
    assert best is not None
    return best[1]


def _best_drawn(
    old: Graph,
    new: Graph,
    value: Value,
    allowed: Tensor,
    reals: Tensor | None,
    generator: torch.Generator,
    *,
    alike: bool,
) -> Tensor:
    """Return the best of some tokens: the same row at every place where it may be, or drawn at random."""
    best: tuple[Tensor, Points] | None = None
    first = allowed.long().argmax(-1)
    for turn in range(min(DRAWN, allowed.shape[-1]) if alike else DRAWN):
        if alike:
            tokens = torch.where(allowed[..., turn], turn, first)
        else:
            drawn = torch.multinomial(allowed.flatten(0, -2).cpu().double(), 1, generator=generator)
            tokens = drawn.reshape(first.shape).to(first.device)
        points = (tokens,) if reals is None else (reals, tokens)
        best = _better(best, value(old.run(*points), new.run(*points)).detach(), points)
    assert best is not None
    return best[1][-1]


def _swept(old: Graph, new: Graph, value: Value, allowed: Tensor, best: tuple[Tensor, Points]) -> tuple[Tensor, Points]:
    """Try, place by place, the rows that a swap gains most by to first order: how much they gain is computed."""
    for place in range(min(MOST_PLACES, allowed[0, ..., 0].numel())):
        *reals, tokens = best[1]
        shares = one_hot(tokens, allowed.shape[-1]).double().requires_grad_()
        with torch.enable_grad():
            reached = value(old.run(*reals, shares), new.run(*reals, shares))
        (slope,) = torch.autograd.grad(reached.sum(), shares)
        scores = slope.masked_fill(~allowed, -torch.inf).flatten(1, -2)[:, place]
        for rows in scores.topk(min(TRIED, scores.shape[1]), 1).indices.unbind(1):
            known = allowed.flatten(1, -2)[:, place].gather(1, rows.unsqueeze(1)).squeeze(1)
            swapped = tokens.flatten(1).clone()
            swapped[:, place] = torch.where(known, rows, swapped[:, place])
            points = (*reals, swapped.reshape(tokens.shape))
            best = _better(best, value(old.run(*points), new.run(*points)).detach(), points)
    return best


def _started(box: Box | None, generator: torch.Generator, start: int) -> Tensor | None:
    if box is None:
        return None
    share = torch.rand(box.low.shape, generator=generator, dtype=torch.float64).to(box.low.device)
    share = torch.full_like(share, 0.5) if start == 0 else share.round() if start == 1 else share
    return (box.low + (box.high - box.low) * share).clamp(box.low, box.high)


def _ascended(
    old: Graph,
    new: Graph,
    value: Value,
    where: tuple[Box | None, Tensor],
    start: tuple[Tensor | None, Tensor],
    steps: int,
) -> tuple[Tensor, Points]:
    (box, allowed), (reals, tokens) = where, start
    best: tuple[Tensor, Points] | None = None
    for step in range(steps + 1):
        if reals is not None:
            reals = reals.detach().requires_grad_()
        given = [] if reals is None else [reals]
        shares = one_hot(tokens, allowed.shape[-1]).double().requires_grad_()
        with torch.enable_grad():
            reached = value(old.run(*given, shares), new.run(*given, shares))
        best = _better(best, reached.detach(), tuple(one.detach() for one in (*given, tokens)))
        if step == steps:
            break
        slopes = torch.autograd.grad(reached.sum(), [*given, shares], allow_unused=True)
        rate = 1 - step / steps
        if box is not None and reals is not None and slopes[0] is not None:
            reals = (reals.detach() + 0.25 * rate * (box.high - box.low) * slopes[0].sign()).clamp(box.low, box.high)
        if slopes[-1] is not None:
            tokens = _swapped(tokens, slopes[-1], allowed, rate)
    assert best is not None
    return best


def _swapped(tokens: Tensor, slope: Tensor, allowed: Tensor, rate: float) -> Tensor:
    """Swap a share of the tokens, those that gain most, for the rows that gain most there."""
    scores = slope.masked_fill(~allowed, -torch.inf)
    most, found = scores.max(-1)
    gain = (most - scores.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)).flatten(1)
    count = max(1, round(gain.shape[1] * rate))
    least = gain.topk(count, 1).values[:, -1:]
    swap = ((gain >= least) & (gain > 0)).reshape(tokens.shape)
    return torch.where(swap, found, tokens)


def _better(best: tuple[Tensor, Points] | None, reached: Tensor, points: Points) -> tuple[Tensor, Points]:
    if best is None:
        return reached, points
    better = reached > best[0]
    kept = [
        torch.where(better.reshape(-1, *[1] * (new.dim() - 1)), new, old)
        for new, old in zip(points, best[1], strict=True)
    ]
    return torch.where(better, reached, best[0]), tuple(kept)
