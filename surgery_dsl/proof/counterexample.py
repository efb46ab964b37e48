"""Findings that teach: what breaks, in numbers; why it can happen, by the lines that leave it open; what closes it.

A refutation carries an outcome that was built to be read, and replayed; an undecided line the interval in which its
worst case lies. Imported only where something is found: a plan that is proved does not pay for it.
"""

from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING

from surgery_dsl.diagnostics.codes import budgets, defects, runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Label
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.model import Extent
from surgery_dsl.language.plan import Comparison, Obligation, Plan, Quantified, Reading
from surgery_dsl.proof import blame, fixes, nominal, replay
from surgery_dsl.proof.attainable import exists
from surgery_dsl.proof.folding import folded_items
from surgery_dsl.proof.readings import NotStatic
from surgery_dsl.proof.smallest import Outcome, smallest
from surgery_dsl.proof.state import State
from surgery_dsl.proof.verdict import apart_texts, exact_text, rounded_text
from surgery_dsl.proof.wording import headline, is_open, side_text

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
    """Explain a comparison that some outcome breaks: what breaks, why it can happen, which edit closes it.

    The outcome is replayed first; where that does not break the line, the finding is a defect of this program.
    """
    from surgery_dsl.proof.deciding import sides_at, worst_sizes

    worst = worst_sizes(decided, statement)
    left, right = sides_at(decided, statement, worst)
    outcome = smallest(decided.question, worst)
    if outcome.built and not exists(state, plan, outcome.sizes):
        outcome = Outcome(worst)
    defect = _disagreement(state, obligation, statement, decided, worst, outcome)
    if defect is not None:
        return defect
    verb = {"<=": "at most", "<": "less than", ">=": "at least", ">": "more than", "==": "equal to"}[statement.relation]
    notes = [
        *_outcome(state, statement, decided, outcome),
        *blame.largest_part(state, statement, worst),
        *_relative(state, statement, left),
    ]
    closing, more = _closing(state, obligation, statement, decided, (left, right), plan, retry)
    return Diagnostic(
        budgets.REFUTED,
        headline(obligation, statement, decided, left, right),
        file=state.file,
        span=obligation.span,
        labels=tuple(_choices(state)),
        facts={
            "value": rounded_text(left),
            "limit": rounded_text(right),
            "relation": verb,
            "over": rounded_text(abs(left - right)),
        },
        notes=(*notes, *more),
        help=closing,
    )


def _disagreement(
    state: State,
    obligation: Obligation,
    statement: Comparison,
    decided: "Decided",
    worst: Mapping[str, int],
    outcome: Outcome,
) -> Diagnostic | None:
    """Replay an outcome with arithmetic of its own; return the defect where it does not break the line."""
    from surgery_dsl.proof.deciding import sides_at

    why = ""
    for sizes in (outcome.sizes, worst) if outcome.built else (worst,):
        try:
            found = replay.replay(state, statement, sizes, shapes=sizes is outcome.sizes or not outcome.built)
        except NotStatic:
            continue
        left, right = sides_at(decided, statement, sizes)
        if found.misfit:
            why = f"an operator does not fit: {found.misfit}"
        elif not (found.left[0] <= left <= found.left[1] and found.right[0] <= right <= found.right[1]):
            why = f"{rounded_text(found.left[1])} is counted against {rounded_text(found.right[0])}"
        elif not found.breaks(statement.relation):
            why = "in numbers the line holds"
        else:
            why = replay.forbidden(state, sizes)
        if why:
            break
    if not why:
        return None
    return Diagnostic(
        defects.COUNTEREXAMPLE,
        f"the outcome that was found to break `{obligation.text}` does not, replayed: {why}",
        file=state.file,
        span=obligation.span,
        help="this is a defect of surgery-dsl, not of your plan; please report it",
    )


def _closing(
    state: State,
    obligation: Obligation,
    statement: Comparison,
    decided: "Decided",
    sides: tuple[Fraction, Fraction],
    plan: Plan,
    retry: Callable[[Plan], State | None] | None,
) -> tuple[str, list[str]]:
    """Return at most two edits after which the line was proved, and notes on what was looked for."""
    left, right = sides
    sized = nominal.stated(state, statement) if any(d.most is None for d in decided.reader.domains.values()) else ""
    if sized:
        proved = f"{sized} {statement.relation} {side_text(statement.right)}"
        return f"state the size that the limit is meant for: `{proved}` is proved", []
    if statement.relation == "==":
        side = obligation.text.partition(" == ")[0]
        whole = left.denominator == 1 and not is_open(decided)
        return (f"write `{side} == {left.numerator}`, which it is" if whole else _NOTHING), []
    upper = statement.relation in ("<=", "<")
    slack = decided.answer.bound
    bound = None if slack is None else right - slack if upper else right + slack
    best = fixes.smallest_limit(state, statement, left, bound)
    notes, offered = [], []
    if best:
        notes.append(f"the {'smallest' if upper else 'greatest'} limit that can be proved of this plan: `{best}`")
    beyond = blame.out_of_reach(state, statement)
    if beyond:
        notes.append(beyond)
    elif retry is not None:
        trials = fixes.Trials(plan, state, statement, retry)
        found = fixes.edit(trials)
        if found:
            offered.append(found)
        elif trials.made:
            notes.append(f"no amount, ranking or cap closes it, of {trials.made} changed plans that were tried")
    if best:
        side = obligation.text.partition(f" {statement.relation} ")[0]
        offered.append(f"write `{side} {statement.relation} {best}`")
    return ", or ".join(offered) or _NOTHING, notes


_NOTHING = "no edit is known that closes it: take other sites, or measure the line"


def _outcome(state: State, statement: Comparison, decided: "Decided", outcome: Outcome) -> list[str]:
    """Say at which sizes it breaks, what outcome shows it, and what each step leaves open."""
    notes = []
    domains = decided.reader.domains
    free = [f"{name} = {size}" for name, size in outcome.sizes.items() if domains[name].kind == "free"]
    if free:
        notes.append(f"at {', '.join(free)}")
        if isinstance(statement.right, Quantified):
            notes.append(
                "the limit does not grow with the input: state its size, give it a range, or compare with the base"
            )
    if any(domain.kind == "axis" for domain in domains.values()):
        notes.append(_outcome_text(decided, outcome))
    if decided.left.loose + decided.right.loose:
        notes.append("it is reached where training leaves no other entry at zero")
    return [*notes, *kept_text(state)]


def _outcome_text(decided: "Decided", outcome: Outcome) -> str:
    """Describe an outcome by the axes that are not as all others are."""
    question = decided.question
    axes = {name: domain for name, domain in question.domains.items() if domain.kind == "axis"}
    wholes = {name: whole for fixed in question.sums for name, whole, _ in fixed.parts}

    def item(name: str) -> tuple[str, str]:
        whole = wholes.get(name, axes[name].most)
        return _layer(axes[name].label), f"{outcome.sizes[name]} of {whole}"

    if not outcome.built:
        found = folded_items((item(name) for name in axes if name in outcome.sizes), MOST_SHOWN)
        return f"an outcome that breaks it leaves {found}"
    others = [name for name in axes if name not in outcome.apart]
    ranked = [name for name in others if name in wholes]
    parts = [folded_items(map(item, outcome.apart), MOST_SHOWN)] if outcome.apart else []
    if ranked:
        left, whole = sum(outcome.sizes[name] for name in ranked), sum(wholes[name] for name in ranked)
        each = f"each of {'the other ' * bool(outcome.apart)}{len(ranked)} layers about {round(100 * left / whole)} %"
        parts.append(each)
    free = [name for name in others if name not in wholes]
    if free and outcome.apart:
        kept = all(outcome.sizes[name] == axes[name].most for name in free)
        which = f"the other {len(free)} layers" if len(free) > 1 else "the other layer"
        parts.append(f"{which} {'all of it' if kept else 'as little as may stay'}")
    elif free:
        parts.append(folded_items(map(item, free), MOST_SHOWN))
    even = ranked and not outcome.apart
    start = "already an even outcome breaks it: it leaves" if even else "an outcome that breaks it leaves"
    return f"{start} {', '.join(parts)}"


def _layer(label: str) -> str:
    """Return the path of the layer whose outputs an axis is, where its label says so."""
    return label.removesuffix(".weight[0]") or "an axis"


def kept_text(state: State) -> list[str]:
    """Say what each selection leaves, one note a step; what differs in a block's number alone is told once."""
    notes = []
    for name, selection in state.selections.items():
        if name not in state.effects:
            continue
        items = []
        for pool, taken in zip(selection.pools, selection.taken, strict=True):
            least, most = (pool.size - taken.most) * pool.width, (pool.size - taken.least) * pool.width
            kept = str(least) if least == most else f"{least}..{most}"
            place = pool.tensor or (pool.sites[0].path if pool.sites else pool.key)
            items.append((place, f"{kept} of {pool.size * pool.width}"))
        line = f", line {span.line}" if (span := state.choices.get(name)) is not None else ""
        total = ""
        if selection.total is not None and any(taken.least < taken.most for taken in selection.taken):
            total = f"; of all {sum(pool.size for pool in selection.pools)} units {_range(selection.total)} go, "
            total += "from which layers only the weights decide"
        notes.append(f"`{name}` ({selection.asked}{line}) leaves {folded_items(items, MOST_SHOWN)}{total}")
    return notes


def _range(extent: Extent) -> str:
    return str(extent.least) if extent.least == extent.most else f"{extent.least} to {extent.most}"


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
        help=", or ".join((*_deciding(state, obligation, decided), "measure it"))
        + "; `apply --allow-undecided` decides it for the outcome that `identify` finds",
    )


def _deciding(state: State, obligation: Obligation, decided: "Decided | None") -> Iterator[str]:
    """Yield edits that may decide a line: an amount of each site's own, and the limit that the bound proves."""
    for name, selection in state.selections.items():
        if selection.total is not None and any(taken.least < taken.most for taken in selection.taken):
            yield f"write `per = site` in `{name}`"
    statement = obligation.statement
    if decided is None or not isinstance(statement, Comparison) or statement.relation == "==":
        return
    bound, limit = decided.answer.bound, decided.right.number
    if bound is None or limit is None:
        return
    proved = limit - bound if statement.relation in ("<=", "<") else limit + bound
    best = fixes.smallest_limit(state, statement, proved, proved)
    if best:
        yield f"write `{obligation.text.partition(f' {statement.relation} ')[0]} {statement.relation} {best}`"


def _interval(obligation: Obligation, decided: "Decided | None") -> tuple[str, dict[str, str]]:
    """Say between which numbers the worst case lies: what some outcome reaches, and what no outcome passes."""
    statement = obligation.statement
    if decided is None or not isinstance(statement, Comparison) or statement.relation == "==":
        return "", {}
    least, bound = decided.answer.least, decided.answer.bound
    limit = decided.right.number
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
