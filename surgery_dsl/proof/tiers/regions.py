"""Bounds of one polynomial under sums, over a region and over the parts of a region that is split.

The dual bound of a region falls short by what products lose inside their ranges (McCormick, Computability of global
solutions to factorable nonconvex programs, 1976). Where that leaves a question open, the region with the least bound is
split in two at the axis that loses most, as in spatial branch and bound (Falk & Soland 1969), as often as a fixed
amount of work allows.
"""

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate

from surgery_dsl.proof.questions import Sum
from surgery_dsl.proof.running_sums import Unrolled
from surgery_dsl.proof.tiers.chords import TANGENTS, Run, UnitBox, unit_box
from surgery_dsl.proof.tiers.multipliers import MOST_LINES, Dual, Summit

MOST_WORK = 4_000
"""Most monomials and axes that are looked at while regions are split, in all; about 60 ms."""
MOST_TANGENTS = 4
"""Most times tangents are moved to where the relaxation is."""
Ranges = dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Task:
    """A polynomial over axes, the sums that outcomes keep, and the step of each axis."""

    amount: Unrolled
    sums: tuple[Sum, ...]
    steps: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Region:
    """A bound over ranges, with what proves it and where to look on.

    Attributes:
        ranges: The ranges.
        bound: What the polynomial is at least, under the sums.
        multipliers: One for each sum.
        seeds: Sizes on both sides of the ridge of the dual, cheap for what they remove.
        tangents: Where powers that pull up are touched.
        triangles: Triples of axes that were eliminated together, where pairs pull up.
        cut: Axis and size after which to split; ``None`` where nothing is left to split.
    """

    ranges: Ranges
    bound: Fraction
    multipliers: tuple[Fraction, ...]
    seeds: tuple[dict[str, int], ...]
    tangents: Mapping[str, Fraction] = field(default_factory=dict)
    triangles: tuple[tuple[str, str, str], ...] = ()
    cut: tuple[str, int] | None = None


def bounded(task: Task, ranges: Ranges, enough: Fraction, start: Sequence[Fraction] | None = None) -> Region:
    """Return the dual bound over some ranges; the search for multipliers stops where it is ``enough``.

    From multipliers to start with, those of a region that holds this one, it is short.
    """
    lines = MOST_LINES if start is None else 1
    single = all(least == most for least, most in ranges.values())  # of one outcome that is, no price tells more
    multipliers = tuple(start) if start is not None and not single else (Fraction(0),) * len(task.sums)
    tangents: dict[str, Fraction] = {}
    best: Region | None = None
    for _ in range(MOST_TANGENTS):
        box = unit_box(task.amount, ranges, task.sums, tangents)
        dual = Dual(box)
        scales = [Fraction(box.scale, fixed.scale) for fixed in box.sums]
        prices = [m * scale for m, scale in zip(multipliers, scales, strict=True)]
        top = dual.summit(prices, enough * box.scale, lines)
        bound = top.best.value / box.scale
        multipliers = tuple(p / scale for p, scale in zip(top.best.prices, scales, strict=True))
        mean = top.mean()
        found = Region(
            ranges,
            bound,
            multipliers,
            _seeds(box, ranges, top),
            {name: tangents.get(name, Fraction(1, 2)) for name in sorted(box.powers)},
            _triangles(dual),
            _cut(box, ranges, task.steps, mean) if bound < enough else None,
        )
        gained = best is None or bound > best.bound
        best = found if best is None or gained else best
        if bound >= enough or not box.powers or not gained:
            break
        touching = {name: share for name, share in zip(box.names, mean, strict=False) if name in box.powers}
        moved = {name: Fraction(round(share * TANGENTS), TANGENTS) for name, share in touching.items()}
        if moved == tangents:
            break
        tangents = moved
    if best is None:
        raise AssertionError("at least one round was made")
    return best


def _seeds(box: UnitBox, ranges: Ranges, top: Summit) -> tuple[dict[str, int], ...]:
    seeds = []
    for vertex in (top.rising.vertex, top.falling.vertex, top.rising.other, top.falling.other):
        sizes = {name: least for name, (least, most) in ranges.items() if least == most}
        sizes.update({name: ranges[name][label] for name, label in zip(box.names, vertex, strict=False)})
        if sizes not in seeds:
            seeds.append(sizes)
    return tuple(seeds)


def _triangles(dual: Dual) -> tuple[tuple[str, str, str], ...]:
    names, box = dual.box.names, dual.box
    if all(value <= 0 for value in box.pairs.values()) and all(c <= 0 for run in box.runs for _, _, c in run.uses):
        return ()
    triples = dict.fromkeys(triple for triple in dual.graph.triangles if max(triple) < len(names))
    return tuple((names[i], names[j], names[k]) for i, j, k in triples)


def _cut(box: UnitBox, ranges: Ranges, steps: Mapping[str, int], mean: Sequence[float]) -> tuple[str, int] | None:
    """Choose the axis where the relaxation loses most, and the size where it stands."""
    loss = [0.0] * len(mean)
    for (i, j), value in box.pairs.items():
        u, v = mean[i], mean[j]
        lost = abs(value) * (min(u, v) - u * v if value < 0 else u * v - max(0.0, u + v - 1))
        loss[i] += lost
        loss[j] += lost
    for run in box.runs:
        _add_losses(run, mean, loss)
    for i, name in enumerate(box.names):
        least, most = ranges[name]
        loss[i] += 1e-9 * (most - least) + (1e-3 * (most - least) if name in box.powers else 0.0)
    if not box.names:
        return None
    chosen = max(range(len(box.names)), key=lambda i: (loss[i], -i))
    name = box.names[chosen]
    least, most = ranges[name]
    count = (most - least) // steps[name]
    return name, least + steps[name] * min(max(int(mean[chosen] * count), 0), count - 1)


def _add_losses(run: Run, mean: Sequence[float], loss: list[float]) -> None:
    """Add about what the products of a run lose: nothing where one factor is at an end."""
    apart = [min(u, 1 - u) for u in mean]
    before = list(accumulate([amount * apart[variable] for variable, amount in run.members], initial=0.0))
    after = [0.0] * len(before)
    for place, variable, coefficient in run.uses:
        loss[variable] += abs(coefficient) * apart[variable] * before[place]
        after[place] += abs(coefficient) * apart[variable]
    later = 0.0
    for place in range(len(run.members), 0, -1):
        later += after[place]
        variable, amount = run.members[place - 1]
        loss[variable] += amount * apart[variable] * later


def halves(task: Task, region: Region) -> tuple[Ranges, Ranges] | None:
    """Return the two parts of a region, or ``None`` where it is a single outcome."""
    if region.cut is None:
        return None
    name, at = region.cut
    least, most = region.ranges[name]
    return (
        {**region.ranges, name: (least, at)},
        {**region.ranges, name: (at + task.steps[name], most)},
    )


def split(
    task: Task, root: Region, enough: Fraction, holds: Callable[[Fraction], bool], look: Callable[[Region], bool]
) -> list[Region]:
    """Split a region until every part holds, ``look`` is satisfied with what it sees, or the work is done.

    Args:
        task: The polynomial and its sums.
        root: The region, whose bound does not hold.
        enough: The bound that is wanted.
        holds: Whether a bound is enough.
        look: Called with each new region whose bound does not hold; returns whether to stop.

    Returns:
        Regions that cover the root together.
    """
    cost = task.amount.size + len(root.ranges)
    work = MOST_WORK
    done: list[Region] = []
    open_: list[tuple[Fraction, int, Region]] = [(root.bound, 0, root)]
    count = 0
    while open_ and work >= 2 * cost:
        _, _, region = heapq.heappop(open_)
        parts = halves(task, region)
        if parts is None:
            done.append(region)
            continue
        for ranges in parts:
            work -= cost
            part = bounded(task, ranges, enough, region.multipliers)
            if holds(part.bound):
                done.append(part)
                continue
            count += 1
            heapq.heappush(open_, (part.bound, count, part))
            if look(part):
                work = 0
    return done + [region for _, _, region in open_]
