"""Every claim with its value, limit, margin and method, grade by grade."""

from collections.abc import Iterable

from surgery_dsl.certificate.model import Claim
from surgery_dsl.report.document import Column, Fold, Part, Section, Table, Text, table
from surgery_dsl.report.grades import ASSUMED, Grade, grades
from surgery_dsl.report.numbers import shown
from surgery_dsl.report.result import Result

WRITTEN = (
    Column("obligation"),
    Column("status", "status"),
    Column("value", "number"),
    Column("limit", "number"),
    Column("margin", "number"),
    Column("how"),
    Column("line", "number"),
    Column("step"),
    Column("note"),
)
ALWAYS = (Column("what holds"), Column("status", "status"), Column("found"), Column("how"), Column("note"))


def section(result: Result) -> Section:
    """Return the section; what is assumed stands under what was not shown."""
    inner = tuple(
        _grade(grade, claims) for grade, claims in grades(result.predicate) if claims and grade is not ASSUMED
    )
    lead = Text("Each grade has a section of its own: no grade stands in for another.")
    return Section("obligations", "Obligations", (lead,), inner)


def _grade(grade: Grade, claims: tuple[Claim, ...]) -> Section:
    parts: list[Part] = [Text(grade.meaning)]
    written = [claim for claim in claims if claim.verb != "always" or not _holds(claim)]
    if written:
        parts.append(_written(f"{grade.title}, as the plan asks", written))
    others = [claim for claim in claims if claim.verb == "always" and _holds(claim)]
    if others:
        found = _always(f"{grade.title}, without being asked", others)
        parts.append(Fold(f"{len(others)} more {_hold(len(others))} without being written in the plan", (found,)))
    return Section(f"grade-{grade.word}", grade.title, tuple(parts))


def _hold(count: int) -> str:
    return "holds" if count == 1 else "hold"


def _holds(claim: Claim) -> bool:
    return claim.status in ("proved", "passed")


def _written(caption: str, claims: Iterable[Claim]) -> Table:
    rows = [
        (
            claim.statement if claim.verb == "always" else f"{claim.verb} {claim.statement}",
            claim.status,
            shown(claim.value),
            shown(claim.limit),
            shown(claim.margin),
            claim.method,
            "" if claim.line is None else str(claim.line),
            claim.step,
            claim.note,
        )
        for claim in claims
    ]
    return table(caption, WRITTEN, rows)


def _always(caption: str, claims: Iterable[Claim]) -> Table:
    rows = [(claim.statement, claim.status, shown(claim.value), claim.method, claim.note) for claim in claims]
    return table(caption, ALWAYS, rows)
