"""Symbolic sizes: integers, free sizes by name, sums, products and floor divisions in a normal form.

An expression is plain data, so that it can stand in JSON: an ``int``, a name such as ``"N"``, or a tuple
``("+", …)``, ``("*", …)`` of two or more expressions, or ``("//", a, b)``. The constructors below fold
constants and sort operands: two expressions that differ only in such ways are equal as Python values.
Floor division rounds to minus infinity, as in Python; divisors are positive.
"""

from collections.abc import Mapping
from typing import Any

Expression = int | str | tuple[Any, ...]
"""An ``int``, a free size's name, or ``(operator, operand, …)``."""

Bounds = tuple[int, int | None]
"""Least and greatest value; ``None`` where there is no greatest."""


def from_json(value: Any) -> Expression:
    """Turn lists (as JSON has them) into tuples; raise ``ValueError`` on anything that is no expression."""
    if isinstance(value, bool) or not isinstance(value, int | str | list | tuple):
        raise ValueError(f"not a size: {value!r}")
    if isinstance(value, int | str):
        return value
    if len(value) < 3 or value[0] not in ("+", "*", "//") or (value[0] == "//" and len(value) != 3):
        raise ValueError(f"not a size: {value!r}")
    return (value[0], *(from_json(part) for part in value[1:]))


def _order(expression: Expression) -> tuple[int, str]:
    return (0 if isinstance(expression, int) else 1 if isinstance(expression, str) else 2, repr(expression))


def _terms(expression: Expression) -> dict[Expression, int]:
    """Return a sum as {term: integer factor}; the constant stands under the key 1."""
    if isinstance(expression, int):
        return {1: expression}
    parts = expression[1:] if isinstance(expression, tuple) and expression[0] == "+" else (expression,)
    terms: dict[Expression, int] = {}
    for part in parts:
        factor, rest = _factor(part)
        terms[rest] = terms.get(rest, 0) + factor
    return terms


def _factor(expression: Expression) -> tuple[int, Expression]:
    """Split an integer factor off a term."""
    if isinstance(expression, int):
        return expression, 1
    if isinstance(expression, tuple) and expression[0] == "*" and isinstance(expression[1], int):
        rest = expression[2:]
        return expression[1], rest[0] if len(rest) == 1 else ("*", *rest)
    return 1, expression


def add(*operands: Expression) -> Expression:
    """Return the sum in normal form."""
    terms: dict[Expression, int] = {}
    for operand in operands:
        for term, factor in _terms(operand).items():
            terms[term] = terms.get(term, 0) + factor
    parts = [multiply(factor, term) for term, factor in terms.items() if factor]
    if not parts:
        return 0
    return parts[0] if len(parts) == 1 else ("+", *sorted(parts, key=_order))


def multiply(*operands: Expression) -> Expression:
    """Return the product in normal form; sums are multiplied out."""
    constant, factors = 1, list[Expression]()
    for operand in operands:
        parts = operand[1:] if isinstance(operand, tuple) and operand[0] == "*" else (operand,)
        for part in parts:
            if isinstance(part, int):
                constant *= part
            else:
                factors.append(part)
    if constant == 0:
        return 0
    for index, factor in enumerate(factors):
        if isinstance(factor, tuple) and factor[0] == "+":
            rest = factors[:index] + factors[index + 1 :]
            return add(*(multiply(constant, part, *rest) for part in factor[1:]))
    if not factors:
        return constant
    factors.sort(key=_order)
    product = factors if constant == 1 else [constant, *factors]
    return product[0] if len(product) == 1 else ("*", *product)


def floor_divide(numerator: Expression, divisor: Expression) -> Expression:
    """Return the floor quotient in normal form; terms that the divisor divides come out of it."""
    if divisor == 1:
        return numerator
    if isinstance(divisor, int):
        whole: list[Expression] = []
        rest: list[Expression] = []
        for term, factor in _terms(numerator).items():
            quotient, remainder = divmod(factor, divisor)
            whole.append(multiply(quotient, term))
            rest.append(multiply(remainder, term))
        inside = add(*rest)
        if isinstance(inside, int):
            return add(*whole, inside // divisor)
        return add(*whole, ("//", inside, divisor))
    if numerator == divisor:
        return 1
    return ("//", numerator, divisor)


def symbols(expression: Expression) -> frozenset[str]:
    """Return the names of the free sizes that occur."""
    if isinstance(expression, int):
        return frozenset()
    if isinstance(expression, str):
        return frozenset((expression,))
    return frozenset().union(*(symbols(part) for part in expression[1:]))


def ordered_symbols(expression: Expression) -> tuple[str, ...]:
    """Return the names of the free sizes in the order in which they first occur."""
    if not isinstance(expression, tuple):
        return (expression,) if isinstance(expression, str) else ()
    return tuple(dict.fromkeys(name for part in expression[1:] for name in ordered_symbols(part)))


def linear(expression: Expression) -> tuple[str, int, int]:
    """Return (name, factor, rest) of ``factor * name + rest``; the name is empty where nothing is free.

    Raises:
        ValueError: The expression is not linear in one free size.
    """
    terms = _terms(expression)
    rest = terms.pop(1, 0)
    if not terms:
        return "", 0, rest
    ((name, factor),) = terms.items() if len(terms) == 1 else [((), 0)]
    if not isinstance(name, str):
        raise ValueError(f"not linear in one free size: {text(expression)}")
    return name, factor, rest


def linear_text(expression: Expression) -> str:
    """Return an expression that is linear in one free size as a plan writes it: ``2 * T + 1``, ``H - 4``."""
    name, factor, rest = linear(expression)
    if not name:
        return str(rest)
    product = name if factor == 1 else f"{factor} * {name}"
    return f"{product} {'+' if rest > 0 else '-'} {abs(rest)}" if rest else product


def evaluate(expression: Expression, sizes: Mapping[str, int]) -> int:
    """Return the value where every free size is given; raise ``KeyError`` for one that is not."""
    if isinstance(expression, int):
        return expression
    if isinstance(expression, str):
        return sizes[expression]
    values = [evaluate(part, sizes) for part in expression[1:]]
    if expression[0] == "+":
        return sum(values)
    if expression[0] == "*":
        product = 1
        for value in values:
            product *= value
        return product
    return values[0] // values[1]


def remainder(numerator: Expression, divisor: Expression) -> Expression:
    """Return what Python's ``%`` leaves, in normal form: n − m·⌊n/m⌋."""
    return add(numerator, multiply(-1, divisor, floor_divide(numerator, divisor)))


def put_in(expression: Expression, sizes: Mapping[str, Expression]) -> Expression:
    """Return the expression with some free sizes put in, in normal form; the others stay."""
    if isinstance(expression, int):
        return expression
    if isinstance(expression, str):
        return sizes.get(expression, expression)
    parts = [put_in(part, sizes) for part in expression[1:]]
    if expression[0] == "+":
        return add(*parts)
    return multiply(*parts) if expression[0] == "*" else floor_divide(parts[0], parts[1])


def bounds(expression: Expression, sizes: Mapping[str, Bounds]) -> tuple[int | None, int | None]:
    """Return least and greatest value by interval arithmetic; ``None`` is unbounded. Sound, not always tight."""
    if isinstance(expression, int):
        return expression, expression
    if isinstance(expression, str):
        return sizes[expression]
    parts = [bounds(part, sizes) for part in expression[1:]]
    if expression[0] == "+":
        lows, highs = [p[0] for p in parts], [p[1] for p in parts]
        return (
            None if None in lows else sum(low for low in lows if low is not None),
            None if None in highs else sum(high for high in highs if high is not None),
        )
    if expression[0] == "*":
        low, high = parts[0]
        for part in parts[1:]:
            low, high = _product((low, high), part)
        return low, high
    return _quotient(parts[0], parts[1])


def _product(a: tuple[int | None, int | None], b: tuple[int | None, int | None]) -> tuple[int | None, int | None]:
    if None not in a and None not in b:
        corners = [x * y for x in a for y in b if x is not None and y is not None]
        return min(corners), max(corners)
    low_a, low_b = a[0], b[0]
    if low_a is not None and low_b is not None and low_a >= 0 and low_b >= 0:
        high = None if a[1] is None or b[1] is None else a[1] * b[1]
        return low_a * low_b, 0 if 0 in (a[1], b[1]) else high
    for x, y in ((a, b), (b, a)):
        if x[0] == x[1] and x[0] is not None and x[0] < 0:
            return (None if y[1] is None else x[0] * y[1], None if y[0] is None else x[0] * y[0])
    return None, None


def _quotient(a: tuple[int | None, int | None], b: tuple[int | None, int | None]) -> tuple[int | None, int | None]:
    if b[0] is None or b[0] < 1:
        return None, None
    divisors = [d for d in b if d is not None]
    low = None if a[0] is None else min(a[0] // d for d in divisors)
    high = None if a[1] is None else max(a[1] // d for d in divisors)
    if b[1] is None:
        low = None if low is None else min(low, 0)
        high = None if high is None else max(high, 0)
    return low, high


def text(expression: Expression) -> str:
    """Return the expression as people write it."""
    if isinstance(expression, int | str):
        return str(expression)
    parts = [f"({text(p)})" if isinstance(p, tuple) else text(p) for p in expression[1:]]
    return f" {expression[0]} ".join(parts)
