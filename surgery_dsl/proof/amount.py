"""Amounts: polynomials with rational coefficients over named variables, in which budgets are compared.

A variable is the open size of an axis at some point of the plan, a free input size, or a floor quotient of free
sizes. All are integers ≥ 0. Coefficients are exact fractions, never floats.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from surgery_dsl.interface.expression import Expression, evaluate

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


@dataclass(frozen=True, slots=True)
class Amount:
    """A sum of monomials; no coefficient is zero."""

    terms: Mapping[Monomial, Fraction]

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
        terms: dict[Monomial, Fraction] = {}
        for amount in amounts:
            for monomial, coefficient in amount.terms.items():
                known = terms.get(monomial)
                terms[monomial] = coefficient if known is None else known + coefficient
        return Amount({m: c for m, c in terms.items() if c})

    def __add__(self, other: "Amount") -> "Amount":
        return Amount.sum_of([self, other])

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount.sum_of([self, other.scale(Fraction(-1))])

    def __mul__(self, other: "Amount") -> "Amount":
        terms: dict[Monomial, Fraction] = {}
        for left, a in self.terms.items():
            for right, b in other.terms.items():
                monomial = tuple(sorted(left + right)) if left and right else left or right
                terms[monomial] = terms.get(monomial, Fraction(0)) + a * b
        return Amount({m: c for m, c in terms.items() if c})

    def scale(self, factor: Fraction) -> "Amount":
        """Multiply by a number."""
        return Amount({m: c * factor for m, c in self.terms.items()} if factor else {})

    @property
    def number(self) -> Fraction | None:
        """The value, where no variable is left; else ``None``."""
        if not self.terms:
            return Fraction(0)
        return self.terms[()] if len(self.terms) == 1 and () in self.terms else None

    @property
    def variables(self) -> frozenset[str]:
        """The variables that occur."""
        return frozenset(name for monomial in self.terms for name in monomial)

    def at(self, sizes: Mapping[str, int]) -> Fraction:
        """Return the value where every variable is given."""
        whole, rest = 0, Fraction(0)  # most coefficients are whole, and integers add up ten times faster
        for monomial, coefficient in self.terms.items():
            product = 1
            for name in monomial:
                product *= sizes[name]
            if coefficient.denominator == 1:
                whole += coefficient.numerator * product
            else:
                rest += coefficient * product
        return whole + rest

    def put_in(self, sizes: Mapping[str, int]) -> "Amount":
        """Put in some variables; the others stay."""
        terms: dict[Monomial, Fraction] = {}
        for monomial, coefficient in self.terms.items():
            rest = tuple(name for name in monomial if name not in sizes)
            for name in monomial:
                if name in sizes:
                    coefficient *= sizes[name]
            terms[rest] = terms.get(rest, Fraction(0)) + coefficient
        return Amount({m: c for m, c in terms.items() if c})


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
