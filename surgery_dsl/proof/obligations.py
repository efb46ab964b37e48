"""What has to hold: always, after every step, and as the plan's control blocks say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from surgery_dsl.diagnostics.codes import budgets, lints, runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Label
from surgery_dsl.language.plan import Comparison, Control, Obligation, Plan, Property, Reading
from surgery_dsl.proof import counterexample, uniform
from surgery_dsl.proof.gates import foregone, readings
from surgery_dsl.proof.questions import Answer, BudgetQuestion
from surgery_dsl.proof.readings import Bounds, NotStatic, Reader
from surgery_dsl.proof.recovery import data_fits
from surgery_dsl.proof.state import State
from surgery_dsl.proof.tiers.corner import worst_corner
from surgery_dsl.proof.tiers.order import decide_budget
from surgery_dsl.proof.units import comparable
from surgery_dsl.proof.verdict import Status, Verdict, exact_text
from surgery_dsl.proof.words import data_names, regions
from surgery_dsl.vocabulary.kinds import Ruling

Retry = Callable[[Plan], State | None]
"""Replays another plan up to the same place; ``None`` where it does not check."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A decided comparison: the verdict's parts before it is worded.

    Attributes:
        answer: What the tiers said.
        left: Bounds of the left side.
        right: Bounds of the right side.
        reader: Holds the variables.
    """

    answer: Answer
    left: Bounds
    right: Bounds
    reader: Reader


def control(state: State, block: Control, plan: Plan, retry: Retry | None = None) -> list[Verdict]:
    """Decide what can be decided of a control block at its place; findings go to the state's sink.

    Args:
        state: Where the plan stands.
        block: The block.
        plan: The whole plan.
        retry: How to replay a changed plan, for fixes that are known to work; without it none of that kind is offered.
    """
    verdicts = []
    for obligation in block.obligations:
        verdict = _one(state, obligation, block.name, plan, retry)
        if verdict is not None:
            verdicts.append(verdict)
    _contradictions(state, block)
    return verdicts


def _one(state: State, obligation: Obligation, block: str, plan: Plan, retry: Retry | None) -> Verdict | None:
    statement = obligation.statement
    if isinstance(statement, Property):
        return _property(state, obligation, statement, block)
    if not comparable(obligation, statement, state.sink):
        return None
    found = [*readings(statement.left), *readings(statement.right)]
    _check_readings(state, found, plan)
    if not _verb_fits(state, obligation, found):
        return None
    if obligation.verb == "prove":
        return _proof(state, obligation, statement, block, plan, retry)
    if obligation.verb == "certify":
        return _bound(state, obligation, block)
    return _measurement(state, obligation, statement, block)


def _verdict(
    obligation: Obligation,
    block: str,
    kind: str,
    status: Status,
    tier: str = "",
    value: str = "",
    limit: str = "",
    margin: str = "",
    reason: str = "",
    paths: tuple[str, ...] = (),
) -> Verdict:
    return Verdict.model_construct(
        verb=obligation.verb,
        text=obligation.text,
        kind=kind,
        block=block,
        status=status,
        tier=tier,
        span=obligation.span,
        value=value,
        limit=limit,
        margin=margin,
        reason=reason,
        paths=paths,
        facts={},
    )


# ---- what a line may say -----------------------------------------------------------------------------------------


def _check_readings(state: State, found: Sequence[Reading], plan: Plan) -> None:
    for reading in found:
        reading.word.check(state.static())
        for name in data_names(reading.word):
            data_fits(state, plan, name, state.sink)


def _verb_fits(state: State, obligation: Obligation, found: Sequence[Reading]) -> bool:
    over_region = [reading for reading in found if regions(reading.word)]
    if obligation.verb != "certify" and over_region:
        word = over_region[0].word
        text, fix = (
            f"`{word.name}` over a region is a bound, not a measurement",
            "write `certify` in the place of the verb",
        )
        _wrong_verb(state, obligation, text, fix)
        return False
    if obligation.verb == "certify" and not over_region:
        _wrong_verb(
            state,
            obligation,
            "`certify` speaks of every input of a region, and this line names none",
            "write `measure`, or name a region: `change(box(test, eps = 1/255))`",
        )
        return False
    measured = [reading for reading in found if not reading.word.static]
    if obligation.verb == "prove" and measured:
        names = ", ".join(dict.fromkeys(f"`{reading.word.name}`" for reading in measured))
        state.sink.say(
            Diagnostic(
                budgets.NEEDS_MEASURE,
                f"{names} is known only from data, and `prove` looks at none",
                file=state.file,
                span=obligation.span,
                help=f"write `measure {obligation.text}`",
            )
        )
        return False
    return True


def _wrong_verb(state: State, obligation: Obligation, text: str, fix: str) -> None:
    state.sink.say(Diagnostic(budgets.WRONG_VERB, text, file=state.file, span=obligation.span, help=fix))


# ---- prove -------------------------------------------------------------------------------------------------------


def _property(state: State, obligation: Obligation, statement: Property, block: str) -> Verdict | None:
    word = statement.word
    if obligation.verb != "prove":
        text = f"`{word.name}` follows from what the steps are; it is not {obligation.verb}d"
        _wrong_verb(state, obligation, text.replace("certifyd", "certified"), f"write `prove {obligation.text}`")
        return None
    if state.broken:
        return _verdict(obligation, block, word.name, "undecided", reason=_broken_text(state))
    ruling: Ruling = word.decide(state.static())
    status: Status = "proved" if ruling.holds else "refuted"
    if not ruling.holds:
        state.sink.say(_property_refuted(state, obligation, ruling))
    return _verdict(obligation, block, word.name, status, "effects", reason=ruling.reason, paths=ruling.paths)


def _property_refuted(state: State, obligation: Obligation, ruling: Ruling) -> Diagnostic:
    labels = tuple(
        Label(span, f"`{name}` stands here")
        for name in ruling.steps
        if (span := counterexample.step_span(state, name)) is not None
    )
    more = tuple(f"also `{path}`" for path in ruling.paths[1:4])
    return Diagnostic(
        budgets.REFUTED,
        f"`{obligation.text}` does not hold: {ruling.reason}",
        file=state.file,
        span=obligation.span,
        labels=labels,
        path=ruling.paths[0] if ruling.paths else "",
        notes=more,
        help=_property_fix(obligation, ruling),
    )


def _property_fix(obligation: Obligation, ruling: Ruling) -> str:
    if obligation.text.startswith("frozen") and ruling.steps:
        return f"let `{ruling.steps[0]}` leave it alone (`train = only(…)`), or except it in `frozen(…)`"
    if obligation.text.startswith("exact"):
        return "measure the change instead: `measure change(…) <= …`"
    return "change the step, or the claim"


def _proof(
    state: State, obligation: Obligation, statement: Comparison, block: str, plan: Plan, retry: Retry | None
) -> Verdict:
    if state.broken:
        return _verdict(obligation, block, "budget", "undecided", reason=_broken_text(state))
    try:
        decided = decide(state, statement)
    except NotStatic as reason:
        verdict = _verdict(obligation, block, "budget", "undecided", reason=str(reason))
        state.sink.say(counterexample.undecided(state, obligation, None, str(reason)))
        return verdict
    if decided.reader.zero_bases:
        reading = decided.reader.zero_bases[0]
        state.sink.say(counterexample.zero_base(state, obligation, reading))
        return _verdict(obligation, block, "budget", "refuted", reason="a relative limit stands on a baseline of zero")
    answer = decided.answer
    value, limit, margin = numbers(decided, statement)
    if answer.status == "refuted":
        state.sink.say(counterexample.refuted(state, obligation, statement, decided, plan, retry))
    elif answer.status == "undecided":
        state.sink.say(counterexample.undecided(state, obligation, answer, answer.reason))
    verdict = _verdict(obligation, block, "budget", answer.status, answer.tier, value, limit, margin, answer.reason)
    if answer.status == "proved" and state.sums and statement.relation in ("<=", "<"):
        return uniform.noted(verdict, decided, state.sums, _worst_sizes(decided, statement))
    return verdict


def _broken_text(state: State) -> str:
    names = ", ".join(f"`{name}`" for name in sorted(state.broken))
    return f"{names} could not be followed"


def decide(state: State, statement: Comparison) -> Decided:
    """Decide a comparison of static quantities; raise :class:`NotStatic` where a part has no bounds."""
    reader = Reader(state)
    left, right = reader.read(statement.left), reader.read(statement.right)
    if statement.relation in (">=", ">"):
        slack_low, slack_high = left.low - right.high, left.high - right.low
    else:
        slack_low, slack_high = right.low - left.high, right.high - left.low
    reachable = left.loose + right.loose <= 1 and left.attained and right.attained
    relation = {"<=": ">=", ">=": ">=", "<": ">", ">": ">", "==": "=="}[statement.relation]
    names = slack_low.variables | slack_high.variables
    question = BudgetQuestion(
        relation=relation,  # type: ignore[arg-type]
        slack=slack_low,
        reached=slack_low if reachable else slack_high,
        domains=reader.domains,
        sums=tuple(fixed for fixed in state.sums if any(name in names for name, _, _ in fixed.parts)),
    )
    if relation == "==" and (slack_low.terms or slack_high.terms) and left.loose + right.loose:
        answer = Answer("undecided", "none", reason="equality of counts that are only known between two bounds")
    else:
        answer = decide_budget(_with_domains(question))
    return Decided(answer, left, right, reader)


def _with_domains(question: BudgetQuestion) -> BudgetQuestion:
    """Drop sums over variables that were never read: they bind nothing here."""
    known = question.domains.keys()
    kept = tuple(fixed for fixed in question.sums if all(name in known for name, _, _ in fixed.parts))
    return replace(question, sums=kept)


def numbers(decided: Decided, statement: Comparison) -> tuple[str, str, str]:
    """Return value, limit and margin at the worst outcome, as exact text; free sizes at the witness or their least."""
    left, right = worst_sides(decided, statement)
    margin = right - left if statement.relation in ("<=", "<") else left - right
    if statement.relation == "==":
        margin = -abs(margin)
    return exact_text(left), exact_text(right), exact_text(margin)


def worst_sides(decided: Decided, statement: Comparison) -> tuple[Fraction, Fraction]:
    """Return both sides where the slack is least: at the witness, or at the corner that the proof looked at."""
    upper = statement.relation in ("<=", "<", "==")
    left = decided.left.high if upper else decided.left.low
    right = decided.right.low if upper else decided.right.high
    sizes = _worst_sizes(decided, statement)
    return left.at(sizes), right.at(sizes)


def _worst_sizes(decided: Decided, statement: Comparison) -> dict[str, int]:
    left, right = decided.left, decided.right
    slack = right.low - left.high if statement.relation in ("<=", "<", "==") else left.low - right.high
    return {**worst_corner(slack, decided.reader.domains), **decided.answer.witness}


def _contradictions(state: State, block: Control) -> None:
    """Report a limit from above and one from below on the same quantity that leave nothing between them."""
    if state.broken:
        return
    limits: dict[str, list[tuple[Obligation, bool, Fraction]]] = {}
    for obligation in block.obligations:
        statement = obligation.statement
        if not isinstance(statement, Comparison) or statement.relation == "==":
            continue
        try:
            limit = Reader(state).read(statement.right).number
        except NotStatic:
            continue
        if limit is None or not isinstance(statement.left, Reading):
            continue
        known = limits.setdefault(f"{statement.left.point} {statement.left.word.replaced(span=None)}", [])
        upper = statement.relation in ("<=", "<")
        for other, is_upper, earlier in known:
            if upper is not is_upper and ((limit < earlier) if upper else (limit > earlier)):
                state.sink.say(counterexample.contradiction(state, other, obligation))
        known.append((obligation, upper, limit))


# ---- certify and measure -----------------------------------------------------------------------------------------


def _bound(state: State, obligation: Obligation, block: str) -> Verdict:
    reason = "bound propagation is not part of this release"
    state.sink.say(
        Diagnostic(
            runs.NOT_CERTIFIED,
            f"`{obligation.text}` cannot be decided: {reason}",
            file=state.file,
            span=obligation.span,
            notes=("nothing was assumed: without a bound the line is neither kept nor broken",),
            help="leave the line out, or measure the change on data: `measure change(…) <= …`",
        )
    )
    return _verdict(obligation, block, "bound", "undecided", "none", reason=reason)


def _measurement(state: State, obligation: Obligation, statement: Comparison, block: str) -> Verdict:
    fate = foregone(statement)
    if fate is None:
        return _verdict(obligation, block, "metric", "to measure", "measurement")
    ranges = "; ".join(
        dict.fromkeys(
            f"`{reading.word.name}` is {_range_text(reading)}"
            for side in (statement.left, statement.right)
            for reading in readings(side)
        )
    )
    if fate == "never":
        state.sink.say(
            Diagnostic(
                budgets.IMPOSSIBLE_GATE,
                f"no outcome can pass `{obligation.text}`",
                file=state.file,
                span=obligation.span,
                notes=(ranges,) if ranges else (),
                help="correct the limit: is it a percentage, or the relation turned round?",
            )
        )
        return _verdict(obligation, block, "metric", "failed", "intervals", reason="no outcome can pass it")
    state.sink.say(
        Diagnostic(
            lints.VACUOUS_GATE,
            f"no outcome can fail `{obligation.text}`",
            file=state.file,
            span=obligation.span,
            notes=(ranges,) if ranges else (),
            help="set a limit that some outcome breaks, or remove the line",
        )
    )
    return _verdict(obligation, block, "metric", "vacuous", "intervals", reason="no outcome can fail it")


def _range_text(reading: Reading) -> str:
    word = reading.word
    share = word.counts_in() == "share"

    def shown(value: float) -> str:
        return f"{value * 100:g}%" if share else f"{value:g}"

    if word.least is None and word.most is None:
        return "any number"
    if word.most is None:
        return f"at least {shown(word.least or 0)}"
    return f"from {shown(word.least or 0)} to {shown(word.most)}"
