"""For how much of a param's range the static claims hold.

The plan is checked with the param at other values. A proof at two values reaches everything between them in three
cases, told by where the two plans differ:

- in percentages that steps take: counts fall as the share grows and every rounding is monotone, so that a limit from
  above is hardest at one end, one from below at the other;
- in a number on one side of a comparison: each outcome's slack is affine in it, so that what keeps the claim is an
  interval (an intersection of half-lines);
- in numbers of a training run: no static claim looks at them.

Anything else (ranks, widths, words) is proved value by value, where there are few values.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any

from surgery_dsl.interface.lock import Lock
from surgery_dsl.interface.model import Data
from surgery_dsl.language.params import quoted, value_text
from surgery_dsl.language.plan import (
    Comparison,
    Control,
    Excise,
    Expression,
    Identify,
    Obligation,
    Param,
    ParamValue,
    Plan,
    Quantified,
    Recover,
)
from surgery_dsl.proof.check import check
from surgery_dsl.proof.gates import readings
from surgery_dsl.vocabulary.values import Percent, Plain

FALLING = frozenset({"params", "macs", "nonzero", "weight_bytes"})
"""Quantities that never rise when a step takes more."""
MOST_TRIED = 64
"""Most values of a param that are proved one by one; steps of the grid on which a sub-range ends."""

Read = Callable[[ParamValue], Plan | None]
"""The plan with the param at another value; ``None`` where it does not read."""


@dataclass(frozen=True, slots=True)
class Covered:
    """What of a param's values the static claims hold for.

    Attributes:
        covers: Whether that is the whole range, or every choice.
        shown: The largest part around the value in force that is proved: ``10%..55%``, a list of choices, or one value.
        reason: Why it reaches so far, or what stands against the rest.
    """

    covers: bool
    shown: str
    reason: str


def covered(param: Param, read: Read, lock: Lock) -> Covered | None:
    """Prove a plan at other values of a param; ``None`` where it has neither range nor choices.

    Other params keep their values.

    Args:
        param: The param.
        read: Gives the plan at another value.
        lock: The lock of all of these plans.
    """
    if param.choices:
        return _choices(objections(param, read, lock))
    if param.least is None or param.most is None:
        return None
    trial = _Trial(param, read, lock)
    against = trial.objection(param.value)
    if against:
        return Covered(False, "no value", f"at {value_text(param.value)} {against}")
    values = _whole_numbers(param)
    if values and not trial.reaches(param.least, param.most)[0]:
        return _one_by_one(param, values, trial)
    return _interval(param, trial)


class _Trial:
    """Checks the plan at values of one param, each once."""

    def __init__(self, param: Param, read: Read, lock: Lock) -> None:
        self._read = read
        self._lock = lock
        self._plans: dict[str, Plan | None] = {}
        self._known: dict[str, str] = {}

    def plan(self, value: ParamValue) -> Plan | None:
        """Return the plan at a value."""
        text = value_text(value)
        if text not in self._plans:
            self._plans[text] = self._read(value)
        return self._plans[text]

    def objection(self, value: ParamValue) -> str:
        """Say what is not proved at a value; empty where everything is."""
        text = value_text(value)
        if text not in self._known:
            plan = self.plan(value)
            self._known[text] = "the plan does not read" if plan is None else _objection(plan, self._lock)
        return self._known[text]

    def reaches(self, least: ParamValue, most: ParamValue) -> tuple[bool, str]:
        """Return whether proofs at two values are a proof between them, and why."""
        low, high = self.plan(least), self.plan(most)
        if low is None or high is None:
            return False, "the plan does not read at an end"
        return _reaches(low, high)


def _objection(plan: Plan, lock: Lock) -> str:
    report = check(plan, lock, explain=False)
    first = next((found for found in report.diagnostics if found.severity == "error"), None)
    if first is not None:
        return first.message
    bad = next((v for v in report.verdicts if v.verb in ("prove", "always") and v.status != "proved"), None)
    return "" if bad is None else f"`{bad.text}` is {bad.status}"


# ---- the part that is proved -------------------------------------------------------------------------------------


def objections(param: Param, read: Read, lock: Lock) -> dict[ParamValue, str]:
    """Say what is not proved at each choice of a param, in their order; empty where everything is."""
    trial = _Trial(param, read, lock)
    return {choice: trial.objection(choice) for choice in param.choices}


def _choices(against: Mapping[ParamValue, str]) -> Covered:
    shown = ", ".join(quoted(choice) for choice, text in against.items() if not text) or "no value"
    bad = next(((choice, text) for choice, text in against.items() if text), None)
    if bad is None:
        return Covered(True, shown, "each was proved")
    return Covered(False, shown, f"at {quoted(bad[0])} {bad[1]}")


def _one_by_one(param: Param, values: list[ParamValue], trial: _Trial) -> Covered:
    """Go from the value in force to both ends, as far as every value is proved."""
    here = next((at for at, value in enumerate(values) if value == param.value), None)
    if here is None:
        return Covered(False, value_text(param.value), "the value in force is none of the whole numbers of its range")
    low = high = here
    while low > 0 and not trial.objection(values[low - 1]):
        low -= 1
    while high < len(values) - 1 and not trial.objection(values[high + 1]):
        high += 1
    shown = _range_text(values[low], values[high])
    if low == 0 and high == len(values) - 1:
        return Covered(True, shown, f"each of its {len(values)} values was proved")
    beyond = values[low - 1] if low else values[high + 1]
    return Covered(False, shown, f"at {value_text(beyond)} {trial.objection(beyond)}")


def _interval(param: Param, trial: _Trial) -> Covered:
    """Look from the value in force to both ends, by halving, where a proof at two values reaches what lies between."""
    assert param.least is not None
    assert param.most is not None
    reaches, reason = trial.reaches(param.least, param.most)
    if not reaches:
        return Covered(False, value_text(param.value), reason)
    low, below = _furthest(_grid(param, param.value, param.least), trial)
    high, above = _furthest(_grid(param, param.value, param.most), trial)
    shown = _range_text(low, high)
    if not below and not above:
        return Covered(True, shown, f"proved at both ends, and {reason}")
    return Covered(False, shown, f"{reason}; {' and '.join(filter(None, (below, above)))}")


def _furthest(values: list[ParamValue], trial: _Trial) -> tuple[ParamValue, str]:
    """Return the last value that is proved, going outwards from one that is, and what stands against the next."""
    if not trial.objection(values[-1]):
        return values[-1], ""
    good, bad = 0, len(values) - 1
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if not trial.objection(values[middle]) else (good, middle)
    return values[good], f"at {value_text(values[bad])} {trial.objection(values[bad])}"


def _range_text(low: ParamValue, high: ParamValue) -> str:
    return value_text(low) if low == high else f"{value_text(low)}..{value_text(high)}"


# ---- values of a range -------------------------------------------------------------------------------------------


def _number(value: ParamValue) -> Fraction:
    assert not isinstance(value, str)
    return value.value


def _like(value: ParamValue, number: Fraction) -> ParamValue:
    return Percent(value=number) if isinstance(value, Percent) else Plain(value=number)


def _whole_numbers(param: Param) -> list[ParamValue]:
    """Return every value of a short range of whole numbers; of another, none: it has values between these."""
    assert param.least is not None
    assert param.most is not None
    least, most, here = _number(param.least), _number(param.most), _number(param.value)
    whole = all(n.denominator == 1 for n in (least, most, here)) and isinstance(param.least, Plain)
    if not whole or most - least >= MOST_TRIED:
        return []
    return [_like(param.least, Fraction(n)) for n in range(int(least), int(most) + 1)]


def _grid(param: Param, start: ParamValue, end: ParamValue) -> list[ParamValue]:
    """Return values from one to another: whole percents where they are enough, else equal steps."""
    first, last = _number(start), _number(end)
    if isinstance(start, Percent) and abs(last - first) >= 5:
        low, high = min(first, last), max(first, last)
        between = [Fraction(n) for n in range(floor(low) + 1, ceil(high))]
        inside = between if first < last else between[::-1]
    elif param.scale == "log" and first > 0 and last > 0:
        ratio = float(last / first)
        inside = [first * Fraction(ratio ** (n / MOST_TRIED)).limit_denominator(10**6) for n in range(1, MOST_TRIED)]
    else:
        inside = [first + (last - first) * n / MOST_TRIED for n in range(1, MOST_TRIED)]
    return [start, *(_like(start, n) for n in inside), end]


# ---- what lies between two plans ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Change:
    """A leaf in which two plans differ: the step it stands in, its place there, and both values."""

    step: Any
    place: tuple[str, ...]
    low: Any
    high: Any


def _reaches(low: Plan, high: Plan) -> tuple[bool, str]:
    """Return whether proofs of two plans that differ in one param are a proof of all between, and why."""
    if len(low.steps) != len(high.steps):
        return False, "the ends have different steps"
    steps = zip(low.steps, high.steps, strict=True)
    changes = [_Change(one, *leaf) for one, other in steps for leaf in _leaves(one, other, ())]
    if (low.models, low.data, low.environments) != (high.models, high.data, high.environments):
        return False, "the ends differ in more than steps"
    kinds = {_kind(change) for change in changes}
    if "" in kinds:
        odd = next(change for change in changes if not _kind(change))
        return False, f"`{odd.step.name}` differs in `{odd.place[0]}`, and nothing is known of what lies between"
    if kinds >= {"amount", "limit"}:
        return False, "both an amount and a limit follow from it"
    if "amount" in kinds and (open_ := next(_not_monotone(low), None)):
        return False, f"`{open_.text}` need not lie between its values at the ends"
    if "amount" in kinds:
        return True, "every count falls from one to the other"
    if "limit" in kinds:
        return True, "the limit is a number that the slack follows evenly"
    return True, "no static claim looks at it" if changes else "nothing in the plan uses it"


def _leaves(one: Any, other: Any, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield the places where two trees of data differ; spans and texts count for nothing."""
    if one == other:
        return
    if isinstance(one, Data) and type(one) is type(other) and not isinstance(one, Percent | Plain):
        for name in type(one).model_fields:
            if name not in ("span", "spans", "text"):
                yield from _leaves(getattr(one, name), getattr(other, name), (*place, name))
    elif isinstance(one, tuple) and isinstance(other, tuple) and len(one) == len(other):
        for index, (first, second) in enumerate(zip(one, other, strict=True)):
            yield from _leaves(first, second, (*place, str(index)))
    else:
        yield place, one, other


def _kind(change: _Change) -> str:
    """Say what a change is: an ``amount`` that grows, a ``limit``, ``training``; empty for anything else."""
    low, high, place = change.low, change.high, change.place
    growing = isinstance(low, Percent) and isinstance(high, Percent) and low.value <= high.value
    if isinstance(change.step, Identify) and place[-2:] == ("take", "amount"):
        return "amount" if growing else ""
    if isinstance(change.step, Excise) and place[:1] == ("schedule",) and place[-1] == "right":
        return "amount" if growing else ""
    if isinstance(change.step, Recover):
        return "training" if all(isinstance(n, int | float | Fraction | Plain | Percent) for n in (low, high)) else ""
    if isinstance(change.step, Control) and len(place) > 2 and place[2] == "statement" and place[-1] == "value":
        return "limit" if _alone(change.step.obligations[int(place[1])]) else ""
    return ""


def _alone(obligation: Obligation) -> bool:
    """Whether a comparison holds one literal, so that its slack is affine in it (none divides by it)."""
    statement = obligation.statement
    if not isinstance(statement, Comparison):
        return False
    found = [*_literals(statement.left, divides=False), *_literals(statement.right, divides=False)]
    return len(found) == 1 and not found[0]


def _literals(side: Expression, *, divides: bool) -> Iterator[bool]:
    """Yield for each literal of a side whether it divides something, or stands in a function."""
    if isinstance(side, Quantified):
        yield divides
    elif side.node == "arithmetic":
        yield from _literals(side.left, divides=divides)
        yield from _literals(side.right, divides=divides or side.operator == "/")
    elif side.node == "apply":
        for argument in side.arguments:
            yield from _literals(argument, divides=True)


def _not_monotone(plan: Plan) -> Iterator[Obligation]:
    for step in plan.steps:
        for obligation in step.obligations if isinstance(step, Control) else ():
            if obligation.verb == "prove" and not _monotone(obligation):
                yield obligation


def _monotone(obligation: Obligation) -> bool:
    """Whether falling counts move the claim in one direction: counts of here on one side, of the base on the other."""
    statement = obligation.statement
    if not isinstance(statement, Comparison):
        return True
    if not _falls(statement.left):
        return False
    return isinstance(statement.right, Quantified) or all(r.point.at == "base" for r in readings(statement.right))


def _falls(side: Expression) -> bool:
    found = list(readings(side))
    return len(found) == 1 and side is found[0] and found[0].word.name in FALLING
