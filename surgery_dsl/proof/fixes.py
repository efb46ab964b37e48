"""Edits that make a refuted budget hold; each is offered only after the changed plan was proved.

Every trial follows the whole plan again, which at 500 layers costs a few times what the refutation does. There are at
most :data:`MOST_TRIALS` of them, amounts being found by halving.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from surgery_dsl.language.plan import Arithmetic, Comparison, Expression, Identify, Plan, Quantified, Reading
from surgery_dsl.proof.state import State
from surgery_dsl.vocabulary.values import Bytes, NumberArrow, Percent, number_text

MOST_SHARE = 95
"""Greatest percentage that is proposed."""
LARGE = 1000
"""Operators from which on only every fifth percentage is tried: each trial follows the whole plan again."""
MOST_TRIALS = 24
"""Most changed plans that are followed for one refutation."""
MOST_LIMIT = 1000
"""Greatest share of the base, in hundredths, that is proposed as a limit."""

Retry = Callable[[Plan], State | None]


def base_value(state: State, reading: Reading) -> Fraction | None:
    """Return a static quantity of the base; ``None`` where it depends on free sizes or is not one number."""
    base = state.at_base()
    low, high = reading.word.bounds(base.interface, base.static())
    least, most = low.substitute(base.interface.exact_size).value, high.substitute(base.interface.exact_size).value
    return None if least is None or least != most else Fraction(least, reading.word.denominator)


# ---- another limit -----------------------------------------------------------------------------------------------


def smallest_limit(state: State, statement: Comparison, worst: Fraction, bound: Fraction | None = None) -> str:
    """Return the tightest right side that holds, in the form the plan has it, to two decimals; empty where none is.

    Args:
        state: The place of the statement.
        statement: A statement that is refuted.
        worst: What the worst outcome that is known gives.
        bound: What no outcome passes, where that is proved.
    """
    found = _literal_of(statement.right)
    if found is None:
        return ""
    factor, reading = found
    upper = statement.relation in ("<=", "<")
    if reading is None:
        step = (1 if upper else -1) * (1024 if isinstance(factor.value, Bytes) else 1)
        for value in (worst, worst + step, *(() if bound is None else (bound, bound + step))):
            right = _limit_at(factor, value, upper)
            if _holds(state, statement, right):
                return "" if value == 0 and not upper else _written(right)
        return ""
    base = base_value(state, reading)
    if not base or base < 0:
        return ""
    start = -(-worst * 100 // base) if upper else worst * 100 // base  # nearer to zero the witness breaks it
    shares = range(start, MOST_LIMIT + 1) if upper else range(start, 0, -1)
    best = _first_of(shares, lambda share: _holds(state, statement, _at_share(statement.right, factor, share)))
    if best is None or (best == 100 and upper):  # no more than the base: that is no limit for what takes away
        return ""
    return _written(_at_share(statement.right, factor, best))


def _first_of(shares: range, holds: Callable[[int], bool]) -> int | None:
    """Return the first share that holds, where all after it do: doubled steps first, because it is mostly near."""
    missed, step = -1, 1
    for _ in range(len(shares).bit_length() + 1):
        at = min(missed + step, len(shares) - 1)
        if at <= missed:
            return None
        if holds(shares[at]):
            between = range(missed + 1, at)
            found = bisect_left(between, True, key=lambda index: holds(shares[index])) if between else 0
            return shares[between[found]] if found < len(between) else shares[at]
        missed, step = at, 2 * step
    return None


def _at_share(side: Expression, factor: Quantified, share: int) -> Expression:
    return _share_of(side, factor, Fraction(share, 100))


def _share_of(side: Expression, factor: Quantified, share: Fraction) -> Expression:
    """Return ``factor * base.quantity`` with another factor."""
    assert isinstance(side, Arithmetic)
    changed = factor.replaced(value=Percent(value=share * 100) if isinstance(factor.value, Percent) else share)
    return side.replaced(**{"left" if side.left is factor else "right": changed})


def _limit_at(factor: Quantified, value: Fraction, upper: bool) -> Expression:
    """Return a whole number (of KiB, for bytes) on the side of a value that is kept."""
    unit = 1024 if isinstance(factor.value, Bytes) else 1
    limit = Fraction(-(-value // unit) if upper else value // unit) * unit
    return factor.replaced(value=Bytes(value=limit) if isinstance(factor.value, Bytes) else limit)


def _holds(state: State, statement: Comparison, right: Expression) -> bool:
    from surgery_dsl.proof.deciding import decide

    return decide(state, statement.replaced(right=right)).answer.status == "proved"


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


# ---- another plan ------------------------------------------------------------------------------------------------


@dataclass
class Trials:
    """Follows changed plans and decides a statement in each, as long as there is something left to spend.

    Attributes:
        plan: The plan as it is.
        state: Where it stands at the statement.
        statement: What has to hold.
        retry: Follows a plan up to the statement's block.
        made: How many were followed.
    """

    plan: Plan
    state: State
    statement: Comparison
    retry: Retry
    made: int = field(default=0)

    def prove(self, step: Identify, **changes: object) -> bool:
        """Whether the statement is proved of the plan with some attributes of a step changed."""
        from surgery_dsl.proof.deciding import decide

        if self.made >= MOST_TRIALS:
            return False
        self.made += 1
        changed = step.replaced(**changes)
        steps = tuple(changed if other is step else other for other in self.plan.steps)
        state = self.retry(self.plan.replaced(steps=steps))
        return state is not None and decide(state, self.statement).answer.status == "proved"

    def first(self, step: Identify, values: Sequence[object], change: Callable[[object], dict[str, object]]) -> object:
        """Return the first of some values that proves it, by halving, where all after the first do; else ``None``."""
        low, high, best = 0, len(values) - 1, None
        while low <= high:
            middle = (low + high) // 2
            if self.prove(step, **change(values[middle])):
                best, high = values[middle], middle - 1
            else:
                low = middle + 1
        return best


def edit(trials: Trials) -> str:
    """Return the change of one attribute that closes a refutation, as a plan would write it; empty where none does.

    The ranking of each site by itself comes first, because it keeps the amount; then the nearest amount that does; then
    the weakest cap, the weakest floor or the coarsest other ``round``.
    """
    upper = trials.statement.relation in ("<=", "<")
    grain = 5 if len(trials.state.interface.operators) > LARGE else 1
    steps = [step for step in trials.plan.steps if isinstance(step, Identify) and step.take is not None]
    for find in (_per_site, _other_amount, _other_rule):
        for step in steps:
            found = find(step, trials, upper, grain)
            if found:
                return found
    return ""


def _per_site(step: Identify, trials: Trials, upper: bool, grain: int) -> str:
    amount = getattr(step.take, "amount", None)
    if step.per != "global" or not isinstance(amount, Percent) or not trials.prove(step, per="site"):
        return ""
    return f"write `per = site` in `{step.name}`"


def _other_amount(step: Identify, trials: Trials, upper: bool, grain: int) -> str:
    take = step.take
    amount = getattr(take, "amount", None)
    if take is None or amount is None:
        return ""
    values = list(_amounts(amount, upper, grain, _room(step, trials.state)))
    found = trials.first(step, values, lambda value: {"take": take.replaced(amount=value)})
    return "" if found is None else _amount_text(trials.plan, step, take.name, amount, found)


def _room(step: Identify, state: State) -> int:
    """Return the greatest count that a step can ask for: all but one unit, of the smallest site or of all."""
    selection = state.selections.get(step.name)
    sizes = [pool.size * pool.width for pool in selection.pools] if selection is not None else []
    if not sizes:
        return 0
    return sum(sizes) - len(sizes) if step.per == "global" else min(sizes) - 1


def _amounts(amount: object, upper: bool, grain: int, room: int) -> Iterator[object]:
    """Yield other amounts in the direction that helps, the nearest first; counts up to what there is room for."""
    if isinstance(amount, Percent):
        shares = [share for share in range(grain, MOST_SHARE + 1, grain) if (share > amount.value) is upper]
        yield from (Percent(value=Fraction(share)) for share in (shares if upper else shares[::-1]))
    elif isinstance(amount, NumberArrow):
        left, right = int(amount.left), int(amount.right)
        ends = range(right - 1, 0, -1) if upper else range(right + 1, left)
        yield from (amount.replaced(right=Fraction(end)) for end in ends)
    elif isinstance(amount, int):
        yield from range(amount + 1, room + 1) if upper else range(amount - 1, 0, -1)


def _amount_text(plan: Plan, step: Identify, take: str, amount: object, found: object) -> str:
    for param in plan.params:
        if isinstance(amount, Percent) and isinstance(param.value, Percent) and param.value.value == amount.value:
            assert isinstance(found, Percent)
            most = param.most.value if isinstance(param.most, Percent) else None
            wider = "" if most is None or found.value <= most else f" (and widen its range, which ends at {param.most})"
            return f"set `{param.name}` to {found}{wider}"
    shown = f"{found.left} -> {found.right}" if isinstance(found, NumberArrow) else str(found)
    return f"write `take = {take}({shown})` in `{step.name}`"


def _other_rule(step: Identify, trials: Trials, upper: bool, grain: int) -> str:
    """Return the weakest rule that closes it: of a ranking a rule spreads what goes, of open counts it keeps some.

    Rules that stand there give way only to another ``round``, because the others state what must not happen.
    """
    if upper and step.per != "global":
        return ""
    rising = [Percent(value=Fraction(share)) for share in range(grain, MOST_SHARE + 1, grain)]
    coarse = [] if step.round is None else [one for one in range(step.round - 1, 0, -1) if step.round % one == 0]
    for name, values in (("cap", rising[::-1]), ("floor", rising), ("round", coarse)):
        if name != "round" and getattr(step, name) is not None:
            continue
        found = trials.first(step, values, lambda value, name=name: {name: value})  # type: ignore[misc]
        if found is not None:
            return f"write `{name} = {found}` in `{step.name}`"
    return ""
