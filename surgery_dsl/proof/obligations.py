"""What has to hold: always, after every step, and as the plan's control blocks say."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from surgery_dsl.diagnostics.codes import budgets
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Label
from surgery_dsl.language.plan import Comparison, Control, Obligation, Plan, Property, Reading
from surgery_dsl.proof import blame, uniform
from surgery_dsl.proof.deciding import Decided, decide, numbers, worst_sides, worst_sizes
from surgery_dsl.proof.gates import readings
from surgery_dsl.proof.measured import measurement
from surgery_dsl.proof.readings import NotStatic
from surgery_dsl.proof.recovery import data_fits
from surgery_dsl.proof.state import State
from surgery_dsl.proof.transcript import Entry
from surgery_dsl.proof.units import comparable
from surgery_dsl.proof.verdict import Status, Verdict, verdict_of
from surgery_dsl.proof.wording import headline
from surgery_dsl.proof.words import data_names, regions
from surgery_dsl.vocabulary.kinds import Ruling

Retry = Callable[[Plan], State | None]
"""Replays another plan up to the same place; ``None`` where it does not check."""


def control(state: State, block: Control, plan: Plan, retry: Retry | None = None) -> list[Verdict]:
    """Decide what can be decided of a control block at its place; findings go to the state's sink.

    Args:
        state: Where the plan stands.
        block: The block.
        plan: The whole plan.
        retry: How to replay a changed plan, for fixes that are known to work; without it a line that is refuted is
            named with its numbers, and not explained.
    """
    verdicts = []
    against = _contradictions(state, block)
    for obligation in block.obligations:
        why = against.get(id(obligation))
        verdict = (
            verdict_of(obligation, block.name, "budget", "vacuous", "intervals", reason=why)
            if why is not None
            else _one(state, obligation, block.name, plan, retry)
        )
        if verdict is not None:
            verdicts.append(verdict)
    return verdicts


def _contradictions(state: State, block: Control) -> dict[int, str]:
    """Report lines that exclude each other; return why such a line says nothing, by the obligation's ``id``."""
    if state.broken or blame.contradicted(state.sink) is not None:
        return {}
    found: dict[int, str] = {}
    for first, second, why in blame.exclusive(state, block):
        state.sink.say(blame.excluded(state, first, second, why))
        found |= {
            id(line): f"no outcome keeps it together with `{other.text}`"
            for line, other in ((first, second), (second, first))
        }
    return found


def _one(state: State, obligation: Obligation, block: str, plan: Plan, retry: Retry | None) -> Verdict | None:
    statement = obligation.statement
    if isinstance(statement, Property):
        return _property(state, obligation, statement, block)
    if not comparable(obligation, statement, state.sink):
        return None
    found = [*readings(statement.left), *readings(statement.right)]
    if not _say_what_they_do(state, found, plan):
        return None
    if obligation.verb != "prove" and any(getattr(one.word, "confidence", None) for one in found):
        from surgery_dsl.proof import statistical  # few lines speak of a population

        if obligation.verb == "measure" or any(regions(one.word) for one in found):
            return statistical.claim(state, obligation, block, plan)
    if not _verb_fits(state, obligation, found):
        return None
    if obligation.verb == "prove":
        return _proof(state, obligation, statement, block, plan, retry)
    if obligation.verb == "certify":
        from surgery_dsl.proof.certified import bound  # most plans ask for no bound

        return bound(state, obligation, block)
    return measurement(state, obligation, statement, block)


# ---- what a line may say -----------------------------------------------------------------------------------------


def _say_what_they_do(state: State, found: Sequence[Reading], plan: Plan) -> bool:
    """Report quantities that mean nothing here, and data that do not fit; say whether every quantity has a meaning."""
    meant = True
    for reading in found:
        before = len(state.sink.found)
        if meant:  # a quantity on both sides lacks the same twice
            reading.word.check(state.static())
        meant = meant and not any(one.severity == "error" for one in state.sink.found[before:])
        for name in data_names(reading.word):
            data_fits(state, plan, name, state.sink)
    return meant


def _verb_fits(state: State, obligation: Obligation, found: Sequence[Reading]) -> bool:
    over_region = [reading for reading in found if regions(reading.word) and reading.word.certifies != "count"]
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
    without = _without_meaning(state, obligation, block, word.name)
    if without is not None:
        return without
    before = len(state.sink.found)
    ruling: Ruling = word.decide(state.static())
    status: Status = "proved" if ruling.holds else "refuted"
    if not ruling.holds and len(state.sink.found) == before:  # else it was told what its sites lack
        state.sink.say(_property_refuted(state, obligation, ruling))
    return verdict_of(obligation, block, word.name, status, "effects", reason=ruling.reason, paths=ruling.paths)


def _property_refuted(state: State, obligation: Obligation, ruling: Ruling) -> Diagnostic:
    from surgery_dsl.proof import counterexample  # most lines hold

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
    if obligation.text.startswith("exact") and "(dead on " in ruling.reason:
        return "what is silent on data may wake elsewhere: `take = proved_dead(domain(…))` takes what cannot"
    if obligation.text.startswith("exact"):
        return "measure the change instead: `measure change(…) <= …`"
    return "change the step, or the claim"


def _proof(
    state: State, obligation: Obligation, statement: Comparison, block: str, plan: Plan, retry: Retry | None
) -> Verdict:
    without = _without_meaning(state, obligation, block, "budget")
    if without is not None:
        return without
    try:
        decided = decide(state, statement)
    except NotStatic as reason:
        from surgery_dsl.proof import counterexample

        state.sink.say(counterexample.undecided(state, obligation, None, str(reason)))
        return verdict_of(obligation, block, "budget", "undecided", reason=str(reason))
    if state.transcript is not None:
        claim = f"prove {obligation.text}"
        state.transcript.note(Entry(claim, decided.question, decided.answer, obligation.span, bool(decided.vacuous)))
    if decided.vacuous:
        state.sink.say(blame.impossible(state, obligation, decided.vacuous))
        return verdict_of(obligation, block, "budget", "vacuous", "intervals", reason=decided.vacuous)
    answer = decided.answer
    if answer.status != "proved" or decided.reader.zero_bases:
        return _not_proved(state, obligation, statement, block, decided, plan, retry)
    value, limit, margin = numbers(decided, statement)
    verdict = verdict_of(obligation, block, "budget", "proved", answer.tier, value, limit, margin, answer.reason)
    if state.sums and statement.relation in ("<=", "<"):
        return uniform.noted(verdict, decided, state.sums, worst_sizes(decided, statement))
    return verdict


def _not_proved(
    state: State,
    obligation: Obligation,
    statement: Comparison,
    block: str,
    decided: Decided,
    plan: Plan,
    retry: Retry | None,
) -> Verdict:
    """Report why a comparison is not proved; return the verdict."""
    if retry is None and decided.answer.status == "refuted" and not decided.reader.zero_bases:
        value, limit, margin = numbers(decided, statement)
        text = headline(obligation, statement, decided, *worst_sides(decided, statement))
        state.sink.say(Diagnostic(budgets.REFUTED, text, file=state.file, span=obligation.span))
        return verdict_of(obligation, block, "budget", "refuted", decided.answer.tier, value, limit, margin)
    from surgery_dsl.proof import counterexample
    from surgery_dsl.proof.attainable import attained
    from surgery_dsl.proof.smallest import smallest_free

    if decided.reader.zero_bases:
        state.sink.say(counterexample.zero_base(state, obligation, decided.reader.zero_bases[0]))
        why = "a relative limit stands on a baseline of zero"
        return verdict_of(obligation, block, "budget", "refuted", reason=why)
    status, why = decided.answer.status, decided.answer.reason
    if status == "refuted":
        found = smallest_free(decided.question, decided.answer.witness)
        witness = attained(state, plan, decided.question, found)
        if witness is None:
            why = "the counts that break it cannot come of the rankings and later steps, as far as was looked"
            decided = replace(decided, answer=replace(decided.answer, status="undecided", least=None, reason=why))
            state.sink.say(counterexample.undecided(state, obligation, decided, why))
            return verdict_of(
                obligation, block, "budget", "undecided", decided.answer.tier, *numbers(decided, statement), why
            )
        decided = replace(decided, answer=replace(decided.answer, witness=witness))
        finding = counterexample.refuted(state, obligation, statement, decided, plan, retry)
        if finding.code is not budgets.REFUTED:
            status, why = "undecided", "the counterexample that was found is none"
    else:
        finding = counterexample.undecided(state, obligation, decided, why)
    state.sink.say(finding)
    return verdict_of(obligation, block, "budget", status, decided.answer.tier, *numbers(decided, statement), why)


def _without_meaning(state: State, obligation: Obligation, block: str, kind: str) -> Verdict | None:
    """Return the verdict where no outcome reaches a line, or where a step before it could not be followed."""
    conflict = blame.contradicted(state.sink)
    if conflict is not None:
        return verdict_of(obligation, block, kind, "vacuous", "intervals", reason=blame.reason_text(conflict))
    if not state.broken:
        return None
    names = ", ".join(f"`{name}`" for name in sorted(state.broken))
    return verdict_of(obligation, block, kind, "undecided", reason=f"{names} could not be followed")
