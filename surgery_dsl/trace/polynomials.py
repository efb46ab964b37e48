"""Sizes as polynomials over axes: what Python code computes from them, as far as that stays a polynomial."""

from collections.abc import Mapping
from math import prod

Terms = Mapping[tuple[int, ...], int]
"""A polynomial: coefficient of each monomial, a sorted tuple of the ``id`` s of leaf atoms."""


def constant(terms: Terms) -> int | None:
    """Return the number that a polynomial is; ``None`` where it is none."""
    if not terms:
        return 0
    return terms[()] if set(terms) == {()} else None


def put_in(terms: Terms, sizes: Mapping[int, int]) -> int:
    """Return the value of a polynomial at sizes of its axes."""
    return sum(coefficient * prod(sizes[axis] for axis in monomial) for monomial, coefficient in terms.items())


def plus(left: Terms, right: Terms, sign: int) -> Terms:
    """Return left + sign · right."""
    out = dict(left)
    for monomial, coefficient in right.items():
        out[monomial] = out.get(monomial, 0) + sign * coefficient
    return {monomial: coefficient for monomial, coefficient in out.items() if coefficient}


def times(left: Terms, right: Terms) -> Terms:
    """Return the product of two polynomials."""
    out: dict[tuple[int, ...], int] = {}
    for one, a in left.items():
        for two, b in right.items():
            monomial = tuple(sorted(one + two))
            out[monomial] = out.get(monomial, 0) + a * b
    return {monomial: coefficient for monomial, coefficient in out.items() if coefficient}


def quotient(left: Terms, right: Terms) -> Terms | None:
    """Divide by a monomial that divides every term; ``None`` otherwise."""
    if len(right) != 1:
        return {(): 1} if left == right and left else None
    ((divisor, by),) = right.items()
    out: dict[tuple[int, ...], int] = {}
    for monomial, coefficient in left.items():
        rest = list(monomial)
        for atom in divisor:
            if atom not in rest:
                return None
            rest.remove(atom)
        if not by or coefficient % by:
            return None
        out[tuple(rest)] = coefficient // by
    return out
