"""Tier 3: budgets at the corner of the box.

A slack is multilinear in most cases and each variable pulls in one direction, so that its least value over a box lies
at a corner, which is computed exactly. Free input sizes have no end: with N = least + y the slack becomes a
polynomial in y, and if each of its coefficients is never negative, neither is the slack, for any size.

Sums that global rankings fix are not looked at here: :mod:`ranking` comes first where there are any.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import comb

from surgery_dsl.proof.amount import Amount, Domain, Monomial, complete, grid_top
from surgery_dsl.proof.questions import Answer, BudgetQuestion

TIER = "corner of the box"
MOST_MIXED = 10
"""Most variables of mixed sign whose corners are all tried."""


def budget(question: BudgetQuestion) -> Answer:
    """Decide a budget over a box; ``undecided`` carries the interval between best witness and bound."""
    if question.relation == "==":
        return _equal(question)
    bound = least_over_box(question.slack, question.domains)
    if bound is not None and not question.breaks(bound):
        return Answer("proved", TIER, bound=bound, reason="the worst outcome of all choices keeps it")
    best: dict[str, int] = {}
    least: Fraction | None = None
    for sizes in _candidates(question):
        slack = question.reached.at(sizes)
        if question.breaks(slack):
            return Answer("refuted", TIER, witness=sizes, least=slack, bound=bound)
        if least is None or slack < least:
            best, least = sizes, slack
    reason = "the bound over all choices is not exact"
    if question.slack != question.reached:
        reason = "one of the counts is only known between two bounds"
    return Answer("undecided", TIER, witness=best, least=least, bound=bound, reason=reason)


def _equal(question: BudgetQuestion) -> Answer:
    """Decide an equality by the least and the greatest slack."""
    minus = Fraction(-1)
    turned = replace(question, slack=question.slack.scale(minus), reached=question.reached.scale(minus))
    for side in (question, turned):
        for sizes in _candidates(side):
            slack = question.reached.at(sizes)
            if slack != 0:
                return Answer("refuted", TIER, witness=sizes, least=slack)
    ends = [least_over_box(side.slack, side.domains) for side in (question, turned)]
    if all(end is not None and end >= 0 for end in ends):
        return Answer("proved", TIER, bound=Fraction(0), reason="least and greatest difference are zero")
    return Answer("undecided", TIER, reason="equal at the corners that were tried, but not the same polynomial")


# ---- lower bounds ------------------------------------------------------------------------------------------------


def least_over_box(slack: Amount, domains: Mapping[str, Domain]) -> Fraction | None:
    """Return a lower bound over all sizes; ``None`` where there is none."""
    endless = sorted(name for name in slack.variables if domains[name].most is None)
    total = Fraction(0)
    for powers, group in by_powers(shifted(slack, endless, domains), frozenset(endless)).items():
        least = _least_of_group(group, domains)
        if powers == ():
            total = least
        elif least < 0:
            return None
    return total


def shifted(slack: Amount, endless: list[str], domains: Mapping[str, Domain]) -> Amount:
    """Write each endless variable as its least value plus a number ≥ 0 of the same name."""
    result = slack
    for name in endless:
        offset = domains[name].least
        if not offset:
            continue
        terms: dict[Monomial, Fraction] = {}
        for monomial, coefficient in result.written.items():
            power = monomial.count(name)
            rest = tuple(other for other in monomial if other != name)
            for kept in range(power + 1):
                key = tuple(sorted((*rest, *([name] * kept))))
                terms[key] = terms.get(key, Fraction(0)) + coefficient * comb(power, kept) * offset ** (power - kept)
        result = Amount({m: c for m, c in terms.items() if c}, slack.sums)
    return result


def by_powers(slack: Amount, endless: frozenset[str]) -> dict[Monomial, Amount]:
    """Collect the coefficients, polynomials over bounded variables, of each monomial of endless ones."""
    groups: dict[Monomial, dict[Monomial, Fraction]] = {}
    for monomial, coefficient in slack.written.items():
        powers = tuple(name for name in monomial if name in endless)
        rest = tuple(name for name in monomial if name not in endless)
        groups.setdefault(powers, {})[rest] = coefficient
    return {powers: Amount(terms, slack.sums) for powers, terms in groups.items()}


def _least_of_group(group: Amount, domains: Mapping[str, Domain]) -> Fraction:
    """Return a lower bound over a bounded box, exact where a corner reaches it."""
    corner, mixed = _corner(group, domains)
    rest = group.put_in(corner)
    if not mixed:
        return rest.number or Fraction(0)
    best = _best_corner(rest, mixed, domains)
    if best is not None:
        return rest.at(best)
    least = Fraction(0)
    for monomial, coefficient in rest.terms.items():
        value = 1
        for name in monomial:
            value *= domains[name].least if coefficient > 0 else grid_top(domains[name])
        least += coefficient * value
    return least


def _best_corner(rest: Amount, mixed: list[str], domains: Mapping[str, Domain]) -> dict[str, int] | None:
    """Try all corners of a few variables; a multilinear polynomial is least at one of them."""
    multilinear = all(len(set(monomial)) == len(monomial) for monomial in rest.terms)
    if not multilinear or len(mixed) > MOST_MIXED:
        return None
    corners = product(*((domains[name].least, grid_top(domains[name])) for name in mixed))
    return min((dict(zip(mixed, point, strict=True)) for point in corners), key=rest.at)


def _corner(slack: Amount, domains: Mapping[str, Domain]) -> tuple[dict[str, int], list[str]]:
    """Return where the slack is least, for variables that pull in one direction, and the names of the others."""
    signs = slack.signs()
    corner = {
        name: domains[name].least if sign == {True} else grid_top(domains[name])
        for name, sign in signs.items()
        if len(sign) == 1
    }
    return corner, sorted(name for name, sign in signs.items() if len(sign) == 2)


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
        left_out = {n: question.domains[n].least for n in names if n not in sizes and n not in outcome}
        yield {**left_out, **sizes, **outcome}
        if all(start[name] == question.domains[name].most for name in free):
            return


def _outcome(slack: Amount, question: BudgetQuestion) -> dict[str, int]:
    """Return the corner where a slack is least, or one that is likely to be good."""
    corner, mixed = _corner(slack, question.domains)
    if not mixed:
        return corner
    chosen = _best_corner(slack.put_in(corner), mixed, question.domains)
    return {**corner, **(chosen or {name: grid_top(question.domains[name]) for name in mixed})}
