"""Edits that make a refuted budget hold; each is offered only after the changed plan was proved."""

from bisect import bisect_left
from collections.abc import Callable
from fractions import Fraction

from surgery_dsl.language.plan import Arithmetic, Comparison, Expression, Identify, Plan, Quantified, Reading
from surgery_dsl.proof.state import State
from surgery_dsl.vocabulary.kinds import Take
from surgery_dsl.vocabulary.values import Bytes, Percent, number_text

MOST_SHARE = 95
"""Greatest percentage that is proposed."""
LARGE = 1000
"""Operators from which on only every fifth percentage is tried: each trial follows the whole plan again."""


MOST_LIMIT = 1000
"""Greatest share of the base, in hundredths, that is proposed as a limit."""


def base_value(state: State, reading: Reading) -> Fraction | None:
    """Return a static quantity of the base; ``None`` where it depends on free sizes or is not one number."""
    base = state.at_base()
    low, high = reading.word.bounds(base.interface, base.static())
    least, most = low.substitute(base.interface.exact_size).value, high.substitute(base.interface.exact_size).value
    return None if least is None or least != most else Fraction(least, reading.word.denominator)


def smallest_limit(state: State, statement: Comparison, worst: Fraction) -> str:
    """Return the tightest right side that holds, in the form the plan has it, to two decimals; empty where none is."""
    found = _literal_of(statement.right)
    if found is None:
        return ""
    factor, reading = found
    upper = statement.relation in ("<=", "<")
    if reading is None:
        limit = Fraction(-(-worst // 1)) if upper else Fraction(worst // 1)
        right: Expression = factor.replaced(value=Bytes(value=limit) if isinstance(factor.value, Bytes) else limit)
        return _written(right) if _holds(state, statement, right) else ""
    hundredths = range(1, MOST_LIMIT + 1) if upper else range(MOST_LIMIT, 0, -1)
    rights = [_share_of(statement.right, factor, Fraction(share, 100)) for share in hundredths]
    first = bisect_left(rights, True, key=lambda right: _holds(state, statement, right))
    return _written(rights[first]) if first < len(rights) else ""


def _share_of(side: Expression, factor: Quantified, share: Fraction) -> Expression:
    """Return ``factor * base.quantity`` with another factor."""
    assert isinstance(side, Arithmetic)
    changed = factor.replaced(value=Percent(value=share * 100) if isinstance(factor.value, Percent) else share)
    return side.replaced(**{"left" if side.left is factor else "right": changed})


def _holds(state: State, statement: Comparison, right: Expression) -> bool:
    from surgery_dsl.proof.deciding import decide

    relation = "<=" if statement.relation in ("<=", "<") else ">="
    return decide(state, statement.replaced(right=right, relation=relation)).answer.status == "proved"


def _literal_of(side: Expression) -> tuple[Quantified, Reading | None] | None:
    """Split ``0.65 * base.params`` or a bare limit."""
    if isinstance(side, Quantified):
        return side, None
    if isinstance(side, Arithmetic) and side.operator == "*":
        for one, other in ((side.left, side.right), (side.right, side.left)):
            if isinstance(one, Quantified) and isinstance(other, Reading) and other.point.at == "base":
                return one, other
    return None


def _written(side: Expression) -> str:
    if isinstance(side, Quantified):
        if isinstance(side.value, Percent):
            return str(side.value)
        if isinstance(side.value, Bytes):
            return f"{-(-side.value.value // 1024)}KiB"
        return number_text(Fraction(side.value))  # type: ignore[arg-type]
    if isinstance(side, Arithmetic):
        return f"{_written(side.left)} {side.operator} {_written(side.right)}"
    if isinstance(side, Reading):
        return f"{side.point.at}.{side.word.written()}" if side.point.at != "now" else str(side.word.written())
    return "…"


def other_amount(plan: Plan, state: State, statement: Comparison, retry: Callable[[Plan], State | None]) -> str:
    """Return the change of one percentage that makes the statement hold, the smallest one; empty where none does."""
    upper = statement.relation in ("<=", "<")
    grain = 5 if len(state.interface.operators) > LARGE else 1
    for step in plan.steps:
        amount = getattr(step.take, "amount", None) if isinstance(step, Identify) else None
        if not isinstance(step, Identify) or not isinstance(amount, Percent) or step.take is None:
            continue
        shares = [share for share in range(grain, MOST_SHARE + 1, grain) if (share > amount.value) is upper]
        found = _nearest(shares if upper else shares[::-1], step, step.take, plan, statement, retry)
        if found is not None:
            return _share_text(plan, step, step.take, amount, found)
    return ""


def _nearest(
    shares: list[int],
    step: Identify,
    take: Take,
    plan: Plan,
    statement: Comparison,
    retry: Callable[[Plan], State | None],
) -> int | None:
    """Return the first share that proves the statement, by halving: counts fall as the share grows."""
    from surgery_dsl.proof.deciding import decide

    def holds(share: int) -> bool:
        changed = step.replaced(take=take.replaced(amount=Percent(value=Fraction(share))))
        steps = tuple(changed if other is step else other for other in plan.steps)
        state = retry(plan.replaced(steps=steps))
        return state is not None and decide(state, statement).answer.status == "proved"

    low, high, best = 0, len(shares) - 1, None
    while low <= high:
        middle = (low + high) // 2
        if holds(shares[middle]):
            best, high = shares[middle], middle - 1
        else:
            low = middle + 1
    return best


def _share_text(plan: Plan, step: Identify, take: Take, amount: Percent, share: int) -> str:
    new = Percent(value=Fraction(share))
    for param in plan.params:
        if isinstance(param.value, Percent) and param.value.value == amount.value:
            most = param.most.value if isinstance(param.most, Percent) else None
            inside = most is None or new.value <= most
            wider = "" if inside else f" (and widen its range, which ends at {param.most})"
            return f"set `{param.name}` to {new}{wider}: then it is proved"
    return f"write `take = {take.name}({new})` in `{step.name}`: then it is proved"
