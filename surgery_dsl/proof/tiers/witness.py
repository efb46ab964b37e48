"""Outcomes that exist: sizes on their grids that keep every sum, with a slack as small as a short search can find.

A dual bound comes with the vertices on both sides of its ridge: one removes too little, the other too much, and both
are cheap for what they remove. An outcome is made of them by *repair*, moving one vertex towards the sum, first only in
what the other has differently (a crossover of the two), each time the axis that costs least for what it removes; then
by *exchange*, moving units from one axis to another while that lowers the slack. The search decides nothing by itself:
what it returns is an outcome, and its slack is computed exactly.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from itertools import accumulate
from math import gcd, lcm
from operator import itemgetter

from surgery_dsl.proof.amount import Amount, Domain, grid_top
from surgery_dsl.proof.questions import Sum
from surgery_dsl.proof.running_sums import Chain, unrolled

MOST_EXCHANGED = 12
"""Axes from which, and to which, units are exchanged in one round: those with the best prices."""
MOST_ROUNDS = 40
"""Most rounds of exchanges."""


class Landscape:
    """A slack over sizes of axes, with the sums that outcomes keep; integers throughout."""

    def __init__(self, slack: Amount, domains: Mapping[str, Domain], sums: Sequence[Sum]) -> None:
        whole = unrolled(slack)
        names = dict.fromkeys(name for monomial in whole.terms for name in monomial)
        for chain in whole.chains:
            names.update(dict.fromkeys([name for name, _ in chain.members]))
            names.update(dict.fromkeys([name for _, name in chain.uses]))
        for fixed in sums:
            names.update(dict.fromkeys(name for name, _, _ in fixed.parts))
        self.names = list(names)
        self.number = {name: index for index, name in enumerate(self.names)}
        self.step = [domains[name].step for name in self.names]
        self.least = [domains[name].least for name in self.names]
        self.most = [grid_top(domains[name]) for name in self.names]
        coefficients = [whole.terms.values(), *(chain.uses.values() for chain in whole.chains)]
        self.scale = lcm(*{c.denominator for values in coefficients for c in values})
        self.constant = 0
        self.linear = [0] * len(self.names)
        self.pairs: list[list[tuple[int, int]]] = [[] for _ in self.names]
        self.longer: list[list[tuple[int, tuple[int, ...], int]]] = [[] for _ in self.names]
        self._products: list[tuple[int, tuple[int, ...]]] = []
        for monomial, coefficient in whole.terms.items():
            self._add(tuple(self.number[name] for name in monomial), coefficient)
        self.walks = [_Walk(chain, self.number, self.scale) for chain in whole.chains]
        self.sums = [_WholeSum(fixed, self.number) for fixed in sums]
        members: list[list[int]] = [[] for _ in self.names]
        for position, fixed_ in enumerate(self.sums):
            for variable in fixed_.weights:
                members[variable].append(position)
        self.members = [tuple(found) for found in members]

    def _add(self, key: tuple[int, ...], coefficient: Fraction) -> None:
        value = coefficient.numerator * (self.scale // coefficient.denominator)
        if not key:
            self.constant += value
        elif len(key) == 1:
            self.linear[key[0]] += value
        elif len(key) == 2 and key[0] != key[1]:
            self.pairs[key[0]].append((key[1], value))
            self.pairs[key[1]].append((key[0], value))
        else:
            self._products.append((value, key))
            for variable in dict.fromkeys(key):
                rest = tuple(other for other in key if other != variable)
                self.longer[variable].append((value, rest, key.count(variable)))

    def value(self, sizes: Sequence[int]) -> int:
        """Return the scaled slack."""
        twice = sum([size * sum([sizes[o] * c for o, c in self.pairs[i]]) for i, size in enumerate(sizes)])
        total = self.constant + twice // 2 + sum([c * size for c, size in zip(self.linear, sizes, strict=True)])
        for value, key in self._products:
            for variable in key:
                value *= sizes[variable]
            total += value
        return total + sum([walk.value(sizes) for walk in self.walks])

    def slopes(self, sizes: Sequence[int]) -> list[int]:
        """Return how steep the scaled slack is in each size, but for powers and long products."""
        found = [
            own + sum([sizes[other] * c for other, c in near])
            for own, near in zip(self.linear, self.pairs, strict=True)
        ]
        for walk in self.walks:
            walk.add_slopes(sizes, found)
        return found

    def change(self, sizes: Sequence[int], variable: int, amount: int, slope: int | None = None) -> int:
        """Return how the scaled slack changes when one size grows by an amount; ``slope`` is its own, if known."""
        if slope is None:
            slope = self.linear[variable]
            for other, coefficient in self.pairs[variable]:
                slope += coefficient * sizes[other]
            for walk in self.walks:
                slope += walk.slope(sizes, variable)
        total = slope * amount
        if self.longer[variable]:
            here = sizes[variable]
            for value, rest, power in self.longer[variable]:
                for other in rest:
                    value *= sizes[other]
                total += value * ((here + amount) ** power - here**power)
        return total


class _Walk:
    """The products along a chain, in integers."""

    def __init__(self, chain: Chain, number: Mapping[str, int], scale: int) -> None:
        self._members = [(number[name], weight) for name, weight in chain.members]
        self._uses = [
            (place, number[name], c.numerator * (scale // c.denominator))
            for (place, name), c in sorted(chain.uses.items())
        ]
        self.variables = {variable for variable, _ in self._members} | {variable for _, variable, _ in self._uses}
        self._places = {variable: index for index, (variable, _) in enumerate(self._members)}
        self._used: dict[int, list[tuple[int, int]]] = {}
        for place, variable, coefficient in self._uses:
            self._used.setdefault(variable, []).append((place, coefficient))
        self._later = [bisect_right(self._uses, index, key=itemgetter(0)) for index in range(len(self._members))]

    def _before(self, sizes: Sequence[int]) -> list[int]:
        """Return the sum of the members before each place."""
        return list(accumulate([sizes[variable] * weight for variable, weight in self._members], initial=0))

    def value(self, sizes: Sequence[int]) -> int:
        """Return the sum of all products."""
        before = self._before(sizes)
        return sum([c * sizes[variable] * before[place] for place, variable, c in self._uses])

    def slope(self, sizes: Sequence[int], variable: int) -> int:
        """Return how steep it is in one size."""
        found = 0
        for place, coefficient in self._used.get(variable, ()):
            found += coefficient * sum([sizes[member] * weight for member, weight in self._members[:place]])
        index = self._places.get(variable)
        if index is not None:
            later = sum([c * sizes[user] for _, user, c in self._uses[self._later[index] :]])
            found += self._members[index][1] * later
        return found

    def add_slopes(self, sizes: Sequence[int], slopes: list[int]) -> None:
        """Add how steep it is in each size."""
        before = self._before(sizes)
        after = [0] * len(before)
        for place, variable, coefficient in self._uses:
            slopes[variable] += coefficient * before[place]
            after[place] += coefficient * sizes[variable]
        later = 0
        for place in range(len(self._members), 0, -1):
            later += after[place]
            variable, weight = self._members[place - 1]
            slopes[variable] += weight * later


class _WholeSum:
    """A sum in integers."""

    def __init__(self, fixed: Sum, number: Mapping[str, int]) -> None:
        scale = lcm(*(weight.denominator for _, _, weight in fixed.parts))
        self.weights: dict[int, int] = {}
        self.whole = 0
        for name, size, weight in fixed.parts:
            each = weight.numerator * (scale // weight.denominator)
            self.weights[number[name]] = self.weights.get(number[name], 0) + each
            self.whole += each * size
        self.least, self.most = fixed.least * scale, fixed.most * scale

    def missing(self, sizes: Sequence[int]) -> int:
        """Return what has to be removed more (or, negative, less)."""
        removed = self.whole - sum([weight * sizes[variable] for variable, weight in self.weights.items()])
        return max(self.least - removed, 0) or min(self.most - removed, 0)


def best_outcome(land: Landscape, seeds: Iterable[Sequence[int]], enough: int | None) -> tuple[list[int], int] | None:
    """Return an outcome with a small slack and the slack, scaled; the first that is below ``enough``.

    Args:
        land: The slack and the sums.
        seeds: Sizes to start from; pairs of them are crossed.
        enough: A scaled slack below which the search ends; ``None`` to take the first outcome that comes up.
    """
    starts = [list(seed) for seed in seeds]
    found: list[tuple[int, list[int]]] = []
    seen: set[tuple[int, ...]] = set()
    for index, start in enumerate(starts):
        other = starts[index ^ 1] if index ^ 1 < len(starts) else start
        crossed, last = _crossed(land, start, other)
        for allowed in (last, last[::-1], range(len(start))):
            sizes = _repaired(land, crossed, allowed, in_order=allowed is not last and len(allowed) < len(start))
            if sizes is None or tuple(sizes) in seen:
                continue
            seen.add(tuple(sizes))
            value = land.value(sizes)
            if enough is None or value < enough:
                return sizes, value
            found.append((value, sizes))
    best: tuple[list[int], int] | None = None
    if enough is None:
        return best
    for value, sizes in sorted(found)[:2]:
        value = _exchange(land, sizes, value, enough)
        if best is None or value < best[1]:
            best = sizes, value
        if value < enough:
            break
    return best


def _crossed(land: Landscape, start: Sequence[int], other: Sequence[int]) -> tuple[list[int], list[int]]:
    """Take over what another vertex has differently, part by connected part, while no sum is passed.

    Return the sizes, and the axes of the smallest part that would have passed one: the way to the sum leads through it.
    """
    sizes = list(start)
    missing = [fixed.missing(sizes) for fixed in land.sums]
    parts = _parts(land, [i for i, size in enumerate(sizes) if size != other[i]])
    removed = []
    for part in parts:
        shift = [0] * len(land.sums)
        for variable in part:
            for position in land.members[variable]:
                weight = land.sums[position].weights[variable]
                shift[position] += weight * (sizes[variable] - other[variable])
        removed.append((max(map(abs, shift), default=0), shift, part))
    last: list[int] = []
    for _, shift, part in sorted(removed, key=lambda item: -item[0]):
        if all(abs(m - s) <= abs(m) and (m - s) * m >= 0 for m, s in zip(missing, shift, strict=True)):
            for variable in part:
                sizes[variable] = other[variable]
            missing = [m - s for m, s in zip(missing, shift, strict=True)]
        else:
            last = part
    return sizes, last


def _parts(land: Landscape, variables: Sequence[int]) -> list[list[int]]:
    """Return the connected parts of some axes, each in the order of a walk."""
    left = set(variables)
    parts = []
    for first in variables:
        if first not in left:
            continue
        left.discard(first)
        part, waiting = [], [first]
        while waiting:
            here = waiting.pop()
            part.append(here)
            joined = [other for walk in land.walks if here in walk.variables for other in sorted(left & walk.variables)]
            for other in (*[other for other, _ in land.pairs[here]], *joined):
                if other in left:
                    left.discard(other)
                    waiting.append(other)
        parts.append(part)
    return parts


def _repaired(
    land: Landscape, start: Sequence[int], allowed: Sequence[int], in_order: bool = False
) -> list[int] | None:
    """Move sizes until every sum is kept, the cheapest for what it removes first; ``None`` where that ends nowhere."""
    sizes = list(start)
    for _ in range(2 * len(land.sums) + 1):
        open_ = [fixed for fixed in land.sums if fixed.missing(sizes)]
        if not open_:
            return sizes
        for fixed in open_:
            _fill(land, sizes, fixed, allowed, in_order)
    return None


def _fill(land: Landscape, sizes: list[int], fixed: _WholeSum, allowed: Sequence[int], in_order: bool) -> None:
    """Bring one sum into its range as far as whole steps can; prices are renewed after an eighth of the axes."""
    members = [i for i in allowed if i in fixed.weights]
    spare = fixed.most - fixed.least
    missing = fixed.missing(sizes)
    while missing:
        moves: list[tuple[float, int, int]] = []
        slopes = [] if in_order else land.slopes(sizes)
        for variable in members:
            step = land.step[variable]
            room = (sizes[variable] - land.least[variable]) if missing > 0 else (land.most[variable] - sizes[variable])
            unit = fixed.weights[variable] * step
            count = min(room // step, -(-abs(missing) // unit))
            if count * unit > abs(missing) + spare:
                count -= 1
            if count < 1:
                continue
            amount = -count * step if missing > 0 else count * step
            price = 0.0 if in_order else land.change(sizes, variable, amount, slopes[variable]) / (count * unit)
            moves.append((price, variable, amount))
            if in_order:
                break
        if not moves:
            return
        moves.sort()
        for _, variable, amount in moves[: max(1, len(members) // 8)]:
            removed = -amount * fixed.weights[variable]
            if abs(missing - removed) > max(abs(missing), spare):
                break
            sizes[variable] += amount
            missing -= removed
        missing = fixed.missing(sizes)


def _exchange(land: Landscape, sizes: list[int], value: int, enough: int) -> int:
    """Move units between axes of the same sums while that lowers the slack; return the slack."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for variable, member in enumerate(land.members):
        groups.setdefault(member, []).append(variable)
    for _ in range(MOST_ROUNDS):
        before = value
        for member, variables in groups.items():
            value = _exchange_group(land, sizes, value, variables, [land.sums[i].weights for i in member])
            if value < enough:
                return value
        if value == before:
            break
    return value


def _exchange_group(
    land: Landscape, sizes: list[int], value: int, variables: list[int], weights: list[dict[int, int]]
) -> int:
    """Try the axes that gain most by growing against those that lose least by shrinking."""
    if not weights:
        for variable in variables:
            for end in (land.least[variable], land.most[variable]):
                gain = land.change(sizes, variable, end - sizes[variable])
                if gain < 0:
                    sizes[variable] = end
                    value += gain
        return value
    steep = land.slopes(sizes)
    slope = {i: land.change(sizes, i, land.step[i], steep[i]) / (weights[0][i] * land.step[i]) for i in variables}
    up = sorted((i for i in variables if sizes[i] < land.most[i]), key=lambda i: slope[i])[:MOST_EXCHANGED]
    down = sorted((i for i in variables if sizes[i] > land.least[i]), key=lambda i: -slope[i])[:MOST_EXCHANGED]
    for grows in up:
        for shrinks in down:
            if grows == shrinks:
                continue
            units = _units(land, grows, shrinks, weights)
            if units is None:
                continue
            rise, drop = units
            room = min((land.most[grows] - sizes[grows]) // rise, (sizes[shrinks] - land.least[shrinks]) // drop)
            for count in dict.fromkeys((room, room // 2, 1)):
                if count < 1 or count > room:
                    continue
                gain = land.change(sizes, shrinks, -count * drop)
                sizes[shrinks] -= count * drop
                gain += land.change(sizes, grows, count * rise)
                if gain < 0:
                    sizes[grows] += count * rise
                    value += gain
                    break
                sizes[shrinks] += count * drop
    return value


def _units(land: Landscape, grows: int, shrinks: int, weights: list[dict[int, int]]) -> tuple[int, int] | None:
    """Return the smallest amounts by which one axis grows and another shrinks without changing any sum."""
    up, down = weights[0][grows] * land.step[grows], weights[0][shrinks] * land.step[shrinks]
    common = gcd(up, down)
    rise, drop = land.step[grows] * (down // common), land.step[shrinks] * (up // common)
    if any(weight[grows] * rise != weight[shrinks] * drop for weight in weights[1:]):
        return None
    return rise, drop
