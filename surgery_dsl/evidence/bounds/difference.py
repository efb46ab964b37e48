"""The change of a pointwise function between two networks, enclosed by planes in z and δ = z′ − z.

D = φ′(z + δ) − φ(z), where z ∈ [low, high], z′ = z + δ in its own interval and δ in its own. Two enclosures are made
and for each element and side the tighter one in the middle is taken:

- *change*: D = (φ′(z + δ) − φ′(z)) + (φ′ − φ)(z). By the mean value theorem the first part lies between m·δ and M·δ,
  where m and M bound the slopes of φ′; max(mδ, Mδ) is convex in δ and min(mδ, Mδ) concave, so that chords over δ's
  interval enclose them (for ReLU: m = 0, M = 1 where the phase is open). The second part is a function of z alone.
- *apart*: a line for φ′(z′) less a line for φ(z), which is tight where one of the two is in a known phase.

A third one, :func:`centre`, is one plane for both sides, and says how far from it D is as a share of |δ|.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds import scalar as scalars
from surgery_dsl.evidence.bounds.rounding import U64
from surgery_dsl.evidence.bounds.scalar import Lines, Scalar

Interval = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Plane:
    """``of_z · z + of_delta · δ + offset``, elementwise."""

    of_z: Tensor
    of_delta: Tensor
    offset: Tensor

    def at(self, z: Tensor, delta: Tensor) -> Tensor:
        """Return the plane's height."""
        return self.of_z * z + self.of_delta * delta + self.offset


@dataclass(frozen=True)
class Planes:
    """``low ≤ D ≤ high`` over the intervals that they were made for."""

    low: Plane
    high: Plane


@dataclass(frozen=True)
class Centre:
    """``|D − plane| ≤ reach · |δ| / far + rest`` elementwise, where far is the greatest |δ|.

    Attributes:
        plane: One plane for both sides.
        reach: How far from it D is where |δ| is greatest.
        rest: How far besides, whatever δ is.
    """

    plane: Plane
    reach: Tensor
    rest: Tensor


def planes(old: Scalar, new: Scalar, before: Interval, after: Interval, delta: Interval) -> Planes:
    """Return planes that enclose φ′(z′) − φ(z).

    Args:
        old: φ.
        new: φ′.
        before: Bounds of z.
        after: Bounds of z′.
        delta: Bounds of δ.
    """
    change = _change(old, new, before, after, delta)
    other = apart(scalars.lines(old, *before), scalars.lines(new, *after))
    return tighter(change, other, before, delta)


def tighter(one: Planes, other: Planes, z: Interval, delta: Interval) -> Planes:
    """Return of two enclosures, for each element and side, the one that leaves less room in the middle."""
    middles = ((z[0] + z[1]) / 2, (delta[0] + delta[1]) / 2)
    return Planes(
        _tighter(one.low, other.low, middles, upper=False), _tighter(one.high, other.high, middles, upper=True)
    )


def _tighter(one: Plane, other: Plane, middles: tuple[Tensor, Tensor], *, upper: bool) -> Plane:
    first, second = one.at(*middles), other.at(*middles)
    take = second < first if upper else second > first
    return Plane(
        torch.where(take, other.of_z, one.of_z),
        torch.where(take, other.of_delta, one.of_delta),
        torch.where(take, other.offset, one.offset),
    )


def apart(old: Lines, new: Lines) -> Planes:
    """Return the planes of a line for φ′(z′) less a line for φ(z), with z′ = z + δ."""
    return Planes(
        Plane(new.low_slope - old.high_slope, new.low_slope, new.low - old.high),
        Plane(new.high_slope - old.low_slope, new.high_slope, new.high - old.low),
    )


def centre(old: Scalar, new: Scalar, before: Interval, after: Interval, far: Tensor) -> Centre:
    """Return the middle of what φ′(z′) − φ(z) can be, and how far from it that is.

    With m and M as above, (φ′(z + δ) − φ′(z)) lies between mδ and Mδ, so at most (M − m)/2 · |δ| from (m + M)/2 · δ;
    and (φ′ − φ)(z) lies in a band around a line.

    Args:
        old: φ.
        new: φ′.
        before: Bounds of z.
        after: Bounds of z′.
        far: The greatest |δ|.
    """
    hull = (torch.minimum(before[0], after[0]), torch.maximum(before[1], after[1]))
    least, most = scalars.slopes(new, *hull)
    of_delta = (least + most) / 2
    reach = torch.maximum(most - of_delta, of_delta - least) * far * (1 + 8 * U64)
    zero = torch.zeros_like(reach)
    slack = torch.full_like(reach, 2 * new.slack)
    if old == new:
        return Centre(Plane(zero, of_delta, zero), reach, slack)
    band = scalars.band(scalars.difference(new, old), *before)
    middle = (band.low + band.high) / 2
    rest = torch.maximum(band.high - middle, middle - band.low) * (1 + 8 * U64)
    return Centre(Plane(band.slope, of_delta, middle), reach, rest + slack)


def _change(old: Scalar, new: Scalar, before: Interval, after: Interval, delta: Interval) -> Planes:
    hull = (torch.minimum(before[0], after[0]), torch.maximum(before[1], after[1]))
    least, most = scalars.slopes(new, *hull)
    low_slope, low = _chord(*delta, least, most, upper=False)
    high_slope, high = _chord(*delta, least, most, upper=True)
    zero = torch.zeros_like(low)
    if old == new:
        return Planes(Plane(zero, low_slope, low - 2 * new.slack), Plane(zero, high_slope, high + 2 * new.slack))
    rest = scalars.lines(scalars.difference(new, old), *before)
    return Planes(
        Plane(rest.low_slope, low_slope, low + rest.low - new.slack),
        Plane(rest.high_slope, high_slope, high + rest.high + new.slack),
    )


def _chord(low: Tensor, high: Tensor, least: Tensor, most: Tensor, *, upper: bool) -> tuple[Tensor, Tensor]:
    """Return slope and offset of the chord over max(mδ, Mδ) (``upper``), or under min(mδ, Mδ), on [low, high].

    The offset is taken so that the line is right at both ends as they are in floating point.
    """
    pick = torch.maximum if upper else torch.minimum
    first, last = pick(least * low, most * low), pick(least * high, most * high)
    width = high - low
    slope = torch.where(width > 0, (last - first) / width.clamp(min=torch.finfo(low.dtype).tiny), most)
    slope = torch.minimum(torch.maximum(slope, least), most)
    offset = pick(first - slope * low, last - slope * high)
    far = torch.maximum(low.abs(), high.abs()) * torch.maximum(least.abs(), most.abs())
    room = 8 * U64 * far
    exact = least == most  # one slope: the line is the function itself
    offset = torch.where(exact, torch.zeros_like(offset), offset + room if upper else offset - room)
    return torch.where(exact, most, slope), offset
