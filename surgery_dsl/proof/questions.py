"""What the tiers are asked, and what they answer.

A :class:`SizeQuestion` is about free input sizes: does a relation of symbolic sizes hold for all of them? A
:class:`BudgetQuestion` is about counts: is a polynomial never negative, whatever the open choices bring?
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import gcd
from typing import Literal

from surgery_dsl.interface.expression import Expression, evaluate
from surgery_dsl.proof.amount import Amount, Domain, Monomial

Status = Literal["proved", "refuted", "undecided"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One part of a dual certificate: a polynomial over a box and the multipliers that bound it there.

    The polynomial is the coefficient of ``powers`` in the slack, where each endless size N is written as its least
    value plus a number ≥ 0 of the same name, with the sizes of ``corner`` put in. Where the sums hold, it is at least::

        polynomial(a) + Σ_j multipliers[j] · (end_j - removed_j(a))

    with ``end_j`` the least total of ``sums[j].on_grid(domains)`` for a positive multiplier, the greatest for a
    negative one. That this is at least ``bound`` over the whole box is linear arithmetic: with a = least + width · u,
    0 ≤ u ≤ 1, multiply out and replace each product of u's by a variable y that obeys y ≥ 0, y ≤ each factor, y ≥
    (product of all factors but one) + (the last factor) - 1; replace powers in it with u^k ≤ u and, where ``tangents``
    names the axis, u^k ≥ k·t^(k-1)·u - (k-1)·t^k with t the number given (else u^k ≥ 0). For each of ``triangles``
    (a, b, c) there is a y for every pair of the three, and also y_ab + y_ac ≤ u_a + y_bc, the same from b and from c,
    and u_a + u_b + u_c - 1 ≤ y_ab + y_ac + y_bc (Padberg, The Boolean quadric polytope, 1989).

    Attributes:
        bound: The least value that is proved of the polynomial.
        multipliers: One for each sum of the question.
        powers: Monomial of endless sizes; a cell whose ``powers`` are not empty has a bound ≥ 0.
        corner: (name, value) of sizes with an end that are not axes; the polynomial is linear in each, and the cells
            of one certificate go through all their corners.
        box: (axis, least, most) of axes whose range is narrower here than in the question; the cells of one corner
            cover all outcomes.
        tangents: (axis, point between 0 and 1) where powers that pull upward are touched from below.
        triangles: Triples of axes whose triangle inequalities the bound needs; empty for limits from above.
    """

    bound: Fraction
    multipliers: tuple[Fraction, ...]
    powers: Monomial = ()
    corner: tuple[tuple[str, int], ...] = ()
    box: tuple[tuple[str, int, int], ...] = ()
    tangents: tuple[tuple[str, Fraction], ...] = ()
    triangles: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class DualCertificate:
    """Why no outcome has a slack below ``bound``: Lagrangian duality, to be replayed with linear arithmetic alone.

    Attributes:
        bound: Least bound of all cells without powers.
        cells: What was bounded; one cell where nothing was split.
    """

    bound: Fraction
    cells: tuple[Cell, ...]

    @property
    def multipliers(self) -> tuple[Fraction, ...]:
        """The multipliers of the first cell, one for each sum: the price of a removed unit."""
        return self.cells[0].multipliers if self.cells else ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a tier found.

    Attributes:
        status: ``proved``, ``refuted`` or ``undecided``.
        tier: Which tier found it.
        witness: For ``refuted``: sizes that break the claim. For ``undecided``: the worst outcome that was found.
        least: For budgets: the least slack that some outcome has (the witness's), where one was found.
        bound: For budgets: a lower bound of the slack over all outcomes.
        reason: A few words.
        certificate: For budgets under global rankings: what an independent checker needs to find ``bound`` again.
    """

    status: Status
    tier: str
    witness: Mapping[str, int] = field(default_factory=dict)
    least: Fraction | None = None
    bound: Fraction | None = None
    reason: str = ""
    certificate: DualCertificate | None = None


@dataclass(frozen=True, slots=True)
class SizeQuestion:
    """Does ``relation`` hold for all free sizes in their ranges?

    Attributes:
        relation: ``equal`` (left = right), ``at_least`` (left ≥ right), ``divides`` (left divides right).
        left: A symbolic size.
        right: A symbolic size.
        ranges: (name, least, greatest or ``None``) of every free size that occurs, by name.
    """

    relation: Literal["equal", "at_least", "divides"]
    left: Expression
    right: Expression
    ranges: tuple[tuple[str, int, int | None], ...]

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Return whether the relation holds at given sizes; a divisor below one breaks it."""
        if not (_defined(self.left, sizes) and _defined(self.right, sizes)):
            return False
        left, right = evaluate(self.left, sizes), evaluate(self.right, sizes)
        if self.relation == "equal":
            return left == right
        if self.relation == "at_least":
            return left >= right
        return left >= 1 and right % left == 0


def _defined(expression: Expression, sizes: Mapping[str, int]) -> bool:
    """Whether every divisor inside is at least one."""
    if not isinstance(expression, tuple):
        return True
    if not all(_defined(part, sizes) for part in expression[1:]):
        return False
    return expression[0] != "//" or evaluate(expression[2], sizes) >= 1


@dataclass(frozen=True, slots=True)
class Sum:
    """What a global ranking fixes: Σ weight · (whole − size) over some variables lies between two numbers.

    Attributes:
        parts: (variable, size before the step, weight) of each pool; the weight is units removed per unit of size.
        least: Least total that is removed.
        most: Greatest total that is removed.
    """

    parts: tuple[tuple[str, int, Fraction], ...]
    least: int
    most: int

    def removed(self, sizes: Mapping[str, int]) -> Fraction:
        """Return what an outcome removes."""
        whole_units, rest = 0, Fraction(0)
        for name, whole, weight in self.parts:
            if weight.denominator == 1:
                whole_units += weight.numerator * (whole - sizes[name])
            else:
                rest += weight * (whole - sizes[name])
        return whole_units + rest

    def on_grid(self, domains: Mapping[str, Domain]) -> "Sum":
        """Return the same sum between ends that whole steps can reach, as far as one common step tells."""
        units = [weight * domains[name].step for name, _, weight in self.parts]
        if not units or any(unit.denominator != 1 for unit in units):
            return self
        common = gcd(*(unit.numerator for unit in units))
        start = self.removed({name: domains[name].least for name, _, _ in self.parts})
        if start.denominator != 1 or common == 1:
            return self
        least = self.least + (start.numerator - self.least) % common
        return replace(self, least=least, most=self.most - (self.most - start.numerator) % common)


@dataclass(frozen=True, slots=True)
class BudgetQuestion:
    """Is ``slack`` never negative (``>=``), always positive (``>``) or always zero (``==``)?

    Attributes:
        relation: Which of the three.
        slack: A lower bound of the slack as a polynomial; proofs rest on it.
        reached: A polynomial that some outcome reaches; refutations rest on it. Equal to ``slack`` for exact counts.
        domains: The values that each variable may take.
        sums: Sums that global rankings fix.
    """

    relation: Literal[">=", ">", "=="]
    slack: Amount
    reached: Amount
    domains: Mapping[str, Domain]
    sums: tuple[Sum, ...] = ()

    def breaks(self, slack: Fraction) -> bool:
        """Return whether a slack breaks the claim."""
        if self.relation == ">=":
            return slack < 0
        return slack <= 0 if self.relation == ">" else slack != 0
