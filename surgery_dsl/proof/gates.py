"""Gates that ``apply`` measures: whether they can fail at all, and what became of them.

Before the run, each measured quantity is only known to lie in its natural range; a gate that holds, or fails, for all
values in these ranges says nothing. After the run, :func:`decide` does the arithmetic on what was measured.
"""

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Literal

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.language.plan import Apply, Arithmetic, Comparison, Expression, Obligation, Quantified, Reading
from surgery_dsl.proof.tiers.intervals import Interval, scaled, summed
from surgery_dsl.proof.verdict import Verdict, exact_text, rounded_text

Always = Literal["always", "never"]
Key = str


def readings(expression: Expression) -> Iterator[Reading]:
    """Yield every quantity that an expression reads."""
    if isinstance(expression, Reading):
        yield expression
    elif isinstance(expression, Arithmetic):
        yield from readings(expression.left)
        yield from readings(expression.right)
    elif isinstance(expression, Apply):
        for argument in expression.arguments:
            yield from readings(argument)


# ---- before the run ----------------------------------------------------------------------------------------------


def foregone(comparison: Comparison) -> Always | None:
    """Return whether a gate holds for every outcome, or for none; ``None`` where it can go either way."""
    left, right = _linear(comparison.left), _linear(comparison.right)
    if left is None or right is None:
        return None
    sign = -1 if comparison.relation in ("<=", "<") else 1
    parts = [scaled(interval, Fraction(sign) * factor) for factor, interval in _difference(left, right)]
    low, high = summed(parts)
    if comparison.relation == "==":
        apart = (low is not None and low > 0) or (high is not None and high < 0)
        return "always" if low == high == 0 else "never" if apart else None
    if comparison.relation in ("<=", ">="):
        return "always" if low is not None and low >= 0 else "never" if high is not None and high < 0 else None
    return "always" if low is not None and low > 0 else "never" if high is not None and high <= 0 else None


_LESS = "change less, give `recover` more epochs, or set a limit that this network can keep"

Linear = dict[Key, tuple[Fraction, Interval]]
"""A sum of quantities and a constant (key ``1``): factor and natural range of each."""


def _difference(left: Linear, right: Linear) -> Iterator[tuple[Fraction, Interval]]:
    for key in left.keys() | right.keys():
        interval = (left.get(key) or right[key])[1]
        factor = left.get(key, (Fraction(0), interval))[0] - right.get(key, (Fraction(0), interval))[0]
        if factor:
            yield factor, interval


def _linear(expression: Expression) -> Linear | None:
    if isinstance(expression, Quantified):
        return {"1": (expression.number, (Fraction(1), Fraction(1)))}
    if isinstance(expression, Reading):
        word = expression.word
        key = f"{expression.point.model_dump_json()} {word.model_dump_json(exclude={'span'})}"
        least = None if word.least is None else Fraction(word.least)
        most = None if word.most is None else Fraction(word.most)
        return {key: (Fraction(1), (least, most))}
    if not isinstance(expression, Arithmetic):
        return None
    left, right = _linear(expression.left), _linear(expression.right)
    if left is None or right is None:
        return None
    if expression.operator in "+-":
        sign = Fraction(1 if expression.operator == "+" else -1)
        result = dict(left)
        for key, (factor, interval) in right.items():
            result[key] = (result.get(key, (Fraction(0), interval))[0] + sign * factor, interval)
        return result
    for number, other in ((right, left), (left, right)):
        if number.keys() == {"1"} and (expression.operator == "*" or number is right):
            constant = number["1"][0]
            if expression.operator == "/" and not constant:
                return None
            by = constant if expression.operator == "*" else 1 / constant
            return {key: (factor * by, interval) for key, (factor, interval) in other.items()}
    return None


# ---- after the run -----------------------------------------------------------------------------------------------


def decide(
    obligation: Obligation, block: str, read: Callable[[Reading], float], file: str = ""
) -> tuple[Verdict, tuple[Diagnostic, ...]]:
    """Return what became of a measured gate, and what to report.

    Args:
        obligation: A ``measure`` line with a comparison.
        block: The control block it stands in.
        read: Returns the measured value of a quantity at its point.
        file: The plan's file, for diagnostics.

    The arithmetic is exact on the measured floats; shares are taken as the fractions k/n that they round.
    """
    statement = obligation.statement
    if not isinstance(statement, Comparison):
        raise TypeError(f"`{obligation.text}` is no comparison")
    known: dict[Key, float] = {}

    def value_of(reading: Reading) -> float:
        key = f"{reading.point.model_dump_json()} {reading.word.model_dump_json(exclude={'span'})}"
        if key not in known:
            known[key] = float(read(reading))
        return known[key]

    left, right = _value(statement.left, value_of), _value(statement.right, value_of)
    zero = next((r for side in (statement.left, statement.right) for r in _zero_bases(side, value_of)), None)
    base = Verdict(
        verb=obligation.verb,
        text=obligation.text,
        kind="metric",
        block=block,
        status="failed",
        tier="measurement",
        span=obligation.span,
    )
    if isinstance(left, float) or isinstance(right, float):
        return _not_finite(base, statement, left, right, file)
    margin = right - left if statement.relation in ("<=", "<") else left - right
    numbers = {"value": exact_text(left), "limit": exact_text(right), "margin": exact_text(margin)}
    if zero is not None:
        verdict = base.replaced(**numbers, reason="a relative limit stands on a baseline of zero")
        return verdict, (_zero_baseline(obligation, zero, file),)
    if _holds(statement.relation, left, right):
        return base.replaced(status="passed", **numbers), ()
    verdict = base.replaced(**numbers, reason=f"{rounded_text(left)} against {rounded_text(right)}")
    return verdict, (_failed(obligation, left, right, file),)


def _holds(relation: str, left: Fraction, right: Fraction) -> bool:
    return {
        "<=": left <= right,
        ">=": left >= right,
        "<": left < right,
        ">": left > right,
        "==": left == right,
    }[relation]


def _value(expression: Expression, read: Callable[[Reading], float]) -> Fraction | float:
    """Return an exact value, or a float where it is not finite."""
    if isinstance(expression, Quantified):
        return expression.number
    if isinstance(expression, Reading):
        value = read(expression)
        if not math.isfinite(value):
            return value
        exact = Fraction(value)
        is_share = expression.word.counts_in() == "share" and exact > Fraction(1, 10**6)
        return exact.limit_denominator(10**9) if is_share else exact
    if isinstance(expression, Arithmetic):
        left, right = _value(expression.left, read), _value(expression.right, read)
        if isinstance(left, float) or isinstance(right, float) or (expression.operator == "/" and right == 0):
            return math.nan
        if expression.operator == "+":
            return left + right
        if expression.operator == "-":
            return left - right
        return left * right if expression.operator == "*" else left / right
    if isinstance(expression, Apply):
        values = [_value(argument, read) for argument in expression.arguments]
        exact_values = [value for value in values if isinstance(value, Fraction)]
        if len(exact_values) != len(values):
            return math.nan
        if expression.function == "abs":
            return abs(exact_values[0])
        if expression.function == "mean":
            return sum(exact_values, Fraction(0)) / len(exact_values)
        picked = {"max": max(exact_values), "min": min(exact_values), "first": exact_values[0]}
        return picked.get(expression.function, exact_values[-1])
    raise LookupError(f"`{expression.step}.{expression.name}` is read from the record of a run")


def _zero_bases(expression: Expression, read: Callable[[Reading], float]) -> Iterator[Reading]:
    """Yield readings of zero that a number is multiplied with, or that divide."""
    if not isinstance(expression, Arithmetic):
        return
    for side, other in ((expression.left, expression.right), (expression.right, expression.left)):
        scales = isinstance(other, Quantified) if expression.operator == "*" else side is expression.right
        is_base = isinstance(side, Reading) and side.point.at != "now"
        if expression.operator in "*/" and scales and is_base and isinstance(side, Reading) and read(side) == 0:
            yield side
    yield from _zero_bases(expression.left, read)
    yield from _zero_bases(expression.right, read)


def _zero_baseline(obligation: Obligation, reading: Reading, file: str) -> Diagnostic:
    name = f"{reading.point.at}.{reading.word.name}"
    return Diagnostic(
        runs.ZERO_BASELINE,
        f"`{obligation.text}`: `{name}` is 0, and a share of nothing is no limit",
        file=file,
        span=reading.span or obligation.span,
        facts={"baseline": 0},
        help="write an absolute limit",
    )


def _failed(obligation: Obligation, left: Fraction, right: Fraction, file: str) -> Diagnostic:
    value, limit = rounded_text(left), rounded_text(right)
    if value == limit:
        value, limit = repr(float(left)), repr(float(right))
    return Diagnostic(
        runs.GATE_FAILED,
        f"`{obligation.text}` does not hold: {value} was measured, the limit is {limit}",
        file=file,
        span=obligation.span,
        facts={"value": float(left), "limit": float(right)},
        help=_remedy(obligation),
    )


def _remedy(obligation: Obligation) -> str:
    statement = obligation.statement
    sides = (statement.left, statement.right) if isinstance(statement, Comparison) else ()
    return next((one.word.remedy for side in sides for one in readings(side) if one.word.remedy), _LESS)


def _not_finite(
    base: Verdict, statement: Comparison, left: Fraction | float, right: Fraction | float, file: str
) -> tuple[Verdict, tuple[Diagnostic, ...]]:
    """Decide where a side is infinite or not a number: infinity compares as it does, nothing else passes."""
    one, two = float(left), float(right)
    holds = (
        not (math.isnan(one) or math.isnan(two))
        and {
            "<=": one <= two,
            ">=": one >= two,
            "<": one < two,
            ">": one > two,
            "==": one == two,
        }[statement.relation]
    )
    verdict = base.replaced(value=repr(one), limit=repr(two), status="passed" if holds else "failed")
    if holds:
        return verdict, ()
    message = f"`{base.text}` does not hold: {one!r} was measured, the limit is {two!r}"
    return verdict, (Diagnostic(runs.GATE_FAILED, message, file=file, span=base.span, help=_LESS),)
