"""What a dual certificate claims, read from the question and the contract of its cells alone.

Two checkers stand on this: z3 (:mod:`surgery_dsl.proof.smt.certificates`) and exact integers in Python
(:mod:`surgery_dsl.proof.replay_dual`). None of the code that found the certificate is used.
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import product
from math import comb, gcd

from surgery_dsl.proof.amount import Monomial
from surgery_dsl.proof.questions import BudgetQuestion, Cell, DualCertificate

Terms = dict[Monomial, Fraction]
Ranges = dict[str, tuple[int, int]]
Corner = tuple[tuple[str, int], ...]


def by_powers(question: BudgetQuestion) -> dict[Monomial, Terms]:
    """Write N = least + n for each size without end; return the coefficient of every monomial of such n."""
    domains = question.domains
    groups: dict[Monomial, Terms] = {}
    for monomial, coefficient in question.slack.terms.items():
        rest = tuple(name for name in monomial if domains[name].most is not None)
        parts: Terms = {(): coefficient}
        for name in dict.fromkeys(name for name in monomial if domains[name].most is None):
            times, least = monomial.count(name), domains[name].least
            parts = {
                (*powers, *([name] * kept)): value * comb(times, kept) * least ** (times - kept)
                for powers, value in parts.items()
                for kept in range(times + 1)
                if kept == times or least
            }
        for powers, value in parts.items():
            group = groups.setdefault(tuple(sorted(powers)), {})
            group[rest] = group.get(rest, Fraction(0)) + value
    groups.setdefault((), {})
    return groups


def pieces(certificate: DualCertificate) -> Iterator[tuple[Monomial, Corner, list[Cell]]]:
    """Yield the cells of a certificate by powers and corner; those of one piece cover all outcomes between them."""
    pieces: dict[tuple[Monomial, Corner], list[Cell]] = {}
    for cell in certificate.cells:
        pieces.setdefault((tuple(sorted(cell.powers)), tuple(sorted(cell.corner))), []).append(cell)
    yield from ((powers, corner, cells) for (powers, corner), cells in pieces.items())


def incomplete(question: BudgetQuestion, certificate: DualCertificate) -> str:
    """Say what a certificate leaves out; empty where nothing."""
    plain = [cell.bound for cell in certificate.cells if not cell.powers]
    if not plain or min(plain) != certificate.bound:
        return "the bound is not the least of its cells"
    if any(cell.bound < 0 for cell in certificate.cells if cell.powers):
        return "a power of an endless size pulls down"
    if any(len(cell.multipliers) != len(question.sums) for cell in certificate.cells):
        return "not every sum has a multiplier"
    corners: dict[Monomial, set[Corner]] = {}
    for powers, corner, _ in pieces(certificate):
        corners.setdefault(powers, set()).add(corner)
    for powers, terms in by_powers(question).items():
        found = corners.get(powers)
        if found is None and any(terms.values()):
            return f"no cell bounds the coefficient of {'·'.join(powers) or '1'}"
        names = sorted({name for corner in found or () for name, _ in corner})
        if any(monomial.count(name) > 1 for monomial in terms for name in names):
            return "the polynomial is not linear in a size that only its ends were tried of"
        ends = [tuple(dict.fromkeys((question.domains[n].least, question.domains[n].most or 0))) for n in names]
        wanted = {tuple(zip(names, values, strict=True)) for values in product(*ends)}
        if found is not None and found != wanted:
            return "not every corner was tried"
    return ""


def ends_of(question: BudgetQuestion) -> list[tuple[int, int]]:
    """Return the least and greatest total of each sum that whole steps can remove, by the steps' common divisor."""
    ends = []
    for fixed in question.sums:
        domains = [question.domains[name] for name, _, _ in fixed.parts]
        units = [weight * domain.step for (_, _, weight), domain in zip(fixed.parts, domains, strict=True)]
        start = sum((w * (whole - d.least) for (_, whole, w), d in zip(fixed.parts, domains, strict=True)), Fraction(0))
        whole = all(number.denominator == 1 for number in (*units, start))
        common = gcd(*(unit.numerator for unit in units)) if whole else 0
        if common:
            least = fixed.least + (start.numerator - fixed.least) % common
            ends.append((least, fixed.most - (fixed.most - start.numerator) % common))
        else:
            ends.append((fixed.least, fixed.most))
    return ends


def cell_polynomial(
    question: BudgetQuestion, powers: Monomial, corner: Mapping[str, int], cell: Cell
) -> tuple[Terms, Ranges]:
    """Return the polynomial of a cell with its multipliers, and the ranges of its axes, ends on their grids."""
    terms: Terms = {}
    for monomial, coefficient in by_powers(question).get(powers, {}).items():
        for name in monomial:
            coefficient *= corner.get(name, 1)
        rest = tuple(name for name in monomial if name not in corner)
        terms[rest] = terms.get(rest, Fraction(0)) + coefficient
    for multiplier, fixed, (least, most) in zip(cell.multipliers, question.sums, ends_of(question), strict=True):
        end = least if multiplier > 0 else most
        terms[()] = terms.get((), Fraction(0)) + multiplier * end
        for name, whole, weight in fixed.parts:
            terms[()] -= multiplier * weight * whole
            terms[name,] = terms.get((name,), Fraction(0)) + multiplier * weight
    box = {name: (least, most) for name, least, most in cell.box}
    ranges: Ranges = {}
    for name in {name for monomial in terms for name in monomial}:
        domain = question.domains[name]
        most = domain.least if domain.most is None else domain.most
        most -= (most - domain.least) % domain.step
        low, high = box.get(name, (domain.least, most))
        ranges[name] = (max(low, domain.least), min(high, most))
    return {monomial: c for monomial, c in terms.items() if c}, ranges


def in_unit_cube(terms: Terms, ranges: Ranges) -> Terms:
    """Put a = least + width · u in and multiply out; monomials of the result are of u, named like their axes."""
    result: Terms = {}
    for monomial, coefficient in terms.items():
        parts: Terms = {(): coefficient}
        for name in monomial:
            least, most = ranges[name]
            longer = parts
            parts = {key: value * least for key, value in longer.items() if least}
            for key, value in longer.items():
                if most > least:
                    with_u = tuple(sorted((*key, name)))
                    parts[with_u] = parts.get(with_u, Fraction(0)) + value * (most - least)
        for key, value in parts.items():
            result[key] = result.get(key, Fraction(0)) + value
    return result
