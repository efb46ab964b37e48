"""Whether a proof for the two ends of a param's range is a proof for all of it."""

from dataclasses import dataclass

from surgery_dsl.interface.lock import Lock
from surgery_dsl.language.plan import Comparison, Control, Expression, Identify, Obligation, Plan, Quantified
from surgery_dsl.proof.check import check
from surgery_dsl.proof.gates import readings
from surgery_dsl.vocabulary.values import Percent

FALLING = frozenset({"params", "macs", "nonzero", "weight_bytes"})
"""Quantities that never rise when a step takes more."""


@dataclass(frozen=True, slots=True)
class Covered:
    """Whether the static claims hold on a whole range; ``reason`` says why, or what stands against it."""

    covers: bool
    reason: str


def covers(low: Plan, high: Plan, lock: Lock) -> Covered:
    """Compare the plan at both ends of a param's range.

    Where the ends differ in nothing but percentages that ``identify`` takes, counts fall from one end to the other
    and every rounding is monotone. A limit from above is then hardest at the low end, one from below at the high end,
    and both ends proved means that everything between is.

    Args:
        low: The plan with the param at the low end of its range.
        high: The same at the high end.
        lock: The lock of both.
    """
    difference = _difference(low, high)
    if difference:
        return Covered(False, difference)
    for step in low.steps:
        for obligation in step.obligations if isinstance(step, Control) else ():
            if obligation.verb == "prove" and not _monotone(obligation):
                return Covered(False, f"`{obligation.text}` need not lie between its values at the ends")
    for name, plan in (("low", low), ("high", high)):
        report = check(plan, lock)
        if report.failed:
            first = next(found for found in report.diagnostics if found.severity == "error")
            return Covered(False, f"at the {name} end: {first.message}")
        bad = [v for v in report.verdicts if v.verb in ("prove", "always") and v.status != "proved"]
        if bad:
            return Covered(False, f"at the {name} end `{bad[0].text}` is {bad[0].status}")
    return Covered(True, "proved at both ends, and every count falls from one to the other")


def _difference(low: Plan, high: Plan) -> str:
    """Say in what else two plans differ than in percentages taken; empty where in nothing else."""
    if len(low.steps) != len(high.steps):
        return "the ends have different steps"
    for one, other in zip(low.steps, high.steps, strict=True):
        if one == other:
            continue
        if not (isinstance(one, Identify) and isinstance(other, Identify) and one.take is not None):
            return f"`{one.name}` differs in more than an amount"
        amount, second = getattr(one.take, "amount", None), getattr(other.take, "amount", None)
        if not isinstance(amount, Percent) or not isinstance(second, Percent) or amount.value > second.value:
            return f"`{one.name}` differs in more than a growing percentage"
        if one.replaced(take=one.take.replaced(amount=second)) != other:
            return f"`{one.name}` differs in more than an amount"
    return ""


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
