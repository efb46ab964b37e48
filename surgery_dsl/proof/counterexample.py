"""Findings that teach: the numbers of the worst outcome, which line leaves what, and one fix that was tried."""

from collections.abc import Callable
from fractions import Fraction
from typing import TYPE_CHECKING

from surgery_dsl.diagnostics.codes import budgets, runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Label
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language.plan import Comparison, Expression, Obligation, Plan, Quantified, Reading
from surgery_dsl.proof import fixes, nominal
from surgery_dsl.proof.state import State
from surgery_dsl.proof.verdict import apart_texts, exact_text, rounded_text

if TYPE_CHECKING:
    from surgery_dsl.proof.deciding import Decided

MOST_SHOWN = 6


def refuted(
    state: State,
    obligation: Obligation,
    statement: Comparison,
    decided: "Decided",
    plan: Plan,
    retry: Callable[[Plan], State | None] | None,
) -> Diagnostic:
    """Explain a comparison that some outcome breaks."""
    from surgery_dsl.proof.deciding import worst_sides

    left, right = worst_sides(decided, statement)
    upper = statement.relation in ("<=", "<")
    verb = {"<=": "at most", "<": "less than", ">=": "at least", ">": "more than", "==": "equal to"}[statement.relation]
    distance = abs(left - right)
    share = f" ({rounded_text(distance / abs(right) * 100, 3)} %)" if right else ""
    direction = "above" if left > right else "below" if left < right else "exactly at"
    name = side_text(statement.left)
    message = (
        f"`{obligation.text}` does not hold: {name} {'can be' if _open(decided) else 'is'} {rounded_text(left)}, "
        f"{rounded_text(distance)}{share} {direction} the limit of {rounded_text(right)}"
    )
    notes = [*_outcome(state, statement, decided), *_relative(state, statement, left)]
    sized = nominal.stated(state, statement) if any(d.most is None for d in decided.reader.domains.values()) else ""
    if sized:
        proved = f"{sized} {statement.relation} {side_text(statement.right)}"
        help_text = f"state the size that the limit is meant for: `{proved}` is proved"
    elif statement.relation != "==":
        best = fixes.smallest_limit(state, statement, left)
        if best:
            notes.append(f"the {'smallest' if upper else 'greatest'} limit that can be proved of this plan: `{best}`")
        fix = fixes.other_amount(plan, state, statement, retry) if retry is not None else ""
        help_text = fix or (f"write `{name} {statement.relation} {best}`" if best else "")
    else:
        help_text = f"write what it is: {rounded_text(left)}" if not _open(decided) else ""
    return Diagnostic(
        budgets.REFUTED,
        message,
        file=state.file,
        span=obligation.span,
        labels=tuple(_choices(state)),
        facts={
            "value": rounded_text(left),
            "limit": rounded_text(right),
            "relation": verb,
            "over": rounded_text(distance),
        },
        notes=tuple(notes),
        help=help_text or "loosen the limit, or take another amount",
    )


def _open(decided: "Decided") -> bool:
    open_axes = any(domain.kind == "axis" for domain in decided.reader.domains.values())
    return open_axes or bool(decided.left.loose + decided.right.loose)


def _outcome(state: State, statement: Comparison, decided: "Decided") -> list[str]:
    """Say at which sizes it breaks, and what the choices left."""
    notes = []
    domains, witness = decided.reader.domains, decided.answer.witness
    free = [f"{name} = {size}" for name, size in witness.items() if domains[name].kind == "free"]
    if free:
        notes.append(f"at {', '.join(free)}")
        if isinstance(statement.right, Quantified):
            notes.append(
                "the limit does not grow with the input: state its size, give it a range, or compare with the base"
            )
    axes = [(domains[name], size) for name, size in witness.items() if domains[name].kind == "axis"]
    if axes:
        shown = ", ".join(f"`{domain.label or 'an axis'}` {size}" for domain, size in axes[:MOST_SHOWN])
        more = f" and {len(axes) - MOST_SHOWN} more" if len(axes) > MOST_SHOWN else ""
        notes.append(f"an outcome that breaks it leaves {shown}{more}")
    if decided.left.loose + decided.right.loose:
        notes.append("it is reached where training leaves no other entry at zero")
    if not axes:
        notes.extend(kept_text(state))
    return notes


def kept_text(state: State) -> list[str]:
    """Say what each selection leaves, one note a step."""
    notes = []
    for name, selection in state.selections.items():
        if name not in state.effects:
            continue
        parts = []
        for pool, taken in zip(selection.pools, selection.taken, strict=True):
            least, most = (pool.size - taken.most) * pool.width, (pool.size - taken.least) * pool.width
            kept = str(least) if least == most else f"{least}..{most}"
            place = pool.tensor or (pool.sites[0].path if pool.sites else pool.key)
            parts.append(f"`{place}` {kept} of {pool.size * pool.width}")
        more = f" and {len(parts) - MOST_SHOWN} more" if len(parts) > MOST_SHOWN else ""
        notes.append(f"`{name}` ({selection.asked}) leaves {', '.join(parts[:MOST_SHOWN])}{more}")
    return notes


def _relative(state: State, statement: Comparison, left: Fraction) -> list[str]:
    """Say how the value compares with the base's."""
    if not isinstance(statement.left, Reading) or statement.left.point.at != "now":
        return []
    base = fixes.base_value(state, statement.left)
    if not base:
        return []
    name = side_text(statement.left)
    return [f"that is {rounded_text(left / base * 100, 4)} % of `base.{name}`, which is {rounded_text(base)}"]


def _choices(state: State) -> list[Label]:
    labels = []
    for name in state.effects:
        span = state.choices.get(name)
        if span is not None and name in state.selections:
            labels.append(Label(span, f"{state.selections[name].asked} is asked for here"))
    return labels[:3]


def step_span(state: State, name: str) -> Span | None:
    """Return where a step stands."""
    return state.places.get(name, state.choices.get(name))


def side_text(expression: Expression) -> str:
    """Write a side as a plan would: a reading by its name, else the value."""
    if isinstance(expression, Reading):
        point = expression.point
        name: str = expression.word.written()
        if point.at == "now":
            return name
        return f"{point.at}.{name}" if not point.name else f"{point.at}({point.name}).{name}"
    if isinstance(expression, Quantified):
        return str(expression.value)
    return "the left side"


def undecided(state: State, obligation: Obligation, decided: "Decided | None", reason: str) -> Diagnostic:
    """Say that nothing was decided, and between which numbers the worst case lies."""
    interval, facts = _interval(obligation, decided)
    where = f": the worst case lies {interval}" if interval else f": {reason}"
    return Diagnostic(
        budgets.UNDECIDED,
        f"`{obligation.text}` could be neither proved nor refuted{where}",
        file=state.file,
        span=obligation.span,
        labels=tuple(_choices(state)),
        facts=facts,
        notes=(reason,) if interval else (),
        help="give each site its own amount (`per = site`), loosen the limit, or measure it; "
        "`apply --allow-undecided` decides it for the outcome that `identify` finds",
    )


def _interval(obligation: Obligation, decided: "Decided | None") -> tuple[str, dict[str, str]]:
    """Say between which numbers the worst case lies: what some outcome reaches, and what no outcome passes."""
    statement = obligation.statement
    if decided is None or not isinstance(statement, Comparison) or statement.relation == "==":
        return "", {}
    least, bound = decided.answer.least, decided.answer.bound
    limit = (decided.right.low if statement.relation in ("<=", "<") else decided.right.high).number
    if bound is None or limit is None:
        return "", {}
    sign = -1 if statement.relation in ("<=", "<") else 1
    proved = limit + sign * bound
    if least is None:
        shown, edge = apart_texts(proved, limit)
        return f"at {'most' if sign < 0 else 'least'} at {shown} (bound), the limit is {edge}", {
            "bound": exact_text(proved)
        }
    reached = limit + sign * least
    seen, shown, edge = apart_texts(reached, proved, limit)
    ends = f"{seen} (witness) and {shown} (bound)" if sign < 0 else f"{shown} (bound) and {seen} (witness)"
    facts = {"witness": exact_text(reached), "bound": exact_text(proved), "limit": exact_text(limit)}
    return f"between {ends}, the limit is {edge}", facts


def zero_base(state: State, obligation: Obligation, reading: Reading) -> Diagnostic:
    """Say that a relative limit stands on a baseline of zero."""
    return Diagnostic(
        runs.ZERO_BASELINE,
        f"`{obligation.text}`: `{side_text(reading)}` is 0, and a share of nothing is no limit",
        file=state.file,
        span=reading.span or obligation.span,
        facts={"baseline": 0},
        help="write an absolute limit",
    )
