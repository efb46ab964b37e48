"""A dual certificate checked with exact fractions in plain Python: no solver, and nothing of the code that found it.

The cells must cover every outcome. In each, powers give way to chords and tangents, after which the polynomial with its
multipliers is multilinear and has its least value at a vertex of the box; the least of all vertices is found by
eliminating one variable after the other (nonserial dynamic programming, Bertelè & Brioschi 1972). It is never below the
linear bound that the certificate claims. Graphs whose elimination needs large tables are left to z3.
"""

from collections.abc import Mapping
from fractions import Fraction
from itertools import product

from surgery_dsl.proof.amount import Monomial, grid_top
from surgery_dsl.proof.cells import Ranges, Terms, cell_polynomial, ends_of, in_unit_cube, incomplete, pieces
from surgery_dsl.proof.questions import BudgetQuestion, Cell, DualCertificate

WIDEST = 14
"""Most variables of one table."""
Table = dict[tuple[int, ...], Fraction]


class TooWide(Exception):
    """Elimination needs tables of more than :data:`WIDEST` variables."""


def replayed(question: BudgetQuestion, certificate: DualCertificate) -> str:
    """Return why a certificate does not show its bound; empty where it does.

    Raises:
        TooWide: The polynomial joins too many axes at once to say either.
    """
    wrong = incomplete(question, certificate)
    if wrong:
        return wrong
    for powers, corner, cells in pieces(certificate):
        if not _covered(question, _box(question), cells):
            return "its cells do not cover every outcome"
        for cell in cells:
            terms, ranges = cell_polynomial(question, powers, dict(corner), cell)
            least = least_vertex(without_powers(in_unit_cube(terms, ranges), dict(cell.tangents)))
            if least < cell.bound and all(low <= high for low, high in ranges.values()):
                return f"the polynomial goes down to {least}, below the bound {cell.bound} of a cell"
    return ""


def without_powers(terms: Terms, tangents: Mapping[str, Fraction]) -> Terms:
    """Estimate powers of numbers from 0 to 1 from below: c·u^k by c·u where c < 0, else by a tangent, else by 0."""
    result: Terms = {}
    open_ = list(terms.items())
    while open_:
        monomial, c = open_.pop()
        name = next((name for name in monomial if monomial.count(name) > 1), "")
        others = tuple(other for other in monomial if other != name)
        if not name:
            result[monomial] = result.get(monomial, Fraction(0)) + c
        elif c < 0:
            open_.append((tuple(dict.fromkeys(monomial)), c))
        elif name in tangents:
            power, point = monomial.count(name), tangents[name]
            open_.append((tuple(sorted((*others, name))), c * power * point ** (power - 1)))
            open_.append((others, -c * (power - 1) * point**power))
    return result


def least_vertex(terms: Terms) -> Fraction:
    """Return the least value of a multilinear polynomial where every variable is 0 or 1."""
    factors: dict[str, list[tuple[Monomial, Table]]] = {name: [] for monomial in terms for name in monomial}
    near: dict[str, set[str]] = {name: {name} for name in factors}
    total = terms.get((), Fraction(0))
    for monomial, c in terms.items():
        for name in monomial:
            near[name].update(monomial)
        if monomial and c:
            factors[monomial[0]].append((monomial, {(1,) * len(monomial): c}))
    while near:
        name = min(near, key=lambda n: (len(near[n]), n))
        scope = tuple(sorted(near.pop(name) - {name}))
        if len(scope) > WIDEST:
            raise TooWide(f"{len(scope)} axes meet at one")
        inside = factors.pop(name)
        for other in scope:
            inside += [factor for factor in factors[other] if name in factor[0]]
            factors[other] = [factor for factor in factors[other] if name not in factor[0]]
            near[other].update(scope)
            near[other].discard(name)
        table: Table = {}
        for values in product((0, 1), repeat=len(scope)):
            at = dict(zip(scope, values, strict=True))
            table[values] = min(_value(inside, {**at, name: bit}) for bit in (0, 1))
        if scope:
            factors[scope[0]].append((scope, table))
        else:
            total += table[()]
    return total


def _value(factors: list[tuple[Monomial, Table]], at: Mapping[str, int]) -> Fraction:
    """Add up tables where all their variables are given; what a table does not hold is zero."""
    return sum((table.get(tuple(at[n] for n in scope), Fraction(0)) for scope, table in factors), Fraction(0))


def _box(question: BudgetQuestion) -> Ranges:
    return {name: (d.least, grid_top(d)) for name, d in question.domains.items() if d.most is not None}


def _covered(question: BudgetQuestion, box: Ranges, cells: list[Cell]) -> bool:
    """Whether every outcome in a box lies in some cell; a box that cells cut is halved where one does."""
    near = [cell for cell in cells if all(low <= box[n][1] and box[n][0] <= high for n, low, high in cell.box)]
    for fixed, (least, most) in zip(question.sums, ends_of(question), strict=True):
        removed = [[w * (whole - box[n][end]) for n, whole, w in fixed.parts] for end in (1, 0)]
        if sum(removed[0]) > most or sum(removed[1]) < least:
            return True
    for name, low, high in (edge for cell in near for edge in cell.box):
        first, last = box[name]
        domain = question.domains[name]
        for cut in (low, high + 1):
            below = cut - 1 - (cut - 1 - domain.least) % domain.step
            if first <= below < last:
                halves = ({**box, name: (first, below)}, {**box, name: (below + domain.step, last)})
                return all(_covered(question, half, near) for half in halves)
    return bool(near)
