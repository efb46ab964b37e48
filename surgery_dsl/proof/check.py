"""``check``: every step followed, every obligation decided, from a plan and its lock alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from surgery_dsl.diagnostics.codes import budgets, names
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Sink
from surgery_dsl.interface.lock import Lock
from surgery_dsl.language.plan import Control, Excise, Identify, Plan, Search, Step
from surgery_dsl.proof import always, obligations
from surgery_dsl.proof.blame import without_meaning
from surgery_dsl.proof.given import inputs_within
from surgery_dsl.proof.recovery import data_fits
from surgery_dsl.proof.sequence import Run, sequence, stage_shares
from surgery_dsl.proof.state import State, start
from surgery_dsl.proof.steps import advance
from surgery_dsl.proof.summaries import Costs, StepSummary, far_from_asked, summary
from surgery_dsl.proof.transcript import Transcript
from surgery_dsl.proof.verdict import Verdict
from surgery_dsl.proof.words import data_names


@dataclass(frozen=True)
class CheckReport:
    """What was found.

    Attributes:
        diagnostics: Findings, errors first, in the order of the file.
        verdicts: Every obligation, written or not, in the order of the plan.
        steps: What each run of a step would do.
        runs: The order of runs.
        states: The predicted state after each run.
        start: The state before the first.
    """

    diagnostics: tuple[Diagnostic, ...]
    verdicts: tuple[Verdict, ...]
    steps: tuple[StepSummary, ...]
    runs: tuple[Run, ...] = field(repr=False)
    states: tuple[State, ...] = field(repr=False)
    start: State = field(repr=False)

    @property
    def failed(self) -> bool:
        """Whether any finding is an error."""
        return any(found.severity == "error" for found in self.diagnostics)

    @property
    def end(self) -> State:
        """The predicted state after the last run."""
        return self.states[-1] if self.states else self.start


def check(plan: Plan, lock: Lock, transcript: Transcript | None = None, *, explain: bool = True) -> CheckReport:
    """Prove what can be proved of a plan. Deterministic; reads nothing but its arguments.

    What the tiers are asked and answer is noted in ``transcript``, if there is one. Without ``explain``, findings say
    what does not hold, and neither an outcome that is easy to see nor edits are looked for.

    Raises:
        KeyError: The lock lacks the patient (a stale lock is the caller's to find).
    """
    sink = Sink(plan.file)
    state = begin = start(plan, lock, sink, transcript)
    inputs_within(plan, state)
    known: always.Known = {}
    found = _Found()
    found.add("", always.of_base(state, plan.patient.spans.get("input", plan.patient.span), known))
    steps: list[StepSummary] = []
    states: list[State] = []
    costs = Costs()
    refused: list[tuple[Step, State]] = []
    _schedules(plan, sink)
    _searches(plan, sink)
    runs = sequence(plan)
    for run in runs:
        before, step = state, run.step
        if isinstance(step, Control):
            retry = _Retry(lock, step.name)
            found.verdicts.extend(obligations.control(state, step, plan, retry.state if explain else None))
        else:
            state = advance(state, step, plan)
        states.append(state)
        if isinstance(step, Control) or step.name in state.broken:
            if not run.stage and step.name not in before.broken:
                refused.append((step, before))
            continue
        steps.append(summary(run, before, state, costs))
        if isinstance(step, Identify):
            _identified(run, step, state, plan)
        elif step.name in state.effects:
            claims = always.of_step(before, state, step.name, known)
            found.add(step.name, [claim.replaced(reason=_stage_text(run, claim.reason)) for claim in claims])
    host = lock.model(plan.patient.name).host if plan.patient.target != "none" else None
    if host is not None:
        from surgery_dsl.proof.hosts import loadable  # few plans have a target, and every check pays for imports

        found.verdicts.extend(loadable(plan, host, runs, states, begin))
    verdicts = tuple(without_meaning(found.verdicts, sink))
    return CheckReport(
        _told(sink, refused if explain else (), plan, lock), verdicts, tuple(steps), runs, tuple(states), begin
    )


def _told(sink: Sink, refused: Sequence[tuple[Step, State]], plan: Plan, lock: Lock) -> tuple[Diagnostic, ...]:
    """Return the findings: those of a refused step explained, what repeats in many blocks told once."""
    found = sink.found
    if len(found) < 2 and not refused:
        return found
    from surgery_dsl.proof.folding import folded  # most plans have nothing to tell

    if refused:
        from surgery_dsl.proof.refusals import Refusal, explained

        step, before = refused[0]  # what fails after it may fail because of it
        errors = tuple(d for d in found if d.severity == "error" and _is_of(d, step, plan))
        better = explained(Refusal(step, before, plan, errors, _Retry(lock, step.name).passes))
        found = tuple(better.get(id(finding), finding) for finding in found)
    return folded(found)


def _is_of(finding: Diagnostic, step: Step, plan: Plan) -> bool:
    """Whether a finding stands in a step's block, or in that of the ``identify`` it goes by."""
    lines = [
        span.line
        for other in plan.steps
        if other.name == step.name
        for span in (other.span, *other.spans.values())
        if span is not None
    ]
    return finding.span is not None and finding.span.line in lines


class _Found:
    """Verdicts in the order of the plan; of a step that runs in stages, one each kind: the first that is not proved."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        self._place: dict[tuple[str, str], int] = {}

    def add(self, step: str, claims: list[Verdict]) -> None:
        """Add what holds after a run of a step."""
        for claim in claims:
            place = self._place.setdefault((step, claim.kind), len(self.verdicts))
            if place == len(self.verdicts):
                self.verdicts.append(claim)
            elif self.verdicts[place].status == "proved":
                self.verdicts[place] = claim


def _stage_text(run: Run, reason: str) -> str:
    return f"{reason}; at each of {run.stages} stages" if run.stages > 1 else reason


def _identified(run: Run, step: Identify, state: State, plan: Plan) -> None:
    """Look at what an ``identify`` found: the data that it reads, what it takes of what it asks, what it leaves."""
    for word in (step.by, step.take):
        for name in data_names(word) if word is not None else ():
            data_fits(state, plan, name, state.sink)
    warning = far_from_asked(step, state.selections[step.name], state.file)
    if warning is not None:
        state.sink.say(warning)
    excised = any(isinstance(other, Excise) and other.name == step.name for other in plan.steps)
    if step.per == "global" and excised and run.stage == run.stages:
        from surgery_dsl.proof.collapse import layer_collapse  # most plans rank within each site

        collapse = layer_collapse(step, state.selections[step.name], state.file)
        if collapse is not None:
            state.sink.say(collapse)


def _schedules(plan: Plan, sink: Sink) -> None:
    """Report schedules without stages, and amounts given twice."""
    identifies = {step.name: step for step in plan.steps if isinstance(step, Identify)}
    for step in plan.steps:
        if not isinstance(step, Excise) or step.schedule is None:
            continue
        identify = identifies.get(step.name)
        if identify is not None and identify.take is not None:
            sink.say(
                Diagnostic(
                    budgets.TWO_AMOUNTS,
                    f"`take` in `identify {step.name}` and `schedule` here both say how much goes",
                    file=plan.file,
                    span=step.spans.get("schedule", step.span),
                    help=f"remove `take` from `identify {step.name}`",
                )
            )
        if not stage_shares(step.schedule):
            sink.say(
                Diagnostic(
                    names.MISSING_ARGUMENT,
                    f"`{step.schedule.name}` does not say in which stages `{step.name}` goes",
                    file=plan.file,
                    span=step.schedule.span or step.spans.get("schedule", step.span),
                    help="write shares and a number of stages: `cubic(0% -> 80%, steps = 10)`",
                )
            )


def _searches(plan: Plan, sink: Sink) -> None:
    """Report a search that cannot keep its risk."""
    if any(isinstance(step, Search) for step in plan.steps):
        from surgery_dsl.proof.searching import misfits  # most plans search for nothing
        from surgery_dsl.proof.statistical import lines

        sink.extend(misfits(plan, any(True for _ in lines(plan))))


@dataclass(frozen=True)
class _Retry:
    """Replays a changed plan up to a control block, or through a step."""

    lock: Lock
    block: str

    def state(self, plan: Plan) -> State | None:
        """Return the state at the block; ``None`` where a step before it does not check."""
        sink = Sink(plan.file)
        state = start(plan, self.lock, sink)
        for run in sequence(plan):
            if isinstance(run.step, Control):
                if run.step.name == self.block:
                    break
                continue
            state = advance(state, run.step, plan)
        return None if sink.failed or state.broken else state

    def passes(self, plan: Plan) -> bool:
        """Whether every step up to and including the last run of one of this name can be followed."""
        sink = Sink(plan.file)
        state = start(plan, self.lock, sink)
        last = max((at for at, run in enumerate(sequence(plan)) if run.step.name == self.block), default=-1)
        for run in sequence(plan)[: last + 1]:
            if not isinstance(run.step, Control):
                state = advance(state, run.step, plan)
        return not sink.failed and not state.broken
