"""z3 on dual certificates: with the multipliers given, that a bound holds is linear arithmetic.

What a certificate says is in :class:`surgery_dsl.proof.questions.Cell`. Here it is read anew, from the question alone:
that the cells cover every outcome (integers), that no power of an endless size is left out, and for each cell that
the polynomial with the multipliers cannot go below its bound (reals within the envelopes that the contract names).
"""

from collections.abc import Mapping
from fractions import Fraction
from itertools import combinations
from math import lcm
from typing import Any

from surgery_dsl.proof.amount import Monomial
from surgery_dsl.proof.cells import Ranges, Terms, cell_polynomial, ends_of, in_unit_cube, incomplete, pieces
from surgery_dsl.proof.questions import BudgetQuestion, Cell, Sum
from surgery_dsl.proof.smt.budgets import outcomes, rational
from surgery_dsl.proof.smt.messages import budget_in, certificate_in
from surgery_dsl.proof.smt.process import Message


def replay(job: Message, rlimit: int) -> Message:
    """Check a certificate: ``unsat`` where its bound holds, ``sat`` with the reason where it does not."""
    import z3

    question, certificate = budget_in(job["question"]), certificate_in(job["certificate"])
    wrong = incomplete(question, certificate)
    if wrong:
        return {"status": "sat", "reason": wrong}
    for fixed, ends in zip(question.sums, ends_of(question), strict=True):
        between = _between_steps(question, fixed, ends, rlimit)
        if between != z3.unsat:
            return {"status": str(between), "reason": "a sum between whole steps"}
    for powers, corner, cells in pieces(certificate):
        uncovered = _uncovered(question, cells, rlimit)
        if uncovered != z3.unsat:
            return {"status": str(uncovered), "reason": "cells that cover every outcome"}
        for cell in cells:
            terms, ranges = cell_polynomial(question, powers, dict(corner), cell)
            undercut = _undercut(terms, ranges, cell, rlimit)
            if undercut != z3.unsat:
                return {"status": str(undercut), "reason": f"the bound {cell.bound} of a cell"}
    return {"status": "unsat"}


def _between_steps(question: BudgetQuestion, fixed: Sum, ends: tuple[int, int], rlimit: int) -> Any:
    """Ask for whole steps whose total is allowed, and not between the ends that are to be used."""
    import z3

    if ends == (fixed.least, fixed.most):
        return z3.unsat
    solver = z3.Solver()
    solver.set("rlimit", rlimit)
    scale = lcm(*(weight.denominator for _, _, weight in fixed.parts))
    terms = []
    for name, whole, weight in fixed.parts:
        domain = question.domains[name]
        terms.append(int(scale * weight) * (whole - domain.least - domain.step * z3.Int(name)))
    removed = z3.Sum(terms)
    solver.add(removed >= scale * fixed.least, removed <= scale * fixed.most)
    solver.add(z3.Or(removed < scale * ends[0], removed > scale * ends[1]))
    return solver.check()


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
