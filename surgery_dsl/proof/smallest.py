"""The outcome that shows best why a limit breaks: as few layers as can be away from their even share, sizes small.

What a tier or a search finds is an outcome at a corner of everything, in which hundreds of layers are empty at once.
Here one is built: free sizes are halved down to the smallest that break; of a ranking, the layers that matter most are
put at their ends, all others share evenly what is left to be taken. It takes time in proportion to the layers, and what
it returns was evaluated: an outcome that exists and breaks the limit, or else the one that was given.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import lcm

from surgery_dsl.proof.amount import Amount, Domain, complete, grid_top
from surgery_dsl.proof.questions import BudgetQuestion, Sum
from surgery_dsl.proof.tiers.witness import Landscape

MOST_TRIALS = 16
"""Most outcomes that are built and evaluated."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An outcome that breaks a limit.

    Attributes:
        sizes: Every variable's size.
        apart: Axes that are at their ends; all others of their ranking have their even share. Empty where no ranking
            leaves anything open.
        built: Whether it was built here; else it is what a search found.
    """

    sizes: Mapping[str, int]
    apart: tuple[str, ...] = ()
    built: bool = False


def smallest(question: BudgetQuestion, witness: Mapping[str, int]) -> Outcome:
    """Return the plainest outcome that breaks a question, given one that does."""
    sizes = smallest_free(question, witness)
    free = {name: size for name, size in sizes.items() if question.domains[name].kind != "axis"}
    rest = question.reached.put_in(free) if free else question.reached
    axes = {name: question.domains[name] for name in sorted(rest.variables | _ranked(question))}
    if not axes or question.relation == "==" or any(domain.most is None for domain in axes.values()):
        return Outcome(sizes)
    found = _Builder(question, rest, axes).fewest(sizes)
    if found is None:
        return Outcome(sizes)
    apart, outcome = found
    return Outcome({**sizes, **outcome}, apart, True)


def _ranked(question: BudgetQuestion) -> frozenset[str]:
    return frozenset(name for fixed in question.sums for name, _, _ in fixed.parts)


# ---- free sizes --------------------------------------------------------------------------------------------------


def smallest_free(question: BudgetQuestion, witness: Mapping[str, int]) -> dict[str, int]:
    """Return the witness with each free size as small as halving finds it, one after another."""
    sizes = dict(witness)
    names = sorted(name for name, domain in question.domains.items() if domain.kind == "free" and name in sizes)
    if not names or not question.reached.variables <= sizes.keys():
        return sizes

    def breaks(name: str, size: int) -> bool:
        return question.breaks(question.reached.at(_with(sizes, name, size, question.domains)))

    for name in names:
        low, high = question.domains[name].least, sizes[name]
        if low < high and breaks(name, low):
            high = low
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if breaks(name, middle) else (middle, high)
        sizes = _with(sizes, name, high, question.domains)
    return sizes


def _with(sizes: Mapping[str, int], name: str, size: int, domains: Mapping[str, Domain]) -> dict[str, int]:
    changed = {**sizes, name: size}
    quotients = {other: domain for other, domain in domains.items() if domain.kind == "quotient" and other in sizes}
    return {**changed, **complete({n: s for n, s in changed.items() if n not in quotients}, quotients)}


# ---- counts ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Ranking:
    """A sum in integers: name, size before, weight of each axis; what goes of all."""

    parts: tuple[tuple[str, int, int], ...]
    least: int
    most: int

    @staticmethod
    def of(fixed: Sum) -> "_Ranking":
        """Scale a sum to integers."""
        scale = lcm(*(weight.denominator for _, _, weight in fixed.parts))
        parts = tuple(
            (name, whole, weight.numerator * (scale // weight.denominator)) for name, whole, weight in fixed.parts
        )
        return _Ranking(parts, fixed.least * scale, fixed.most * scale)

    def without(self, ends: Mapping[str, int]) -> "_Ranking":
        """Return what is left where some axes are settled."""
        gone = sum(weight * (whole - ends[name]) for name, whole, weight in self.parts if name in ends)
        others = tuple(part for part in self.parts if part[0] not in ends)
        return _Ranking(others, self.least - gone, self.most - gone)

    def shared(self, domains: Mapping[str, Domain]) -> dict[str, int] | None:
        """Let every axis lose the same share, as near as whole steps come; ``None`` where that keeps no sum.

        With K of W = Σ w·n gone, an axis of n keeps n·(W − K) / W. Single steps, the largest axes first, mend what
        rounding left.
        """
        whole = sum(size * weight for _, size, weight in self.parts)
        if not whole:
            return {} if self.least <= 0 <= self.most else None
        kept = 2 * whole - self.least - self.most  # twice what stays of all, so that halves are whole
        sizes: dict[str, int] = {}
        removed = 0
        for name, size, weight in self.parts:
            domain = domains[name]
            steps = (size * kept - 2 * whole * domain.least + whole * domain.step) // (2 * whole * domain.step)
            sizes[name] = min(domain.least + max(0, steps) * domain.step, grid_top(domain))
            removed += weight * (size - sizes[name])
        return sizes if self._mended(sizes, removed, domains) else None

    def _mended(self, sizes: dict[str, int], removed: int, domains: Mapping[str, Domain]) -> bool:
        order = sorted(self.parts, key=lambda part: (-part[1], part[0]))
        while not self.least <= removed <= self.most:
            before = removed
            for name, _, weight in order:
                if self.least <= removed <= self.most:
                    break
                domain = domains[name]
                moved = sizes[name] + (-domain.step if removed < self.least else domain.step)
                if domain.least <= moved <= grid_top(domain):
                    after = removed + weight * (sizes[name] - moved)
                    if after > self.most and removed < self.least:
                        continue
                    removed, sizes[name] = after, moved
            if removed == before:
                return False
        return True


class _Builder:
    """Builds outcomes of one question and evaluates them in integers. Final."""

    def __init__(self, question: BudgetQuestion, rest: Amount, axes: Mapping[str, Domain]) -> None:
        self.question, self.axes = question, axes
        self.land = Landscape(rest, axes, question.sums)
        self.rankings = [_Ranking.of(fixed) for fixed in question.sums]
        signs = rest.signs()
        self.kind = {
            name: grid_top(domain) if True in signs.get(name, {True}) else domain.least for name, domain in axes.items()
        }
        """For each axis the end that helps the limit: where axes without a ranking stay while others break it."""

    def built(self, ends: Mapping[str, int]) -> dict[str, int] | None:
        """Put some axes at their ends and let the others of each ranking share evenly; ``None``: no such outcome."""
        sizes = {**self.kind, **ends}
        for ranking in self.rankings:
            shared = ranking.without(ends).shared(self.axes)
            if shared is None:
                return None
            sizes |= shared
        return sizes

    def breaks(self, sizes: Mapping[str, int]) -> bool:
        """Whether an outcome breaks the limit."""
        value = self.land.value([sizes[name] for name in self.land.names])
        return self.question.breaks(Fraction(value, self.land.scale))

    def fewest(self, witness: Mapping[str, int]) -> tuple[tuple[str, ...], dict[str, int]] | None:
        """Return the fewest axes that break the limit from their ends, in the order of what each costs."""
        plain = self.built({})
        if plain is None:
            return None
        if self.breaks(plain):
            return (), plain
        order, ends = self._deviations(plain, witness)
        few, many = 0, len(order) + 1  # too few to break it; enough of them, or more than any outcome has
        best: tuple[tuple[str, ...], dict[str, int]] | None = None
        for trial in range(MOST_TRIALS):
            if many - few <= 1:
                break
            doubled = 1 << trial
            count = doubled if best is None and few < doubled < many else (few + many) // 2
            sizes = self.built({name: ends[name] for name in order[:count]})
            if sizes is None:
                many = count
            elif self.breaks(sizes):
                best, many = (tuple(order[:count]), sizes), count
            else:
                few = count
        return best

    def _deviations(self, plain: Mapping[str, int], witness: Mapping[str, int]) -> tuple[list[str], dict[str, int]]:
        """Return the axes by which a witness breaks the limit, dearest first, each with the end that it is at.

        Axes that a witness has elsewhere and that help the limit stay with the others, and share evenly.
        """
        land = self.land
        start = [plain[name] for name in land.names]
        ends = {
            name: grid_top(self.axes[name]) if witness[name] > plain[name] else self.axes[name].least
            for name in land.names
            if witness.get(name, plain[name]) != plain[name]
        }
        costs = {name: land.change(start, land.number[name], end - plain[name]) for name, end in ends.items()}
        dear = [name for name in ends if costs[name] < 0]
        return sorted(dear, key=lambda name: (costs[name], land.number[name])), ends
