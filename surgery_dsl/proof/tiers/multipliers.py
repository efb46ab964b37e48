"""The search for multipliers: where a Lagrangian dual is greatest. Any multiplier gives a sound bound.

The dual g(m) = min over u of polynomial(u) + Σ m_j·(end_j - removed_j(u)) is concave and made of planes, one for each
vertex u that is least somewhere. Along a line the greatest value is found exactly, by cutting: two planes that rise
towards each other meet at a point, whose plane replaces one of them, until it is one of them (Dantzig & Wolfe 1960;
in one dimension it is Dinkelbach's method of 1967). With several sums the lines are the axes, and then the steepest
ways that all planes near the point allow (Bertsekas & Mitter, A descent method for optimization problems with
nondifferentiable cost functionals, 1973). It stops as soon as the bound is enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from surgery_dsl.proof.tiers.chords import UnitBox
from surgery_dsl.proof.tiers.contraction import Contracted, minimiser

MOST_CUTS = 60
"""Most points along one line; on graphs that elimination or one cut decides, five to ten are used."""
MOST_LINES = 12
"""Most lines for each sum where there are several."""
CLOSE = 1 << 20
"""Planes nearer than this part of a bound are not told apart."""
MOST_MIXES = 200
"""Most steps towards the shortest mixture of slopes."""
FINENESS = 1 << 20
"""Directions along a ridge are rounded to this part of their length."""


@dataclass(frozen=True, slots=True)
class Point:
    """The dual at one place.

    Attributes:
        prices: The multipliers, in units of the scaled polynomial and the scaled sums.
        value: The dual there: a lower bound of the scaled polynomial under the sums.
        slopes: Its slope by each multiplier, twice.
        vertex: Where the minimum is.
        other: The second vertex of a relaxation; the same as ``vertex`` where there is none.
    """

    prices: tuple[Fraction, ...]
    value: Fraction
    slopes: tuple[int, ...]
    vertex: list[int]
    other: list[int]


@dataclass(frozen=True, slots=True)
class Summit:
    """The greatest value found, the points on both sides of the ridge it lies on, and the share of the rising one.

    The vertices of both, mixed by that share, keep the sum: they solve the linear relaxation (where there is one sum).
    """

    best: Point
    rising: Point
    falling: Point
    share: float = 0.5

    def mean(self) -> list[float]:
        """Return the mixed vertices."""
        up, down = self.share / 2, (1 - self.share) / 2
        four = (self.rising.vertex, self.rising.other, self.falling.vertex, self.falling.other)
        return [(a + b) * up + (c + d) * down for a, b, c, d in zip(*four, strict=True)]


class Dual:
    """The dual function of a polynomial over the unit cube under sums."""

    def __init__(self, box: UnitBox) -> None:
        self.box = box
        self.graph = minimiser(box)

    def at(self, prices: Sequence[Fraction], known: Contracted | None = None) -> Point:
        """Return the dual at some multipliers; ``known`` holds variables whose values are certain there."""
        sums = self.box.sums
        denominator = lcm(*(price.denominator for price in prices)) if prices else 1
        offset = 0
        charged: list[tuple[int, int]] = []
        for price, fixed in zip(prices, sums, strict=True):
            each = price.numerator * (denominator // price.denominator)
            if each:
                offset += each * ((fixed.most if each < 0 else fixed.least) - fixed.whole)
                charged += [(variable, each * amount) for variable, amount in fixed.amounts]
        lowest = known.lowest(charged, denominator) if known else self.graph.lowest(charged, denominator)
        vertex, other = lowest.vertex, lowest.other
        slopes = []
        for price, fixed in zip(prices, sums, strict=True):
            kept = sum([amount for variable, amount in fixed.amounts if vertex[variable]])
            kept_ = kept if other is vertex else sum([a for variable, a in fixed.amounts if other[variable]])
            removed = 2 * fixed.whole - kept - kept_
            ends = 2 * fixed.least, 2 * fixed.most
            end = ends[price < 0] if price else min(max(removed, ends[0]), ends[1])
            slopes.append(end - removed)
        value = Fraction(lowest.value + offset, denominator)
        return Point(tuple(prices), value, tuple(slopes), vertex, other)

    def value(self, vertex: Sequence[int]) -> int:
        """Return the polynomial at a vertex."""
        box = self.box
        total = box.constant + sum([c for c, label in zip(box.linear, vertex, strict=True) if label])
        total += sum([c for (i, j), c in box.pairs.items() if vertex[i] and vertex[j]])
        return total + sum(run.value(vertex) for run in box.runs)

    # ---- along one line ------------------------------------------------------------------------------------------

    def climb(self, start: Point, direction: Sequence[Fraction], enough: Fraction) -> Summit:
        """Return the greatest value along a line, exactly where the minima are vertices."""
        whole = lcm(*(d.denominator for d in direction))
        way = [d.numerator * (whole // d.denominator) for d in direction]
        slope = _along(start, way)
        if not slope:
            return Summit(start, start, start)
        return self._climb(start, way if slope > 0 else [-d for d in way], enough)

    def _climb(self, start: Point, direction: Sequence[int], enough: Fraction) -> Summit:
        """Go on along a direction that rises."""
        far = self._falling(start, direction)
        if far is None:
            far = self._at_the_end(start, direction, enough)
            return Summit(far if far.value > start.value else start, start, far)
        rising, falling, best = start, far, start
        low, high = _Line(start, direction, start), _Line(far, direction, start)
        known: Contracted | None = None
        for _ in range(MOST_CUTS):
            if best.value >= enough or low.slope <= 0 or high.slope >= 0:
                break
            step = (high.base - low.base) / (low.slope - high.slope)
            expected = low.base + low.slope * step
            prices = [p + step * d for p, d in zip(start.prices, direction, strict=True)]
            if falling is not far:
                known = self._contracted(rising, falling, direction[0] > 0, known)
            point = self.at(prices, known)
            if point.value > best.value:
                best = point
            if point.value >= expected:
                break
            line = _Line(point, direction, start)
            if line.slope > 0:
                if line.base >= low.base and line.slope >= low.slope:
                    break
                low, rising = line, point
            elif line.slope < 0:
                if line.base <= high.base and line.slope <= high.slope and line == high:
                    break
                high, falling = line, point
            else:
                return Summit(best, point, point)
        steep = low.slope - high.slope
        return Summit(best, rising, falling, float(-high.slope / steep) if steep else 0.5)

    def _contracted(self, rising: Point, falling: Point, upward: bool, known: Contracted | None) -> Contracted | None:
        """Return the polynomial without the variables that no minimum between two prices needs to change.

        Where all pairs are negative, a higher price of one sum takes variables from 1 to 0 and none back (Gallo,
        Grigoriadis & Tarjan, A fast parametric maximum flow algorithm, 1989). Anew only where many are gone.
        """
        if (
            not self.graph.nested
            or len(self.box.sums) != 1
            or any(amount < 0 for _, amount in self.box.sums[0].amounts)
        ):
            return None
        above, below = (rising.vertex, falling.vertex) if upward else (falling.vertex, rising.vertex)
        labels = [few if few == many else -1 for few, many in zip(below, above, strict=True)]
        before = len(labels) if known is None else len(known.variables)
        return Contracted(self.box, labels) if 4 * labels.count(-1) <= 3 * before else known

    def _pull(self, direction: Sequence[int]) -> tuple[dict[int, int], int]:
        """Return how steep each variable makes a direction, and how steep it is where all are 0."""
        pull: dict[int, int] = {}
        steep = 0
        for d, fixed in zip(direction, self.box.sums, strict=True):
            if d:
                steep += d * ((fixed.least if d > 0 else fixed.most) - fixed.whole)
                for variable, amount in fixed.amounts:
                    pull[variable] = pull.get(variable, 0) + d * amount
        return pull, steep

    def _falling(self, start: Point, direction: Sequence[int]) -> Point | None:
        """Return a plane above the dual that falls along a direction, by its value and slopes at the start."""
        pull, steep = self._pull(direction)
        vertex = list(start.vertex)
        for variable, weight in pull.items():
            vertex[variable] = int(weight < 0)
            steep += min(weight, 0)
        if steep >= 0:
            return None
        slopes = []
        value = Fraction(self.value(vertex))
        for price, d, fixed in zip(start.prices, direction, self.box.sums, strict=True):
            end = fixed.least if (d or price) > 0 else fixed.most
            slope = end - fixed.whole + sum([amount for variable, amount in fixed.amounts if vertex[variable]])
            slopes.append(2 * slope)
            value += price * slope
        return Point(start.prices, value, tuple(slopes), vertex, vertex)

    def _at_the_end(self, start: Point, direction: Sequence[int], enough: Fraction) -> Point:
        """Return the dual so far out that only outcomes at an end of the sums are left, or none: then it is enough."""
        pull, steep = self._pull(direction)
        steep += sum(min(weight, 0) for weight in pull.values())
        box = self.box
        size = sum(map(abs, box.linear)) + sum(map(abs, box.pairs.values())) + abs(box.constant)
        size += sum(run.size for run in box.runs)
        least = min(
            [abs(weight) for weight in pull.values() if weight] + ([steep] if steep else []), default=Fraction(1)
        )
        step = (2 * size + max(enough, Fraction(0)) + 1) / least
        return self.at([p + step * d for p, d in zip(start.prices, direction, strict=True)])

    # ---- several sums --------------------------------------------------------------------------------------------

    def summit(self, prices: Sequence[Fraction], enough: Fraction, lines: int = MOST_LINES) -> Summit:
        """Return the greatest value found from some multipliers, or the first that is enough."""
        start = self.at(prices)
        if start.value >= enough or not prices:
            return Summit(start, start, start)
        if len(prices) == 1:
            return self.climb(start, [Fraction(1)], enough)
        best = Summit(start, start, start)
        planes = [start]
        for direction in _axes(len(prices)):
            best = self._better(best, direction, enough, planes)
        near = abs(best.best.value) / 8 + 1
        for _ in range(lines * len(prices)):
            if best.best.value >= enough or near * CLOSE < abs(best.best.value) + 1:
                break
            height = best.best.value
            steepest = _steepest([plane for plane in planes if _height(plane, best.best) <= height + near], len(prices))
            if steepest is not None:
                best = self._better(best, steepest, enough, planes)
            if best.best.value - height < near / 8:
                near /= 4
        return best

    def _better(self, best: Summit, direction: Sequence[Fraction], enough: Fraction, planes: list[Point]) -> Summit:
        """Climb along a direction, and note the planes that stopped it."""
        found = self.climb(best.best, direction, enough)
        planes += (found.rising, found.falling)
        if found.best.value <= best.best.value:
            return best
        if max(price.denominator for price in found.best.prices) > FINENESS:
            near = self.at([Fraction(round(price * FINENESS), FINENESS) for price in found.best.prices])
            planes.append(near)
            if near.value > best.best.value:
                return Summit(near, found.rising, found.falling, found.share)
        return found


def _height(plane: Point, there: Point) -> Fraction:
    """Return how high the plane of one point is at another."""
    away = sum((s * (p - q) for s, p, q in zip(plane.slopes, there.prices, plane.prices, strict=True)), Fraction(0))
    return plane.value + away / 2


def _steepest(planes: Sequence[Point], count: int) -> list[Fraction] | None:
    """Return the shortest mixture of the slopes of planes; ``None`` where it is nothing: they meet at a summit.

    Mitchell, Dem'yanov & Malozemov, Finding the point of a polyhedron closest to the origin, 1974. Floats may guide the
    search, for any price is sound.
    """
    slopes = [[float(slope) for slope in plane.slopes] for plane in planes]
    weights = [1.0 / len(slopes)] * len(slopes)
    mixed = [sum(vector[j] for vector in slopes) / len(slopes) for j in range(count)]
    for _ in range(MOST_MIXES):
        along = [sum(a * b for a, b in zip(vector, mixed, strict=True)) for vector in slopes]
        low = min(range(len(slopes)), key=along.__getitem__)
        high = max((i for i, weight in enumerate(weights) if weight > 0), key=along.__getitem__)
        apart = [a - b for a, b in zip(slopes[low], slopes[high], strict=True)]
        length = sum(x * x for x in apart)
        if along[high] - along[low] <= 1e-9 * (abs(along[high]) + 1) or not length:
            break
        step = min(weights[high], (along[high] - along[low]) / length)
        weights[low] += step
        weights[high] -= step
        mixed = [m + step * x for m, x in zip(mixed, apart, strict=True)]
    greatest = max(map(abs, mixed), default=0.0)
    if greatest < 1e-6:
        return None
    return [Fraction(round(x / greatest * FINENESS), FINENESS) for x in mixed]


class _Line:
    """The plane of a point, along a line: base + slope·step."""

    __slots__ = ("base", "slope")

    def __init__(self, point: Point, direction: Sequence[int], origin: Point) -> None:
        self.slope = Fraction(_along(point, direction), 2)
        away = sum(
            (s * (p - q) for s, p, q in zip(point.slopes, point.prices, origin.prices, strict=True)), Fraction(0)
        )
        self.base = point.value - away / 2

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Line) and (self.base, self.slope) == (other.base, other.slope)

    __hash__ = None  # type: ignore[assignment]


def _along(point: Point, direction: Sequence[int]) -> int:
    return sum(d * slope for d, slope in zip(direction, point.slopes, strict=True))


def _axes(count: int) -> list[list[Fraction]]:
    return [[Fraction(int(i == j)) for i in range(count)] for j in range(count)]
