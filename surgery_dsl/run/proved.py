"""What was proved, and of which network: settled before a run touches anything, in core and out of it."""

from collections.abc import Collection

from surgery_dsl.diagnostics.code import Severity
from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.lock import Lock
from surgery_dsl.interface.model import Interface
from surgery_dsl.language.plan import Plan
from surgery_dsl.proof.check import check as prove
from surgery_dsl.proof.verdict import Verdict
from surgery_dsl.run.assertions import admitted
from surgery_dsl.run.load import Sources
from surgery_dsl.run.lock import lock_of
from surgery_dsl.run.prepare import Checked
from surgery_dsl.run.settings import Settings


def proved(
    checked: Checked, sources: Sources, settings: Settings, read: Collection[str]
) -> tuple[Lock, tuple[Verdict, ...], tuple[Diagnostic, ...]]:
    """Return the lock of the network that will run, what it proves, and what stands against the plan with it.

    A lock is for the dtype that factories build, and may know nothing of new weights; then it is made anew here, and
    the plan proved again.

    Args:
        checked: The plan, with the report on it.
        sources: Its sources.
        settings: Those of the run.
        read: Names of the models whose weights the lock must know.

    Raises:
        Refused: The plan is not proved of this network.
    """
    assert checked.plan is not None
    assert checked.lock is not None
    assert checked.report is not None
    plan, lock, report = checked.plan, checked.lock, checked.report
    earlier = tuple(d for d in checked.diagnostics if d not in report.diagnostics)
    if settings.dtype or any(model.weights is None and model.name in read for model in lock.models):
        lock = lock_of(sources, settings)
        report = prove(plan, lock)
        report = admitted(report, plan) if settings.allow_undecided else report
    found = (*earlier, *report.diagnostics)
    bad = {Severity.ERROR, Severity.WARNING} if settings.strict else {Severity.ERROR}
    if any(d.severity in bad for d in found):
        raise Refused(*found)
    return lock, tuple(report.verdicts), found


def refuse_other(plan: Plan, locked: Interface, traced: Interface) -> None:
    """Refuse a network that is not the one which the proof was about.

    Raises:
        Refused: They differ.
    """
    apart = differences(locked, traced)
    if apart:
        block = plan.patient
        raise Refused(
            Diagnostic(
                trust.STALE_LOCK,
                f"the network is not the one that the lock describes: {apart[0]}",
                file=plan.file,
                span=block.spans.get("load", block.span),
                facts={"differences": len(apart)},
                notes=apart[1:4],
                help=f"look at the change, then run `surgery-dsl lock {plan.file}`",
            )
        )
