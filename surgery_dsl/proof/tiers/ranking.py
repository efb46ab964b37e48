"""Tier 4: budgets under global rankings, by Lagrangian duality.

A global ranking fixes Σ removed and leaves open where. The corner of the box (every layer keeps all it may) is then no
outcome, and far from one: for 40 % removed of 500 layers it says 257 M where 145 M is the worst. With a price on what
is removed the sum goes into the polynomial, and its least value over the box is a bound for every price; the best price
makes it the bound of the linear relaxation. :mod:`chords` brings the polynomial to degree two over the unit cube,
:mod:`elimination` and :mod:`min_cut` minimise it, :mod:`multipliers` finds the price, :mod:`regions` splits the box
where that is not enough, and :mod:`witness` finds outcomes. Proofs rest on exact integers; a refutation is an outcome.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import product

from surgery_dsl.proof.amount import Amount, Monomial, complete, grid_top
from surgery_dsl.proof.questions import Answer, BudgetQuestion, Cell, DualCertificate, Sum
from surgery_dsl.proof.running_sums import unrolled
from surgery_dsl.proof.tiers.corner import by_powers, shifted
from surgery_dsl.proof.tiers.regions import Ranges, Region, Task, bounded, split
from surgery_dsl.proof.tiers.witness import Landscape, best_outcome

TIER = "Lagrangian dual"
MOST_CORNERS = 16
"""Most corners of bounded input sizes that are looked at one by one."""
MOST_DOUBLINGS = 64
"""How often an endless size is doubled in search of one that breaks a limit."""


@dataclass(frozen=True, slots=True)
class _Part:
    """The coefficient of a monomial of endless sizes, with input sizes at one of their ends."""

    powers: Monomial
    corner: tuple[tuple[str, int], ...]
    amount: Amount


def budget(question: BudgetQuestion) -> Answer | None:
    """Decide a budget whose variables are under sums; ``None`` where they are not."""
    names = question.slack.variables | question.reached.variables
    if not any(name in names for fixed in question.sums for name, _, _ in fixed.parts):
        return None
    sums = tuple(fixed.on_grid(question.domains) for fixed in question.sums)
    question = replace(question, sums=sums)
    if not all(_possible(fixed, question) for fixed in sums):
        return Answer("undecided", TIER, reason="no outcome keeps the sums of the global rankings")
    return _equal(question) if question.relation == "==" else _Decision(question).answer()


def _possible(fixed: Sum, question: BudgetQuestion) -> bool:
    """Whether some sizes in the box keep one sum, whole steps apart."""
    domains = question.domains
    fewest = fixed.removed({name: grid_top(domains[name]) for name, _, _ in fixed.parts})
    most = fixed.removed({name: domains[name].least for name, _, _ in fixed.parts})
    return fixed.least <= fixed.most and fewest <= fixed.most and most >= fixed.least


def _equal(question: BudgetQuestion) -> Answer:
    """Decide an equality by both of its sides."""
    minus = Fraction(-1)
    turned = replace(question, slack=question.slack.scale(minus), reached=question.reached.scale(minus))
    sides = [_Decision(replace(side, relation=">=")).answer() for side in (question, turned)]
    for side in sides:
        if side.status == "refuted":
            slack = question.reached.at(complete(side.witness, question.domains))
            return replace(side, least=slack, bound=None)
    if all(side.status == "proved" for side in sides):
        return Answer("proved", TIER, witness=sides[0].witness, bound=Fraction(0), reason="least and greatest are zero")
    return Answer("undecided", TIER, reason="equal wherever it was tried, but not the same polynomial")


class _Decision:
    """One question on its way to an answer."""

    def __init__(self, question: BudgetQuestion) -> None:
        self._question = question
        self._read = question.reached.variables
        self._least: Fraction | None = None
        self._witness: dict[str, int] = {}
        self._cells: list[Cell] = []

    def answer(self) -> Answer:
        """Bound every part; look for an outcome that breaks the claim where a bound does not hold."""
        question = self._question
        bounds: list[Fraction] = []
        holding = True
        for part in _parts(question.slack, question):
            regions = self._explored(part)
            if self._least is not None and question.breaks(self._least):
                bound = min(region.bound for region in regions) if not part.powers and not part.corner else None
                return Answer("refuted", TIER, witness=self._witness, least=self._least, bound=bound)
            least = min(region.bound for region in regions)
            holding = holding and _holds(part, question, least)
            if not part.powers:
                bounds.append(least)
            elif least < 0:
                bounds = []
                break
            self._note(part, regions)
        bound = min(bounds) if bounds else None
        certificate = DualCertificate(bound, tuple(self._cells)) if bound is not None else None
        if holding and bound is not None:
            reason = "the worst outcome of all choices keeps it"
            return Answer("proved", TIER, self._witness, self._least, bound, reason, certificate)
        reason = "the worst outcome lies between the two"
        if question.slack != question.reached:
            reason = "one of the counts is only known between two bounds"
        return Answer("undecided", TIER, self._witness, self._least, bound, reason, certificate)

    def _explored(self, part: _Part) -> list[Region]:
        """Bound one part, split where that is not enough; outcomes that turn up are kept."""
        question = self._question
        ranges = _ranges(part.amount, question)
        task = Task(unrolled(part.amount), question.sums, {name: question.domains[name].step for name in ranges})
        enough = Fraction(0) if question.relation == ">=" or part.powers else Fraction(1, 1 << 40)
        root = bounded(task, ranges, enough)

        def look(region: Region) -> bool:
            self._look(part, region)
            return self._least is not None and question.breaks(self._least)

        if _holds(part, question, root.bound):
            if not part.powers:
                self._look(part, root, thorough=False)
            return [root]
        if look(root):
            return [root]
        return split(task, root, enough, lambda bound: _holds(part, question, bound), look)

    def _note(self, part: _Part, regions: list[Region]) -> None:
        """Keep what proves the bounds."""
        for region in regions:
            domains = self._question.domains
            narrower = tuple(
                (name, least, most)
                for name, (least, most) in region.ranges.items()
                if (least, most) != (domains[name].least, grid_top(domains[name]))
            )
            self._cells.append(
                Cell(
                    region.bound,
                    region.multipliers,
                    part.powers,
                    part.corner,
                    narrower,
                    tuple(region.tangents.items()),
                    region.triangles,
                )
            )

    # ---- outcomes ------------------------------------------------------------------------------------------------

    def _look(self, part: _Part, region: Region, *, thorough: bool = True) -> None:
        """Look for an outcome near the vertices of a region, at the input sizes that the part speaks of."""
        question = self._question
        free = {name: domain.least for name, domain in question.domains.items() if domain.kind == "free"}
        free |= {name: size for name, size in part.corner if name in free}
        given = complete(free, question.domains)
        grounded = part.amount if part.powers else question.reached.put_in(given) if given else question.reached
        axes = {name: domain for name, domain in question.domains.items() if domain.kind == "axis"}
        if given:
            over = axes.keys() | grounded.sums.keys()
            kept = {m: c for m, c in grounded.written.items() if all(name in over for name in m)}
            grounded = Amount(kept, grounded.sums)
        narrowed = {
            name: replace(domain, least=region.ranges[name][0], most=region.ranges[name][1])
            if name in region.ranges
            else domain
            for name, domain in axes.items()
        }
        land = Landscape(grounded, narrowed, question.sums)
        seeds = [[seed.get(name, land.most[i]) for i, name in enumerate(land.names)] for seed in region.seeds]
        goal = 0 if question.relation == ">=" else 1
        found = best_outcome(land, seeds, goal if thorough else None)
        if found is None:
            return
        rest = {name: domain.least for name, domain in axes.items() if name in self._read}
        sizes = {**rest, **dict(zip(land.names, found[0], strict=True))}
        if not part.powers:
            self._keep({**given, **sizes}, Fraction(found[1], land.scale))
        else:
            for power in range(MOST_DOUBLINGS):
                grown = {
                    name: size + (1 << power) - 1 if question.domains[name].most is None else size
                    for name, size in free.items()
                }
                grown = {**complete(grown, question.domains), **sizes}
                self._keep(grown, question.reached.at(grown))
                if self._least is not None and question.breaks(self._least):
                    return

    def _keep(self, sizes: dict[str, int], slack: Fraction) -> None:
        if self._least is None or slack < self._least:
            domains = self._question.domains
            shown = {n: size for n, size in sizes.items() if n in self._read or domains[n].kind != "quotient"}
            self._least, self._witness = slack, shown


def _holds(part: _Part, question: BudgetQuestion, bound: Fraction) -> bool:
    return bound >= 0 if part.powers else not question.breaks(bound)


def _parts(slack: Amount, question: BudgetQuestion) -> list[_Part]:
    """Part a slack by its monomials of endless sizes, and by the corners of input sizes that it is linear in."""
    domains = question.domains
    endless = sorted(name for name in slack.variables if domains[name].most is None)
    groups: dict[Monomial, Amount] = {(): slack}
    if endless:
        groups = by_powers(shifted(slack, endless, domains), frozenset(endless))
    parts = []
    for powers in sorted(groups, key=len) if () in groups else [(), *sorted(groups, key=len)]:
        group = groups.get(powers, Amount({}))
        inputs = sorted(name for name in group.variables if domains[name].kind != "axis")
        linear = all(monomial.count(name) <= 1 for monomial in group.written for name in inputs)
        if not inputs or not linear or 1 << len(inputs) > MOST_CORNERS:
            parts.append(_Part(powers, (), group))
            continue
        for corner in product(*((domains[name].least, grid_top(domains[name])) for name in inputs)):
            given = dict(zip(inputs, corner, strict=True))
            parts.append(_Part(powers, tuple(given.items()), group.put_in(given)))
    return parts


def _ranges(amount: Amount, question: BudgetQuestion) -> Ranges:
    """Return the range on its grid of every variable that occurs in an amount or in a sum."""
    names = dict.fromkeys(name for monomial in amount.written for name in monomial if name not in amount.sums)
    for parts in amount.sums.values():
        names.update(dict.fromkeys(part[0] for part in parts if part and part[0] not in amount.sums))
    for fixed in question.sums:
        names.update(dict.fromkeys(name for name, _, _ in fixed.parts))
    return {name: (question.domains[name].least, grid_top(question.domains[name])) for name in names}
