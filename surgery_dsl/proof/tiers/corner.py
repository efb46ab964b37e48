"""Tier 3: budgets at the corner of the box.

A slack is multilinear in most cases and each variable pulls in one direction, so that its least value over a box lies
at a corner, which is computed exactly. Free input sizes have no end: with N = least + y the slack becomes a
polynomial in y, and if each of its coefficients is never negative, neither is the slack, for any size.

Under a global ranking the corner need not be an outcome (not every layer can keep everything at once). The bound
stays sound; a refutation then needs an outcome that keeps the sum, which a greedy filling looks for. Sums over
linear slacks are decided exactly, because the greedy filling is optimal for them (a fractional knapsack whose step
sizes agree; Dantzig, Discrete-variable extremum problems, 1957).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import permutations, product
from math import comb

from surgery_dsl.proof.amount import Amount, Domain, Monomial, complete
from surgery_dsl.proof.questions import Answer, BudgetQuestion, Sum

TIER = "corner of the box"
TIER_SUM = "sum of a global ranking"
MOST_MIXED = 10
"""Most variables of mixed sign whose corners are all tried."""
MOST_EXCHANGED = 24
"""Most variables of a sum between which an outcome is improved by exchanging units."""


def budget(question: BudgetQuestion) -> Answer:
    """Decide a budget over a box; ``undecided`` carries the interval between best witness and bound."""
    if question.relation == "==":
        return _equal(question)
    bound, exact = least_over_box(question.slack, question.domains, question.sums)
    tier = TIER_SUM if question.sums else TIER
    if bound is not None and not question.breaks(bound):
        worst = next(_candidates(question), {}) if question.sums else {}
        return Answer("proved", tier, witness=worst, bound=bound, reason="the worst outcome of all choices keeps it")
    best: dict[str, int] = {}
    least: Fraction | None = None
    for sizes in _candidates(question):
        slack = question.reached.at(sizes)
        if question.breaks(slack):
            return Answer("refuted", tier, witness=sizes, least=slack, bound=bound)
        if least is None or slack < least:
            best, least = sizes, slack
    return Answer("undecided", tier, witness=best, least=least, bound=bound, reason=_why_open(question, exact))


def _why_open(question: BudgetQuestion, exact: bool) -> str:
    if question.slack != question.reached:
        return "one of the counts is only known between two bounds"
    if question.sums and exact:
        return "the worst corner of the box keeps more than the global ranking can leave"
    return "the bound over all choices is not exact"


def _equal(question: BudgetQuestion) -> Answer:
    """Decide an equality by the least and the greatest slack."""
    minus = Fraction(-1)
    turned = replace(question, slack=question.slack.scale(minus), reached=question.reached.scale(minus))
    for side in (question, turned):
        for sizes in _candidates(side):
            slack = question.reached.at(sizes)
            if slack != 0:
                return Answer("refuted", TIER, witness=sizes, least=slack)
    ends = [least_over_box(side.slack, side.domains)[0] for side in (question, turned)]
    if all(end is not None and end >= 0 for end in ends):
        return Answer("proved", TIER, bound=Fraction(0), reason="least and greatest difference are zero")
    return Answer("undecided", TIER, reason="equal at the corners that were tried, but not the same polynomial")


# ---- lower bounds ------------------------------------------------------------------------------------------------


def least_over_box(
    slack: Amount, domains: Mapping[str, Domain], sums: tuple[Sum, ...] = ()
) -> tuple[Fraction | None, bool]:
    """Return a lower bound over all sizes (``None``: none) and whether some outcome reaches it."""
    endless = sorted(name for name in slack.variables if domains[name].most is None)
    groups = _by_powers(_shifted(slack, endless, domains), frozenset(endless))
    total: Fraction | None = None
    exact = True
    for powers, group in groups.items():
        under_sums = _least_under_sums(group, domains, sums)
        least, reached = _least_of_group(group, domains) if under_sums is None else (under_sums, True)
        exact = exact and reached
        if powers == ():
            total = least
        elif least < 0:
            return None, exact
    return (Fraction(0) if total is None else total), exact and len(groups) <= 1


def _least_under_sums(group: Amount, domains: Mapping[str, Domain], sums: tuple[Sum, ...]) -> Fraction | None:
    """Return the least value of a linear amount under sums over separate variables; ``None`` where it is not that."""
    names = [name for fixed in sums for name, _, _ in fixed.parts]
    touching = [fixed for fixed in sums if any(name in group.variables for name, _, _ in fixed.parts)]
    if not touching or len(set(names)) < len(names) or any(len(monomial) > 1 for monomial in group.terms):
        return None
    sizes = _corner(group, domains)[0]
    for fixed in touching:
        even = len({weight * domains[name].step for name, _, weight in fixed.parts}) == 1
        filled = _filled(group, sizes, fixed, domains) if even else None
        if filled is None:
            return None
        sizes = filled
    return group.at(sizes)


def _shifted(slack: Amount, endless: list[str], domains: Mapping[str, Domain]) -> Amount:
    """Write each endless variable as its least value plus a number ≥ 0 of the same name."""
    result = slack
    for name in endless:
        offset = domains[name].least
        if not offset:
            continue
        terms: dict[Monomial, Fraction] = {}
        for monomial, coefficient in result.terms.items():
            power = monomial.count(name)
            rest = tuple(other for other in monomial if other != name)
            for kept in range(power + 1):
                key = tuple(sorted((*rest, *([name] * kept))))
                terms[key] = terms.get(key, Fraction(0)) + coefficient * comb(power, kept) * offset ** (power - kept)
        result = Amount({m: c for m, c in terms.items() if c})
    return result


def _by_powers(slack: Amount, endless: frozenset[str]) -> dict[Monomial, Amount]:
    """Collect the coefficients, polynomials over bounded variables, of each monomial of endless ones."""
    groups: dict[Monomial, dict[Monomial, Fraction]] = {}
    for monomial, coefficient in slack.terms.items():
        powers = tuple(name for name in monomial if name in endless)
        rest = tuple(name for name in monomial if name not in endless)
        groups.setdefault(powers, {})[rest] = coefficient
    return {powers: Amount(terms) for powers, terms in groups.items()}


def _least_of_group(group: Amount, domains: Mapping[str, Domain]) -> tuple[Fraction, bool]:
    """Return a lower bound over a bounded box, and whether a corner reaches it."""
    corner, mixed = _corner(group, domains)
    rest = group.put_in(corner)
    if not mixed:
        return rest.number or Fraction(0), True
    best = _best_corner(rest, mixed, domains)
    if best is not None:
        return rest.at(best), True
    least = Fraction(0)
    for monomial, coefficient in rest.terms.items():
        value = 1
        for name in monomial:
            value *= domains[name].least if coefficient > 0 else _most(domains[name])
        least += coefficient * value
    return least, False


def _best_corner(rest: Amount, mixed: list[str], domains: Mapping[str, Domain]) -> dict[str, int] | None:
    """Try all corners of a few variables; a multilinear polynomial is least at one of them."""
    multilinear = all(len(set(monomial)) == len(monomial) for monomial in rest.terms)
    if not multilinear or len(mixed) > MOST_MIXED:
        return None
    corners = product(*((domains[name].least, _most(domains[name])) for name in mixed))
    return min((dict(zip(mixed, point, strict=True)) for point in corners), key=rest.at)


def _corner(slack: Amount, domains: Mapping[str, Domain]) -> tuple[dict[str, int], list[str]]:
    """Return where the slack is least, for variables that pull in one direction, and the names of the others."""
    signs: dict[str, set[bool]] = {}
    for monomial, coefficient in slack.terms.items():
        for name in monomial:
            signs.setdefault(name, set()).add(coefficient > 0)
    corner = {
        name: domains[name].least if sign == {True} else _most(domains[name])
        for name, sign in signs.items()
        if len(sign) == 1
    }
    return corner, sorted(name for name, sign in signs.items() if len(sign) == 2)


def _most(domain: Domain) -> int:
    """Return the greatest value on the grid of a bounded variable."""
    most = domain.least if domain.most is None else domain.most
    return most - (most - domain.least) % domain.step


def worst_corner(slack: Amount, domains: Mapping[str, Domain]) -> dict[str, int]:
    """Return the corner where a slack is least, free sizes at their least; sums are not looked at."""
    start = {name: domain.least for name, domain in domains.items() if domain.kind == "free"}
    sizes = complete(start, domains)
    rest = slack.put_in(sizes)
    corner, mixed = _corner(rest, domains)
    best = _best_corner(rest.put_in(corner), mixed, domains) if mixed else {}
    return {name: domain.least for name, domain in domains.items()} | sizes | corner | (best or {})


# ---- outcomes that exist -----------------------------------------------------------------------------------------


def _candidates(question: BudgetQuestion) -> "Iterator[dict[str, int]]":
    """Yield real outcomes where the slack is likely to be least, smallest free sizes first."""
    names = question.reached.variables
    quotients = {n: question.domains[n] for n in names if question.domains[n].kind == "quotient"}
    free = [n for n, d in question.domains.items() if d.kind == "free" and (n in names or quotients)]
    for power in range(64):
        start = {}
        for name in free:
            domain = question.domains[name]
            value = domain.least + (1 << power) - 1
            start[name] = value if domain.most is None else min(value, domain.most)
        sizes = complete(start, quotients)
        outcome = _outcome(question.reached.put_in(sizes), question)
        if outcome is not None:
            left_out = {n: question.domains[n].least for n in names if n not in sizes and n not in outcome}
            yield {**left_out, **sizes, **outcome}
        if all(start[name] == question.domains[name].most for name in free):
            return


def _outcome(slack: Amount, question: BudgetQuestion) -> dict[str, int] | None:
    """Return sizes of the axes that make a slack small and keep every sum; ``None`` where none was found."""
    corner, mixed = _corner(slack, question.domains)
    best: dict[str, int] | None = dict(corner)
    if mixed:
        chosen = _best_corner(slack.put_in(corner), mixed, question.domains)
        best = {**corner, **(chosen or {name: _most(question.domains[name]) for name in mixed})}
    for constraint in question.sums:
        if best is not None and any(name in best for name, _, _ in constraint.parts):
            best = _filled(slack, best, constraint, question.domains)
            if best is not None and len(constraint.parts) <= MOST_EXCHANGED:
                best = _exchanged(slack, best, constraint, question.domains)
    return best


def _filled(
    slack: Amount, start: Mapping[str, int], constraint: Sum, domains: Mapping[str, Domain]
) -> dict[str, int] | None:
    """Move an outcome onto a sum, taking first what raises the slack least for each unit.

    The order is renewed after a sixteenth of the variables, so that 500 layers cost milliseconds.
    """
    sizes = dict(start)
    weights = {name: weight for name, _, weight in constraint.parts}
    for name in (*weights, *slack.variables):
        sizes.setdefault(name, _most(domains[name]))
    linear = all(len(monomial) <= 1 for monomial in slack.terms)
    for _ in range(2 * len(weights) + 64):
        removed = constraint.removed(sizes)
        if constraint.least <= removed <= constraint.most:
            return sizes
        down = removed < constraint.least
        ends = {name: domains[name].least if down else _most(domains[name]) for name in weights}
        slopes = _slopes(slack, sizes)
        sign = -1 if down else 1
        prices = {n: sign * slopes.get(n, Fraction(0)) / weights[n] for n in weights if sizes[n] != ends[n]}
        order = sorted(prices, key=lambda n: (prices[n] if linear else float(prices[n]), n))
        missing = (constraint.least - removed) if down else (removed - constraint.most)
        for name in order if linear else order[: max(1, len(order) // 16)]:
            step = domains[name].step
            moved = min(int(-(-missing // (weights[name] * step))) * step, abs(ends[name] - sizes[name]))
            sizes[name] += sign * moved
            missing -= moved * weights[name]
            if missing <= 0:
                break
        if not order:
            return None
    return None


def _exchanged(slack: Amount, start: dict[str, int], constraint: Sum, domains: Mapping[str, Domain]) -> dict[str, int]:
    """Move units from one variable to another of the same weight and step while that lowers the slack."""
    sizes = dict(start)
    names = [name for name, _, _ in constraint.parts]
    weight = {name: weight * domains[name].step for name, _, weight in constraint.parts}
    here = slack.at(sizes)
    improved = True
    while improved:
        improved = False
        for up, down in permutations(names, 2):
            if weight[up] != weight[down]:
                continue
            room = min(
                (_most(domains[up]) - sizes[up]) // domains[up].step,
                (sizes[down] - domains[down].least) // domains[down].step,
            )
            while room > 0:
                moved = {up: sizes[up] + room * domains[up].step, down: sizes[down] - room * domains[down].step}
                there = slack.at({**sizes, **moved})
                if there < here:
                    sizes.update(moved)
                    here, improved = there, True
                    break
                room //= 2
    return sizes


def _slopes(slack: Amount, sizes: Mapping[str, int]) -> dict[str, Fraction]:
    """Return the partial derivative by each variable."""
    slopes: dict[str, Fraction] = {}
    for monomial, coefficient in slack.terms.items():
        for position, name in enumerate(monomial):
            rest = 1
            for other in monomial[:position] + monomial[position + 1 :]:
                rest *= sizes[other]
            slopes[name] = slopes.get(name, Fraction(0)) + coefficient * rest
    return slopes
