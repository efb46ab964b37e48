"""Claims that no tier decided, put to the outcome that ``identify`` found. Importing this loads no torch.

``check`` speaks of every outcome; ``apply`` has one. As soon as the last ``identify`` before a control block has fixed
its counts, the rest of the plan up to the block is followed once more with these counts, and the claim is decided on
numbers: before the step that the counts are for touches a tensor. What is found so holds for the chosen outcome, and is
not called proved. (Gradual typing turns what it cannot decide into checks at run time in the same way: Hattori,
Kobayashi and Sato, Gradual tensor shape checking, ESOP 2023.)
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from surgery_dsl.diagnostics.code import Severity
from surgery_dsl.diagnostics.codes import budgets, runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused, Sink
from surgery_dsl.language.plan import Comparison, Control, Identify, Obligation, Plan
from surgery_dsl.proof.check import CheckReport
from surgery_dsl.proof.deciding import Decided, decide, numbers, worst_sides
from surgery_dsl.proof.readings import NotStatic
from surgery_dsl.proof.sequence import Run, sequence
from surgery_dsl.proof.state import State
from surgery_dsl.proof.steps import advance
from surgery_dsl.proof.verdict import Verdict, rounded_text
from surgery_dsl.run.prepare import Checked

METHOD = "assertion at apply"
REASON = "decided for the chosen outcome, not for every one"


def admitted(report: CheckReport, plan: Plan) -> CheckReport:
    """Return a report where undecided claims are allowed: those that counts will decide weigh as notes.

    A relation of free sizes stays refused: no outcome of ``identify`` decides it.
    """
    return replace(report, diagnostics=_as_notes(report.diagnostics, report.verdicts, plan))


def admitted_checked(checked: Checked) -> Checked:
    """Return what is known of a plan, with the report as :func:`admitted` has it."""
    if checked.plan is None or checked.report is None:
        return checked
    found = _as_notes(checked.diagnostics, checked.report.verdicts, checked.plan)
    return replace(checked, report=admitted(checked.report, checked.plan), diagnostics=found)


def _as_notes(found: Iterable[Diagnostic], verdicts: Iterable[Verdict], plan: Plan) -> tuple[Diagnostic, ...]:
    spans = {verdict.span for verdict in verdicts if _is_pending(verdict, plan)}
    return tuple(
        replace(
            finding,
            severity_override=Severity.NOTE,
            notes=(*finding.notes, "it is decided when `identify` has fixed the counts, before any tensor is touched"),
            help="",
            fixes=(),
        )
        if finding.code is budgets.UNDECIDED and finding.span in spans
        else finding
        for finding in found
    )


def _is_pending(verdict: Verdict, plan: Plan) -> bool:
    """Whether a claim is undecided, and some ``identify`` runs before its block."""
    if (verdict.verb, verdict.kind, verdict.status) != ("prove", "budget", "undecided"):
        return False
    identified = False
    for run in sequence(plan):
        if isinstance(run.step, Control) and run.step.name == verdict.block:
            return identified
        identified = identified or isinstance(run.step, Identify)
    return False


class Assertions:
    """The undecided claims of one run. Final.

    Attributes:
        pending: Claims that are not decided yet: the block, the line, and what ``check`` said of it.
    """

    def __init__(self, plan: Plan, order: Sequence[Run], verdicts: list[Verdict]) -> None:
        """Take the claims to decide from the verdicts; each is replaced there when it is decided."""
        self.plan, self.order, self.verdicts = plan, order, verdicts
        self.pending: list[tuple[Control, Obligation, Verdict]] = [
            (block, obligation, verdict)
            for verdict in verdicts
            if _is_pending(verdict, plan)
            for block in plan.steps
            if isinstance(block, Control) and block.name == verdict.block
            for obligation in block.obligations
            if obligation.span == verdict.span and obligation.text == verdict.text
        ]

    def settle(self, position: int, state: State) -> None:
        """Decide what can be decided after a run, which may be any.

        Args:
            position: The run that was made.
            state: The state after it; counts that were picked are exact in it.

        Raises:
            Refused: A claim does not hold for the chosen outcome, or stays undecided with every count known.
        """
        if not self.pending or not isinstance(self.order[position].step, Identify):
            return
        for entry in tuple(self.pending):
            block, obligation, verdict = entry
            ahead = self._ahead(position, block)
            if ahead is None or any(isinstance(run.step, Identify) for run in ahead):
                continue
            decided = self._decided(state, ahead, obligation)
            self.verdicts[self.verdicts.index(verdict)] = self._passed(verdict, decided, obligation)
            self.pending.remove(entry)

    def _ahead(self, position: int, block: Control) -> list[Run] | None:
        """Return the runs up to a block; ``None`` where it lies behind."""
        for at in range(position + 1, len(self.order)):
            if self.order[at].step is block:
                return list(self.order[position + 1 : at])
        return None

    def _decided(self, state: State, ahead: list[Run], obligation: Obligation) -> Decided:
        """Follow the plan to a claim and decide it there; raise :class:`Refused` unless it holds."""
        there = replace(state, sink=Sink(self.plan.file))
        for run in ahead:
            there = advance(there, run.step, self.plan)
        if there.sink.failed:
            raise Refused(*there.sink.found)
        statement = obligation.statement
        assert isinstance(statement, Comparison)
        try:
            decided = decide(there, statement)
        except NotStatic as reason:
            raise Refused(self._open(obligation, str(reason))) from None
        if decided.answer.status == "refuted":
            raise Refused(self._failed(obligation, decided, statement))
        if decided.answer.status == "undecided":
            raise Refused(self._open(obligation, decided.answer.reason))
        return decided

    @staticmethod
    def _passed(verdict: Verdict, decided: Decided, obligation: Obligation) -> Verdict:
        assert isinstance(obligation.statement, Comparison)
        value, limit, margin = numbers(decided, obligation.statement)
        return verdict.replaced(
            status="passed", tier=METHOD, value=value, limit=limit, margin=margin, reason=REASON, facts={}
        )

    def _failed(self, obligation: Obligation, decided: Decided, statement: Comparison) -> Diagnostic:
        left, right = worst_sides(decided, statement)
        return Diagnostic(
            runs.ASSERTION_FAILED,
            f"`{obligation.text}` does not hold for what `identify` found: {rounded_text(left)} against a limit of "
            f"{rounded_text(right)}",
            file=self.plan.file,
            span=obligation.span,
            facts={"value": rounded_text(left), "limit": rounded_text(right)},
            notes=("`check` had left it undecided; nothing was touched",),
            help="take another amount, or loosen the limit, so that `check` proves it",
        )

    def _open(self, obligation: Obligation, reason: str) -> Diagnostic:
        return Diagnostic(
            runs.ASSERTION_FAILED,
            f"`{obligation.text}` is undecided even for the counts that `identify` found: {reason}",
            file=self.plan.file,
            span=obligation.span,
            notes=("nothing was touched",),
            help="measure the line instead, or give free sizes ranges",
        )
