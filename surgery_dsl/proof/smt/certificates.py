"""z3 on dual certificates: with the multipliers given, that a bound holds is linear arithmetic.

What a certificate says is in :class:`surgery_dsl.proof.questions.Cell`. Here it is read anew, from the question alone:
that the cells cover every outcome (integers), that no power of an endless size is left out, and for each cell that
the polynomial with the multipliers cannot go below its bound (reals within the envelopes that the contract names).
"""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import combinations, product
from typing import Any

from surgery_dsl.proof.amount import Monomial
from surgery_dsl.proof.questions import BudgetQuestion, Cell, DualCertificate
from surgery_dsl.proof.smt.budgets import by_powers, outcomes, rational
from surgery_dsl.proof.smt.messages import budget_in, certificate_in
from surgery_dsl.proof.smt.process import Message

Terms = dict[Monomial, Fraction]
Ranges = dict[str, tuple[int, int]]


def replay(job: Message, rlimit: int) -> Message:
    """Check a certificate: ``unsat`` where its bound holds, ``sat`` with the reason where it does not."""
    import z3

    question, certificate = budget_in(job["question"]), certificate_in(job["certificate"])
    wrong = _incomplete(question, certificate)
    if wrong:
        return {"status": "sat", "reason": wrong}
    for powers, corner, cells in _pieces(certificate):
        uncovered = _uncovered(question, cells, rlimit)
        if uncovered != z3.unsat:
            return {"status": str(uncovered), "reason": "cells that cover every outcome"}
        for cell in cells:
            terms, ranges = cell_polynomial(question, powers, dict(corner), cell)
            undercut = _undercut(terms, ranges, cell, rlimit)
            if undercut != z3.unsat:
                return {"status": str(undercut), "reason": f"the bound {cell.bound} of a cell"}
    return {"status": "unsat"}


def _pieces(certificate: DualCertificate) -> Iterator[tuple[Monomial, tuple[tuple[str, int], ...], list[Cell]]]:
    pieces: dict[tuple[Monomial, tuple[tuple[str, int], ...]], list[Cell]] = {}
    for cell in certificate.cells:
        pieces.setdefault((tuple(sorted(cell.powers)), tuple(sorted(cell.corner))), []).append(cell)
    yield from ((powers, corner, cells) for (powers, corner), cells in pieces.items())


def _incomplete(question: BudgetQuestion, certificate: DualCertificate) -> str:
    """Say what a certificate leaves out; empty where nothing."""
    plain = [cell.bound for cell in certificate.cells if not cell.powers]
    if not plain or min(plain) != certificate.bound:
        return "the bound is not the least of its cells"
    if any(cell.bound < 0 for cell in certificate.cells if cell.powers):
        return "a power of an endless size pulls down"
    if any(len(cell.multipliers) != len(question.sums) for cell in certificate.cells):
        return "not every sum has a multiplier"
    corners: dict[Monomial, set[tuple[tuple[str, int], ...]]] = {}
    for powers, corner, _ in _pieces(certificate):
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


def _uncovered(question: BudgetQuestion, cells: list[Cell], rlimit: int) -> Any:
    """Ask for an outcome that is in no cell."""
    import z3

    if any(not cell.box for cell in cells):
        return z3.unsat
    solver = z3.Solver()
    solver.set("rlimit", rlimit)
    sizes = outcomes(question, solver)
    for cell in cells:
        solver.add(z3.Or([z3.Or(sizes[name] < least, sizes[name] > most) for name, least, most in cell.box]))
    return solver.check()


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
    for multiplier, fixed in zip(cell.multipliers, question.sums, strict=True):
        end = fixed.least if multiplier > 0 else fixed.most
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


def _undercut(terms: Terms, ranges: Ranges, cell: Cell, rlimit: int) -> Any:
    """Ask whether a polynomial may go below the bound of its cell, within the envelopes of the contract."""
    import z3

    if any(least > most for least, most in ranges.values()):
        return z3.unsat
    solver = z3.SolverFor("QF_LRA")
    solver.set("rlimit", rlimit)
    envelope = UnitEnvelope(solver, dict(cell.tangents))
    polynomial = envelope.polynomial(in_unit_cube(terms, ranges))
    for triple in cell.triangles:
        envelope.triangle(triple)
    solver.add(polynomial < rational(cell.bound))
    return solver.check()


class UnitEnvelope:
    """A number y for each product of numbers from 0 to 1, with the inequalities that a certificate may use."""

    def __init__(self, solver: Any, tangents: Mapping[str, Fraction]) -> None:
        self._solver, self._tangents = solver, tangents
        self._known: dict[Monomial, Any] = {}

    def polynomial(self, terms: Terms) -> Any:
        """Return a polynomial with a number for each product."""
        import z3

        parts = [rational(c) * self.number(m) if m else rational(c) for m, c in terms.items()]
        return z3.Sum(parts) if parts else z3.RealVal(0)

    def number(self, key: Monomial) -> Any:
        """Return the number of a product."""
        import z3

        if not key:
            return z3.RealVal(1)
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = z3.Real("·".join(key))
            self._solver.add(known >= 0, known <= 1)
            once = tuple(dict.fromkeys(key))
            if len(once) < len(key):
                self._power(known, key, once)
            elif len(key) > 1:
                self._product(known, key)
        return known

    def _product(self, y: Any, key: Monomial) -> None:
        for place, name in enumerate(key):
            last, others = self.number((name,)), self.number(key[:place] + key[place + 1 :])
            self._solver.add(y <= last, y <= others, y >= others + last - 1)

    def _power(self, y: Any, key: Monomial, once: Monomial) -> None:
        self._solver.add(y <= self.number(once))
        for name in once:
            power = key.count(name)
            if power == 1 or name not in self._tangents:
                continue
            point = self._tangents[name]
            others = tuple(other for other in key if other != name)
            slope, offset = power * point ** (power - 1), (power - 1) * point**power
            single = self.number(tuple(sorted((*others, name))))
            self._solver.add(y >= rational(slope) * single - rational(offset) * self.number(others))

    def triangle(self, names: tuple[str, str, str]) -> None:
        """State what the products of the pairs of three numbers obey (Padberg 1989)."""
        a, b, c = (self.number((name,)) for name in names)
        ab, ac, bc = (self.number(tuple(sorted(pair))) for pair in combinations(names, 2))
        self._solver.add(ab + ac <= a + bc, ab + bc <= b + ac, ac + bc <= c + ab, a + b + c - 1 <= ab + ac + bc)
