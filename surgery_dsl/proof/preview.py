"""A plan before it runs, as one document: steps, changes with their reasons, costs, obligations. No torch.

Deterministic: no times, no absolute paths, and an order that follows from plan and lock alone, so that two previews
can be compared line by line.
"""

from typing import Literal

from surgery_dsl.interface.lock import Lock
from surgery_dsl.interface.model import Data
from surgery_dsl.language.params import value_text
from surgery_dsl.language.plan import Plan
from surgery_dsl.proof.check import CheckReport
from surgery_dsl.proof.count_ranges import count_range
from surgery_dsl.proof.plan_changes import PlanChanges, plan_changes
from surgery_dsl.proof.summaries import Count, StepSummary
from surgery_dsl.proof.verdict import Verdict
from surgery_dsl.vocabulary import catalogue

COSTS = ("params", "macs", "weight_bytes", "nonzero")


class Cost(Data):
    """A count before and after the whole plan, free sizes at their least."""

    quantity: str
    before: Count
    after: Count


class Preview(Data):
    """What a plan would do.

    Attributes:
        format: Of this document.
        plan: SHA-256 of the plan's text.
        lock: SHA-256 of the lock, as it stands in the lock.
        params: Values in force, by name.
        steps: What each run of a step does, in order; which tensors it writes stands in ``changes``.
        changes: What changes, and why.
        costs: Before and after.
        verdicts: Every obligation and what was found.
        summary: The last line of the text.
    """

    format: Literal["1"] = "1"
    plan: str
    lock: str
    params: dict[str, str]
    steps: tuple[StepSummary, ...]
    changes: PlanChanges
    costs: tuple[Cost, ...]
    verdicts: tuple[Verdict, ...]
    summary: str


def preview(plan: Plan, report: CheckReport, lock: Lock) -> Preview:
    """Return the preview of a plan that was checked; what could not be followed is left out."""
    changes = plan_changes(plan, report, lock)
    return Preview(
        plan=plan.digest,
        lock=lock.digest,
        params={param.name: value_text(param.value) for param in plan.params},
        steps=tuple(step.replaced(writes=()) for step in report.steps),
        changes=changes,
        costs=tuple(_cost(name, report) for name in COSTS if name != "nonzero" or report.end.zeros),
        verdicts=report.verdicts,
        summary=_summary(changes, report.verdicts),
    )


def _cost(name: str, report: CheckReport) -> Cost:
    word = catalogue.find("quantities", name)()
    return Cost(quantity=name, before=count_range(word, report.end.at_base()), after=count_range(word, report.end))


def _summary(changes: PlanChanges, verdicts: tuple[Verdict, ...]) -> str:
    """Say in one line what changes, and how the obligations stand."""
    parts = [f"{_counted(changes.tensors, 'tensor')} change in {_counted(changes.modules, 'module')}"]
    parts += [f"{count} {word}" for count, word in ((changes.removed, "removed"), (changes.added, "added")) if count]
    parts.append(_counted(changes.steps, "step"))
    counts = dict.fromkeys(("proved", "undecided"), 0)
    for verdict in verdicts:
        counts[verdict.status] = counts.get(verdict.status, 0) + 1
    proved, undecided = counts.pop("proved"), counts.pop("undecided")
    parts.append(f"{_counted(proved, 'obligation')} proved")
    parts += [f"{count} {status}" for status, count in sorted(counts.items())]
    return f"plan: {', '.join(parts)}, {undecided} undecided"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
