"""Amounts: polynomials with rational coefficients over named variables, in which budgets are compared.

A variable is the open size of an axis at some point of the plan, a free input size, or a floor quotient of free
sizes. All are integers ≥ 0. Coefficients are exact fractions, never floats.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Literal

from surgery_dsl.interface.expression import Expression, evaluate
from surgery_dsl.interface.polynomial import Sums, joined, multiplied_out

Monomial = tuple[str, ...]
"""Names of variables in ascending order, repeated for powers; empty for the constant term."""


@dataclass(frozen=True, slots=True)
class Domain:
    """The values of a variable: ``least``, ``least + step``, … up to ``most`` (``None``: no end).

    ``kind`` says where it comes from: the size of an axis that a choice leaves open, a free input size, or a quotient
    ``expression`` of free sizes, which follows from them. ``label`` is for people.
    """

    least: int
    most: int | None
    step: int = 1
    kind: Literal["axis", "free", "quotient"] = "axis"
    label: str = ""
    expression: Expression = 0


@dataclass(frozen=True)
class Amount:
    """A sum of monomials; no coefficient is zero.

    Attributes:
        written: Coefficient of each monomial, which may name sums of axes (:mod:`~surgery_dsl.interface.polynomial`).
        sums: The sums that may be named; a name means the same in all amounts of a question.
    """

    written: Mapping[Monomial, Fraction]
    sums: Sums[str] = field(default_factory=dict)

    @cached_property
    def terms(self) -> Mapping[Monomial, Fraction]:
        """Coefficient of each monomial over variables, sums multiplied out; no coefficient is zero."""
        return multiplied_out(self.written, self.sums)

    @staticmethod
    def constant(value: Fraction | int) -> "Amount":
        """Return the amount that is ``value`` everywhere."""
        return Amount({(): Fraction(value)} if value else {})

    @staticmethod
    def variable(name: str) -> "Amount":
        """Return one variable."""
        return Amount({(name,): Fraction(1)})

    @staticmethod
    def sum_of(amounts: "list[Amount]") -> "Amount":
        """Add many amounts in one pass."""
        written: dict[Monomial, Fraction] = {}
        for amount in amounts:
            for monomial, coefficient in amount.written.items():
                known = written.get(monomial)
                written[monomial] = coefficient if known is None else known + coefficient
        return Amount({m: c for m, c in written.items() if c}, joined(amounts))

    def __add__(self, other: "Amount") -> "Amount":
        return Amount.sum_of([self, other])

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount.sum_of([self, other.scale(Fraction(-1))])

    def __mul__(self, other: "Amount") -> "Amount":
        written: dict[Monomial, Fraction] = {}
        for left, a in self.written.items():
            for right, b in other.written.items():
                monomial = tuple(sorted(left + right)) if left and right else left or right
                written[monomial] = written.get(monomial, Fraction(0)) + a * b
        return Amount({m: c for m, c in written.items() if c}, joined((self, other)))

    def scale(self, factor: Fraction) -> "Amount":
        """Multiply by a number."""
        return Amount({m: c * factor for m, c in self.written.items()} if factor else {}, self.sums)

    @property
    def number(self) -> Fraction | None:
        """The value, where no variable is left; else ``None``."""
        if not self.written:
            return Fraction(0)
        return self.written[()] if len(self.written) == 1 and () in self.written else None

    @cached_property
    def variables(self) -> frozenset[str]:
        """The variables that occur, those of sums included."""
        names = {name for monomial in self.written for name in monomial}
        for name in reversed(list(self.sums)):
            if name in names:
                names.remove(name)
                names.update(*self.sums[name])
        return frozenset(names)

    def at(self, sizes: Mapping[str, int]) -> Fraction:
        """Return the value where every variable is given."""
        if self.sums:
            sizes = self._with_sums(sizes)
        whole, rest = 0, Fraction(0)  # most coefficients are whole, and integers add up ten times faster
        for monomial, coefficient in self.written.items():
            product = 1
            for name in monomial:
                product *= sizes[name]
            if coefficient.denominator == 1:
                whole += coefficient.numerator * product
            else:
                rest += coefficient * product
        return whole + rest

    def _with_sums(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """Add the sums that follow from some sizes."""
        found = dict(sizes)
        for name, parts in self.sums.items():
            if all(part[0] in found for part in parts if part):
                found[name] = sum([weight * (found[part[0]] if part else 1) for part, weight in parts.items()])
        return found

    def put_in(self, sizes: Mapping[str, int]) -> "Amount":
        """Put in some variables; the others stay. Sums of which some are put in are multiplied out."""
        within = self.sums and any(part[0] in sizes for parts in self.sums.values() for part in parts if part)
        if within and self.variables <= sizes.keys():
            return Amount.constant(self.at(sizes))
        written: dict[Monomial, Fraction] = {}
        for monomial, coefficient in (self.terms if within else self.written).items():
            rest = tuple(name for name in monomial if name not in sizes)
            for name in monomial:
                if name in sizes:
                    coefficient *= sizes[name]
            written[rest] = written.get(rest, Fraction(0)) + coefficient
        return Amount({m: c for m, c in written.items() if c}, {} if within else self.sums)

    def signs(self) -> dict[str, set[bool]]:
        """Return of every variable whether it occurs with positive coefficients, with negative ones or with both."""
        signs: dict[str, set[bool]] = {}
        for monomial, coefficient in self.written.items():
            for name in monomial:
                signs.setdefault(name, set()).add(coefficient > 0)
        for name in reversed(list(self.sums)):
            if name in signs:
                pulled = signs.pop(name)
                for part in self.sums[name]:
                    if part:
                        signs.setdefault(part[0], set()).update(pulled)
        return signs


def grid_top(domain: Domain) -> int:
    """Return the greatest value on the grid of a bounded variable."""
    most = domain.least if domain.most is None else domain.most
    return most - (most - domain.least) % domain.step


def complete(sizes: Mapping[str, int], domains: Mapping[str, Domain]) -> dict[str, int]:
    """Add the quotients that follow from the free sizes given."""
    result = dict(sizes)
    for name, domain in domains.items():
        if domain.kind == "quotient":
            result[name] = evaluate(domain.expression, sizes)
    return result
