"""How every function that two networks share changes from one to the other, in the order of the forward."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds import difference, lengths, scalar
from surgery_dsl.evidence.bounds.analysis import Analysis
from surgery_dsl.evidence.bounds.backward import Step
from surgery_dsl.evidence.bounds.difference import Centre, Interval, Plane, Planes
from surgery_dsl.evidence.bounds.graph import Largest, Pointwise
from surgery_dsl.evidence.bounds.known import Change, Key
from surgery_dsl.evidence.bounds.rounding import U64, gamma
from surgery_dsl.evidence.bounds.scalar import Lines

LEAST = 1e-100
"""Changes smaller than this count as this, where they are divided by."""


@final
@dataclass(frozen=True)
class Match:
    """A function that both networks have, and the units of it that are the same.

    Units of the first network alone were removed, those of the second alone are new: they are bounded by lines of
    their own, as if their partner were zero.

    Attributes:
        old: Its position in the first network.
        new: Its position in the second; both ascend from match to match.
        old_units: [n] elements, flat, in the first.
        new_units: [n] the same units in the second.
    """

    old: int
    new: int
    old_units: Tensor
    new_units: Tensor


def together(analysis: Analysis, matches: Sequence[Match]) -> list[Step]:
    """Bound the change of every matched function; return the order in which they are gone through together."""
    order: list[Step] = []
    done = [0, 0]
    for match in matches:
        keys = ((0, match.old), (1, match.new))
        for side, at in keys:
            order += analysis.alone[side][done[side] : at]
            done[side] = at + 1
        _bound(analysis, match, keys, order)
        order.append(keys)
    for side, graph in enumerate(analysis.graphs):
        order += analysis.alone[side][done[side] : len(graph.nodes)]
    return order


def _bound(analysis: Analysis, match: Match, keys: tuple[Key, Key], order: Sequence[Step]) -> None:
    old, new = (graph.nodes[at] for graph, (_, at) in zip(analysis.graphs, keys, strict=True))
    sources = ((0, old.sources[0]), (1, new.sources[0]))
    length = None
    if isinstance(old, Pointwise) and isinstance(new, Pointwise):
        planes, centre, z, delta = _pointwise(analysis, match, order, (old, new), sources)
        far = torch.where(centre.reach > 0, _far(delta).clamp(min=LEAST), torch.inf)
        length = _length(analysis, match, order, sources, far)
    elif isinstance(old, Largest) and isinstance(new, Largest):
        planes, centre, z, delta = _largest(analysis, match, order, (old, new), keys, sources)
    else:
        raise AssertionError("a function was matched with one of another kind")
    weight = centre.reach + centre.rest
    for plane in (planes.low, planes.high, centre.plane):
        # the coefficient of δ goes to z′ and, negated, to z, where it is rounded once more
        size = plane.of_z.abs() * _far(z) + plane.of_delta.abs() * (_far(delta) + _far(z)) + plane.offset.abs()
        weight = torch.maximum(weight, size + centre.reach + centre.rest)
    weight = gamma(weight.shape[1] + analysis.steps + 16) * weight + scalar.FLOOR
    middle = ((z[0] + z[1]) / 2, (delta[0] + delta[1]) / 2)
    units = (match.old_units, match.new_units)
    whole = all(torch.equal(unit, torch.arange(node.size)) for unit, node in zip(units, (old, new), strict=True))
    analysis.known.changes[keys] = Change(*units, planes, centre, middle, weight, length, whole)


def _length(
    analysis: Analysis, match: Match, order: Sequence[Step], sources: tuple[Key, Key], far: Tensor
) -> Tensor | None:
    """Return how long the vector of all |δ| / far can be; far is infinite where the change does not go by |δ|."""
    open_ = torch.isfinite(far).any(0).nonzero().flatten()
    units = {sources[1]: (match.new_units[open_], 1.0), sources[0]: (match.old_units[open_], -1.0)}
    known, region = analysis.known, analysis.region
    return lengths.length(analysis.graphs, known, order, units, far[:, open_], region, analysis.leading)


def _far(interval: Interval) -> Tensor:
    return torch.maximum(interval[0].abs(), interval[1].abs())


def _units(analysis: Analysis, key: Key, units: Tensor) -> Interval:
    known = analysis.known
    return known.low[key].flatten(1)[:, units], known.high[key].flatten(1)[:, units]


def _delta(
    analysis: Analysis, order: Sequence[Step], sources: tuple[Key, Key], units: tuple[Tensor, Tensor], open_: Tensor
) -> Interval:
    """Return bounds [B, n] of z′ − z; those of ``open_`` units by forms of their own."""
    before, after = (_units(analysis, key, unit) for key, unit in zip(sources, units, strict=True))
    low, high = after[0] - before[1], after[1] - before[0]
    room = 2 * U64 * torch.maximum(low.abs(), high.abs())
    low, high = low - room, high + room
    if open_.numel():
        found = analysis.of_units(order, {sources[1]: (units[1][open_], 1.0), sources[0]: (units[0][open_], -1.0)})
        first, last = torch.maximum(low[:, open_], found[0]), torch.minimum(high[:, open_], found[1])
        low[:, open_], high[:, open_] = torch.minimum(first, last), torch.maximum(first, last)
    return low, high


def _pointwise(
    analysis: Analysis,
    match: Match,
    order: Sequence[Step],
    nodes: tuple[Pointwise, Pointwise],
    sources: tuple[Key, Key],
) -> tuple[Planes, Centre, Interval, Interval]:
    units = (match.old_units, match.new_units)
    old, new = (node.scalar.of(unit) for node, unit in zip(nodes, units, strict=True))
    before, after = (_units(analysis, key, unit) for key, unit in zip(sources, units, strict=True))
    least, most = scalar.slopes(new, torch.minimum(before[0], after[0]), torch.maximum(before[1], after[1]))
    # in one linear piece on the whole hull, the change of the function is that of its argument, whatever its range
    bent = (least < most) if old == new else torch.ones_like(least, dtype=torch.bool)
    delta = _delta(analysis, order, sources, units, bent.any(0).nonzero().flatten())
    room = 4 * U64 * (_far(before) + _far(delta))
    low = torch.maximum(after[0], before[0] + delta[0] - room)
    high = torch.minimum(after[1], before[1] + delta[1] + room)
    after = (torch.minimum(low, high), torch.maximum(low, high))
    far = _far(delta).clamp(min=LEAST)
    return (
        difference.planes(old, new, before, after, delta),
        difference.centre(old, new, before, after, far),
        before,
        delta,
    )


def _largest(
    analysis: Analysis,
    match: Match,
    order: Sequence[Step],
    nodes: tuple[Largest, Largest],
    keys: tuple[Key, Key],
    sources: tuple[Key, Key],
) -> tuple[Planes, Centre, Interval, Interval]:
    """Enclose the change of maxima by the least and the greatest change of what competes, or by the lines of both.

    max(x + δ) − max(x) ≤ max δ, since x_i + δ_i ≤ max(x) + max δ for every i; and likewise from below. That needs a
    partner for every element: where one window reaches over an edge and the other does not, lines are all there is.
    """
    known, units = analysis.known, (match.old_units, match.new_units)
    members = [node.members.flatten(0, -2)[unit] for node, unit in zip(nodes, units, strict=True)]
    inside = (members[0] >= 0) & (members[1] >= 0)
    pairs = torch.stack([part[inside] for part in members])
    unique, back = torch.unique(pairs, dim=1, return_inverse=True)
    every = torch.arange(unique.shape[1], device=unique.device)
    low, high = _delta(analysis, order, sources, (unique[0], unique[1]), every)
    shape = (low.shape[0], *inside.shape)
    spread = torch.zeros(inside.shape, dtype=torch.long, device=inside.device)
    spread[inside] = back
    lows = torch.where(inside, low[:, spread.flatten()].reshape(shape), torch.inf).amin(-1)
    highs = torch.where(inside, high[:, spread.flatten()].reshape(shape), -torch.inf).amax(-1)
    z = _units(analysis, keys[0], match.old_units)
    after = _units(analysis, keys[1], match.new_units)
    alike = ((members[0] >= 0) == (members[1] >= 0)).all(-1)
    lows = torch.where(alike, lows, after[0] - z[1] - 2 * U64 * (_far(after) + _far(z)))
    highs = torch.where(alike, highs, after[1] - z[0] + 2 * U64 * (_far(after) + _far(z)))
    zero = torch.zeros_like(lows)
    between = Planes(Plane(zero, zero, lows), Plane(zero, zero, highs))
    old, new = (_lines(known.lines[key], unit) for key, unit in zip(keys, units, strict=True))
    apart = difference.apart(old, new)
    delta = (after[0] - z[1], after[1] - z[0])
    middle = (lows + highs) / 2
    rest = torch.maximum(highs - middle, middle - lows) * (1 + 8 * U64)
    centre = Centre(Plane(zero, zero, middle), zero, rest)
    return difference.tighter(between, apart, z, delta), centre, z, delta


def _lines(lines: Lines, units: Tensor) -> Lines:
    parts = (lines.low_slope, lines.low, lines.high_slope, lines.high)
    return Lines(*(part.flatten(1)[:, units] for part in parts))
