"""Polynomials with integer coefficients over axes: how parameters, bytes and operations are counted.

A concatenation's width is a sum of axes. In a network whose every layer reads what all before it have written, products
with such sums have a monomial for each pair of layers when they are multiplied out. A polynomial may therefore be
*written* with names for sums, each defined by earlier sums and axes: s₂ = s₁ + a₂, s₃ = s₂ + a₃, …; ``terms`` is what
it means.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Protocol, TypeVar

Monomial = tuple[int, ...]
"""Axis ids in ascending order, repeated for powers; empty for the constant term."""
Name = TypeVar("Name", int, str)
Number = TypeVar("Number", int, Fraction)
Sums = Mapping[Name, Mapping[tuple[Name, ...], int]]
"""Names of sums: the constant and the positive weight of every variable or earlier sum in each, in this order."""


def multiplied_out(written: Mapping[tuple[Name, ...], Number], sums: Sums[Name]) -> Mapping[tuple[Name, ...], Number]:
    """Return the terms of a polynomial over variables alone; each sum is opened once."""
    if not sums:
        return written
    opened: dict[Name, dict[tuple[Name, ...], int]] = {}
    for name, parts in sums.items():
        whole: dict[tuple[Name, ...], int] = {}
        for part, weight in parts.items():
            for key, times in (opened[part[0]] if part and part[0] in opened else {part: 1}).items():
                whole[key] = whole.get(key, 0) + weight * times
        opened[name] = whole
    terms: dict[tuple[Name, ...], Number] = {}
    for monomial, coefficient in written.items():
        found = {tuple([name for name in monomial if name not in opened]): coefficient}
        for name in monomial:
            if name in opened:
                longer: dict[tuple[Name, ...], Number] = {}
                for key, value in found.items():
                    for part, weight in opened[name].items():
                        product = tuple(sorted(key + part))
                        longer[product] = longer.get(product, 0) + value * weight
                found = longer
        for key, value in found.items():
            terms[key] = terms.get(key, 0) + value
    return {key: value for key, value in terms.items() if value}


class _Written(Protocol[Name]):
    """A polynomial that may name sums."""

    @property
    def sums(self) -> Sums[Name]: ...


def joined(polynomials: Sequence[_Written[Name]]) -> Sums[Name]:
    """Return the sums that some polynomials may name together; a name means the same in all of them."""
    found = [polynomial.sums for polynomial in polynomials if polynomial.sums]
    if not found or all(sums is found[0] for sums in found):
        return found[0] if found else {}
    return {name: parts for sums in found for name, parts in sums.items()}


@dataclass(frozen=True)
class Polynomial:
    """A sum of monomials over axis ids.

    Attributes:
        written: Coefficient of each monomial, which may name sums; no coefficient is zero.
        sums: The sums that may be named.
    """

    written: Mapping[Monomial, int]
    sums: Sums[int] = field(default_factory=dict)

    @cached_property
    def terms(self) -> Mapping[Monomial, int]:
        """Coefficient of each monomial over axes, sums multiplied out; no coefficient is zero."""
        return multiplied_out(self.written, self.sums)

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
        """Add many polynomials of one interface in one pass."""
        terms: dict[Monomial, int] = {}
        for polynomial in polynomials:
            for monomial, coefficient in polynomial.written.items():
                terms[monomial] = terms.get(monomial, 0) + coefficient
        return Polynomial({m: c for m, c in terms.items() if c}, joined(polynomials))

    def __add__(self, other: "Polynomial") -> "Polynomial":
        return Polynomial.sum_of([self, other])

    def __mul__(self, other: "Polynomial") -> "Polynomial":
        terms: dict[Monomial, int] = {}
        for left, a in self.written.items():
            for right, b in other.written.items():
                monomial = tuple(sorted(left + right)) if left and right else left or right
                terms[monomial] = terms.get(monomial, 0) + a * b
        return Polynomial({m: c for m, c in terms.items() if c}, joined((self, other)))

    def scale(self, factor: int) -> "Polynomial":
        """Multiply by an integer."""
        return Polynomial({m: c * factor for m, c in self.written.items()} if factor else {}, self.sums)

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
        if not self.written:
            return 0
        return self.written[()] if len(self.written) == 1 and () in self.written else None

    @property
    def axes(self) -> frozenset[int]:
        """The axes that occur."""
        return frozenset(axis for monomial in self.terms for axis in monomial)
