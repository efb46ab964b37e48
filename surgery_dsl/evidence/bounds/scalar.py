"""Pointwise functions and the lines that enclose them, proved for every function in the same way.

A function has *breaks*, where its slope may jump, and a bound on its curvature |φ″| everywhere else. On a cell of
width h without breaks inside, φ(z) − s·z lies within curvature · h² / 8 of the chord between the cell's ends (the
remainder of linear interpolation; Davis, Interpolation and Approximation, 1975, theorem 3.1.1), so its greatest and
least value over an interval follow from the values at the ends of cells. That bounds the offset of a line of any slope
s, exactly where the curvature is zero, as for ReLU and its kin.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.rounding import U64

CELLS = 64
"""Cells into which an interval is cut for a function with curvature."""
ULPS = 16 * U64
"""Relative error granted to the evaluation of a function and of a line at a point."""
FLOOR = 2.0**-1000
"""Absolute error granted besides, for what underflows: above what any chain of subnormal numbers loses."""
EVALUATION = 2.0**-50
"""Slack of functions whose formula cancels or scales its argument, so that ``ULPS`` of the result is not enough."""


@dataclass(frozen=True)
class Scalar:
    """A function of one real number, applied to every element.

    Attributes:
        name: What it is called.
        value: φ, elementwise on float64.
        slope: φ′ off the breaks; at a break that to its right.
        parameters: What else tells this function from others of its name.
        breaks: Where the slope may jump.
        curvature: A bound of |φ″| off the breaks.
        slack: A bound of how far the network's function is from ``value``.
        exact: Whether the network's own arithmetic evaluates it without rounding, as a maximum does.
        roundings: Where not, but its value is a product: how often the network rounds a factor or the product.
        size: Magnitude of what ``value`` adds up, elementwise, where that is more than the magnitude of the result.
        part: The same function on some elements, by their flat positions, where elements have functions of their own.
    """

    name: str
    value: Callable[[Tensor], Tensor] = field(compare=False)
    slope: Callable[[Tensor], Tensor] = field(compare=False)
    parameters: tuple[float, ...] = ()
    breaks: tuple[float, ...] = ()
    curvature: float = 0.0
    slack: float = 0.0
    exact: bool = False
    roundings: int = 0
    size: Callable[[Tensor], Tensor] | None = field(default=None, compare=False)
    part: "Callable[[Tensor], Scalar] | None" = field(default=None, compare=False)

    def of(self, units: Tensor) -> "Scalar":
        """Return the function on some elements of its value, [..., n] from flat positions [n]."""
        return self if self.part is None else self.part(units)

    def evaluated(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values at points, and the magnitudes that their rounding goes by."""
        values = self.value(points)
        return values, values.abs() if self.size is None else self.size(points)


@dataclass(frozen=True)
class Lines:
    """``low_slope · z + low ≤ φ(z) ≤ high_slope · z + high`` on an interval, elementwise."""

    low_slope: Tensor
    low: Tensor
    high_slope: Tensor
    high: Tensor


@dataclass(frozen=True)
class Band:
    """``slope · z + low ≤ φ(z) ≤ slope · z + high`` on an interval, elementwise: two lines of one slope."""

    slope: Tensor
    low: Tensor
    high: Tensor


def difference(new: Scalar, old: Scalar) -> Scalar:
    """Return the function new − old. Its rounding is that of both, however little is left of them."""
    return Scalar(
        f"{new.name} - {old.name}",
        lambda z: new.value(z) - old.value(z),
        lambda z: new.slope(z) - old.slope(z),
        (*new.parameters, *old.parameters),
        tuple(sorted({*new.breaks, *old.breaks})),
        new.curvature + old.curvature,
        new.slack + old.slack,
        size=lambda z: new.evaluated(z)[1] + old.evaluated(z)[1],
    )


def _points(scalar: Scalar, low: Tensor, high: Tensor) -> Tensor:
    """Return the ends of cells in a new first dimension, ascending, breaks among them."""
    parts = [low.unsqueeze(0), high.unsqueeze(0)]
    if scalar.curvature:
        shares = torch.arange(1, CELLS, dtype=low.dtype, device=low.device) / CELLS
        parts.append(low + (high - low) * shares.reshape(-1, *(1,) * low.dim()))
    parts += [torch.full_like(low, at).clamp(low, high).unsqueeze(0) for at in scalar.breaks]
    return torch.cat(parts).sort(0).values


def _remainder(scalar: Scalar, points: Tensor) -> Tensor:
    widest = (points[1:] - points[:-1]).amax(0)
    return scalar.curvature * widest.square() / 8 * (1 + ULPS) + scalar.slack + FLOOR


def lines(scalar: Scalar, low: Tensor, high: Tensor) -> Lines:
    """Return lines that enclose a function on [low, high]; of a few slopes those that are tightest in the middle.

    A line encloses on the whole interval whatever its slope; the middle decides only how much room is left, since the
    area between two lines is their distance there times the width.
    """
    middle = (low + high) / 2
    found = _bands(scalar, low, high)
    best_low, best_high = (found[0].slope, found[0].low), (found[0].slope, found[0].high)
    for one in found[1:]:
        better = one.slope * middle + one.low > best_low[0] * middle + best_low[1]
        best_low = (torch.where(better, one.slope, best_low[0]), torch.where(better, one.low, best_low[1]))
        better = one.slope * middle + one.high < best_high[0] * middle + best_high[1]
        best_high = (torch.where(better, one.slope, best_high[0]), torch.where(better, one.high, best_high[1]))
    return Lines(*best_low, *best_high)


def band(scalar: Scalar, low: Tensor, high: Tensor) -> Band:
    """Return two lines of one slope that enclose a function on [low, high]; of a few slopes that with the least gap."""
    best, *others = _bands(scalar, low, high)
    for one in others:
        better = one.high - one.low < best.high - best.low
        parts = zip((one.slope, one.low, one.high), (best.slope, best.low, best.high), strict=True)
        best = Band(*(torch.where(better, new, old) for new, old in parts))
    return best


def _bands(scalar: Scalar, low: Tensor, high: Tensor) -> list[Band]:
    """Return bands of a few slopes: of the chord, at both ends and, where there is curvature, in the middle."""
    points = _points(scalar, low, high)
    values, sizes = scalar.evaluated(points)
    middle = (low + high) / 2
    width = high - low
    ends = scalar.value(high) - scalar.value(low)
    near = (high - middle) * 2.0**-20  # beside a break at an end, not on it
    slopes = [
        torch.where(width > 0, ends / width.clamp(min=torch.finfo(low.dtype).tiny), scalar.slope(middle)),
        scalar.slope(low + near),
        scalar.slope(high - near),
    ]
    if scalar.curvature:
        slopes.append(scalar.slope(middle))
    remainder = _remainder(scalar, points)
    far = torch.maximum(low.abs(), high.abs())
    found: list[Band] = []
    for slope in slopes:
        slope = slope.nan_to_num(0.0, 0.0, 0.0)
        rest = values - slope * points
        error = remainder + ULPS * (sizes.amax(0) + slope.abs() * far)
        found.append(Band(slope, rest.amin(0) - error, rest.amax(0) + error))
    return found


def span(scalar: Scalar, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return bounds of a function on [low, high]."""
    points = _points(scalar, low, high)
    values, sizes = scalar.evaluated(points)
    error = _remainder(scalar, points) + ULPS * sizes.amax(0)
    return values.amin(0) - error, values.amax(0) + error


def slopes(scalar: Scalar, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Return bounds of (φ(y) − φ(x)) / (y − x) over all x ≠ y in [low, high].

    By the mean value theorem on each cell the quotient is a mean of slopes; within a cell the slope is at most
    curvature · h / 2 from that in its middle. Between neighbouring numbers the middle rounds to an end, and the slope
    at the last may be that of the next cell: the first is taken, where slopes are those to the right.
    """
    points = _points(scalar, low, high)
    first, last = points[:-1], points[1:]
    wide = last > first
    wide = wide | ~wide.any(0)
    middle = (first + last) / 2
    middle = torch.where(middle < last, middle, first)
    found = scalar.slope(middle)
    room = torch.zeros_like(found)
    if scalar.curvature:
        room = scalar.curvature * torch.maximum(last - middle, middle - first) + ULPS * (found.abs() + scalar.curvature)
    inf = torch.inf
    least = torch.where(wide, found - room, torch.full_like(found, inf)).amin(0)
    most = torch.where(wide, found + room, torch.full_like(found, -inf)).amax(0)
    return least, most
