"""Tier 2: congruences. Sums of floor quotients repeat with a period, so that finitely many sizes decide for all.

A size expression without products of free sizes is *quasi-linear*: there is a period P for each free size with
f(x + P) = f(x) + c for all x. For sums this is plain; for ⌊g/d⌋ with g(x + P) = g(x) + c it holds with period
P·d/gcd(c, d) and constant c/gcd(c, d). Relations of such expressions are decided by one box of periods, exactly and
for sizes without end. Ranges that are short are tried one by one, whatever the expression.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import gcd, lcm, prod

from surgery_dsl.interface.expression import Expression, add, evaluate, multiply
from surgery_dsl.proof.questions import Answer, SizeQuestion

TIER = "congruence"
LARGEST_BOX = 4096
"""Most sizes that are tried; a box of this many takes about 20 ms."""


@dataclass(frozen=True, slots=True)
class Steps:
    """How an expression grows: ``f(x + period) = f(x) + growth``, for each free size alone."""

    period: Mapping[str, int]
    growth: Mapping[str, int]


def steps_of(expression: Expression) -> Steps | None:
    """Return the periods of an expression, ``None`` where it is not quasi-linear."""
    if isinstance(expression, int):
        return Steps({}, {})
    if isinstance(expression, str):
        return Steps({expression: 1}, {expression: 1})
    if expression[0] == "+":
        parts = [steps_of(part) for part in expression[1:]]
        known = [part for part in parts if part is not None]
        return _sum(known) if len(known) == len(parts) else None
    if expression[0] == "*":
        factors = [part for part in expression[1:] if not isinstance(part, int)]
        inside = steps_of(factors[0]) if len(factors) == 1 else None
        number = prod(part for part in expression[1:] if isinstance(part, int))
        return inside and Steps(inside.period, {name: number * c for name, c in inside.growth.items()})
    divisor = expression[2]
    inside = steps_of(expression[1]) if isinstance(divisor, int) and divisor > 0 else None
    if inside is None or not isinstance(divisor, int):
        return None
    period, growth = {}, {}
    for name, constant in inside.growth.items():
        common = gcd(constant, divisor)
        period[name] = inside.period[name] * (divisor // common)
        growth[name] = constant // common
    return Steps(period, growth)


def _sum(parts: list[Steps]) -> Steps:
    period: dict[str, int] = {}
    for part in parts:
        for name, length in part.period.items():
            period[name] = lcm(period.get(name, 1), length)
    growth = dict.fromkeys(period, 0)
    for part in parts:
        for name, constant in part.growth.items():
            growth[name] += constant * (period[name] // part.period[name])
    return Steps(period, growth)


def sizes(question: SizeQuestion) -> Answer | None:
    """Decide a relation by one box of periods, or by all sizes where they are few."""
    if all(most is not None for _, _, most in question.ranges):
        count = prod((most or 0) - least + 1 for _, least, most in question.ranges)
        if count <= LARGEST_BOX:
            tried = _try(question, [range(least, (most or 0) + 1) for _, least, most in question.ranges])
            return tried or Answer("proved", TIER, reason=f"all {count} sizes were tried")
    if question.relation == "divides":
        return _divides(question)
    steps = steps_of(add(question.left, multiply(-1, question.right)))
    if steps is None:
        return None
    return _equal(question, steps) if question.relation == "equal" else _at_least(question, steps)


def _try(question: SizeQuestion, box: "list[range]") -> Answer | None:
    """Return the smallest counterexample in a box."""
    for witness in _smallest_first(question, box):
        if not question.holds(witness):
            return Answer("refuted", TIER, witness=witness)
    return None


def _smallest_first(question: SizeQuestion, box: "list[range]") -> Iterator[dict[str, int]]:
    names = [name for name, _, _ in question.ranges]
    points = sorted(product(*box), key=lambda p: (max(p, default=0), p)) if len(box) > 1 else product(*box)
    for point in points:
        yield dict(zip(names, point, strict=True))


def _ends(question: SizeQuestion, steps: Steps, top: frozenset[str]) -> "list[range] | None":
    """One period of each free size: at the top of its range for the names given, at the bottom for the others."""
    box = []
    for name, least, most in question.ranges:
        length = steps.period.get(name, 1)
        if most is not None:
            length = min(length, most - least + 1)
        if name in top and most is not None:
            box.append(range(most - length + 1, most + 1))
        else:
            box.append(range(least, least + length))
    return box if prod(len(side) for side in box) <= LARGEST_BOX else None


def _grown(question: SizeQuestion, steps: Steps, name: str, base: Mapping[str, int]) -> dict[str, int]:
    return {**base, name: base[name] + steps.period[name]}


def _equal(question: SizeQuestion, steps: Steps) -> Answer | None:
    box = _ends(question, steps, frozenset())
    if box is None:
        return None
    refuted = _try(question, box)
    if refuted is not None:
        return refuted
    least = {name: low for name, low, _ in question.ranges}
    for name, low, most in question.ranges:
        if steps.growth.get(name, 0) and (most is None or low + steps.period[name] <= most):
            return Answer("refuted", TIER, witness=_grown(question, steps, name, least))
    return Answer("proved", TIER, reason="the difference repeats with a period, and one period was tried")


def _at_least(question: SizeQuestion, steps: Steps) -> Answer | None:
    falling = frozenset(name for name, growth in steps.growth.items() if growth < 0)
    box = _ends(question, steps, falling)
    if box is None:
        return None
    bottom = _ends(question, steps, frozenset())
    refuted = _try(question, bottom) if bottom is not None else None
    refuted = refuted or _try(question, box)
    endless = [name for name, _, most in question.ranges if most is None and name in falling]
    if refuted is None and endless:
        refuted = _falls_below(question, steps, endless[0])
    if refuted is not None:
        return Answer("refuted", TIER, witness=smaller(question, refuted.witness))
    return Answer("proved", TIER, reason="the difference grows from period to period, and one period was tried")


def _falls_below(question: SizeQuestion, steps: Steps, name: str) -> Answer:
    """Let one free size grow until left < right, the others at their least."""
    best: dict[str, int] | None = None
    least = {other: low for other, low, _ in question.ranges}
    for offset in range(steps.period[name]):
        start = {**least, name: least[name] + offset}
        slack = evaluate(question.left, start) - evaluate(question.right, start)
        periods = slack // -steps.growth[name] + 1
        value = start[name] + periods * steps.period[name]
        if best is None or value < best[name]:
            best = {**least, name: value}
    return Answer("refuted", TIER, witness=best or least)


def _divides(question: SizeQuestion) -> Answer | None:
    divisor, steps = question.left, steps_of(question.right)
    if not isinstance(divisor, int) or divisor < 1 or steps is None:
        return None
    longer = {name: length * (divisor // gcd(steps.growth[name], divisor)) for name, length in steps.period.items()}
    box = _ends(question, Steps(longer, dict.fromkeys(longer, 0)), frozenset())
    if box is None:
        return None
    return _try(question, box) or Answer("proved", TIER, reason="the remainder repeats, and one period was tried")


def smaller(question: SizeQuestion, witness: Mapping[str, int], tries: int = 2048) -> dict[str, int]:
    """Lower a counterexample coordinate by coordinate; it stays one."""
    result = dict(witness)
    for name, least, _ in question.ranges:
        for value in range(least, min(result[name], least + tries)):
            if not question.holds({**result, name: value}):
                result[name] = value
                break
    return result


def small_counterexample(question: SizeQuestion, points: int = 512) -> Answer | None:
    """Try the smallest sizes, whatever the expression: a bug that users meet shows there."""
    count = max(len(question.ranges), 1)
    side = int(points ** (1 / count))
    box = []
    for _, least, most in question.ranges:
        box.append(range(least, least + side if most is None else min(most + 1, least + side)))
    return _try(question, box)
