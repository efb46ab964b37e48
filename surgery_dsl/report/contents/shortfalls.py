"""What was not shown: assumed, skipped, not asked for, not measured. A report that leaves this out is advertising."""

from collections.abc import Iterator

from surgery_dsl.report.contents.summary import not_measured
from surgery_dsl.report.document import Items, Part, Section, Text
from surgery_dsl.report.grades import ASSUMED, CERTIFIED, PROVED, STATISTICAL, grades
from surgery_dsl.report.result import Result

HOLDS = ("proved", "passed")


def section(result: Result) -> Section:
    """Return the section; it is never empty."""
    inner = []
    for name, title, items in (
        ("assumed", "Assumed", _assumed(result)),
        ("open", "Not kept, or not decided", _open(result)),
        ("unasked", "Not asked for", _unasked(result)),
        ("idle", "Matched and left as it was", _idle(result)),
        ("unmeasured", "Not measured", _unmeasured(result)),
    ):
        found = tuple(items)
        if found:
            parts: tuple[Part, ...] = (Items(found),)
            inner.append(Section(name, title, parts))
    return Section(
        "not-shown", "What was not shown", (Text("None of this is evidence for the network."),), tuple(inner)
    )


def _assumed(result: Result) -> Iterator[str]:
    for grade, claims in grades(result.predicate):
        if grade is ASSUMED:
            for claim in claims:
                yield f"{claim.statement}: {claim.note}" if claim.note else claim.statement


def _open(result: Result) -> Iterator[str]:
    for grade, claims in grades(result.predicate):
        for claim in claims:
            if grade is not ASSUMED and claim.status not in HOLDS:
                why = f": {claim.note}" if claim.note else ""
                yield f"{claim.statement} is {claim.status}{why}"


def _unasked(result: Result) -> Iterator[str]:
    found = {grade.word: claims for grade, claims in grades(result.predicate)}
    if not any(claim.verb == "prove" for claim in found[PROVED.word]):
        yield "The plan asks for no proof: what is proved is what holds of every plan."
    if not found[CERTIFIED.word]:
        yield "No bound over a region of inputs was asked for: nothing is claimed of inputs that were not tried."
    if not found[STATISTICAL.word]:
        yield "No claim with a confidence was asked for: what was measured says nothing of other examples."


def _unmeasured(result: Result) -> Iterator[str]:
    yield from not_measured(result.predicate)
    if result.predicate.health is not None:
        yield from result.predicate.health.notes


def _idle(result: Result) -> Iterator[str]:
    for record in result.predicate.steps:
        left = record.matched - record.changed
        if left > 0:
            stage = f" (stage {record.stage})" if record.stage > 1 else ""
            why = f": {record.reason}" if record.reason else ""
            yield f"{record.step}{stage} matched {record.matched:,} and changed {record.changed:,}{why}"
