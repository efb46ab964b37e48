"""Polynomials with integer coefficients over axes: how parameters, bytes and operations are counted."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Monomial = tuple[int, ...]
"""Axis ids in ascending order, repeated for powers; empty for the constant term."""


@dataclass(frozen=True, slots=True)
class Polynomial:
    """A sum of monomials over axis ids.

    Attributes:
        terms: Coefficient of each monomial; no coefficient is zero.
    """

    terms: Mapping[Monomial, int]

    @staticmethod
    def constant(value: int) -> "Polynomial":
        """Return the polynomial that is ``value`` everywhere."""
        return Polynomial({(): value} if value else {})

    @staticmethod
    def axis(axis: int) -> "Polynomial":
        """Return the size of one axis."""
        return Polynomial({(axis,): 1})

    @staticmethod
    def sum_of(polynomials: "list[Polynomial]") -> "Polynomial":
        """Add many polynomials in one pass."""
        terms: dict[Monomial, int] = {}
        for polynomial in polynomials:
            for monomial, coefficient in polynomial.terms.items():
                terms[monomial] = terms.get(monomial, 0) + coefficient
        return Polynomial({m: c for m, c in terms.items() if c})

    def __add__(self, other: "Polynomial") -> "Polynomial":
        return Polynomial.sum_of([self, other])

    def __mul__(self, other: "Polynomial") -> "Polynomial":
        terms: dict[Monomial, int] = {}
        for left, a in self.terms.items():
            for right, b in other.terms.items():
                monomial = tuple(sorted(left + right)) if left and right else left or right
                terms[monomial] = terms.get(monomial, 0) + a * b
        return Polynomial({m: c for m, c in terms.items() if c})

    def scale(self, factor: int) -> "Polynomial":
        """Multiply by an integer."""
        return Polynomial({m: c * factor for m, c in self.terms.items()} if factor else {})

    def substitute(self, size: Callable[[int], int | None]) -> "Polynomial":
        """Put in the sizes that are known; axes for which ``size`` gives ``None`` stay."""
        terms: dict[Monomial, int] = {}
        for monomial, coefficient in self.terms.items():
            rest = []
            for axis in monomial:
                value = size(axis)
                if value is None:
                    rest.append(axis)
                else:
                    coefficient *= value
            if coefficient:
                key = tuple(rest)
                terms[key] = terms.get(key, 0) + coefficient
        return Polynomial({m: c for m, c in terms.items() if c})

    @property
    def value(self) -> int | None:
        """The number, where no axis is left; else ``None``."""
        if not self.terms:
            return 0
        return self.terms[()] if len(self.terms) == 1 and () in self.terms else None

    @property
    def axes(self) -> frozenset[int]:
        """The axes that occur."""
        return frozenset(axis for monomial in self.terms for axis in monomial)
