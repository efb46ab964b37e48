"""The sections of a report in their order."""

from surgery_dsl.report.contents import (
    changes,
    evidence,
    health,
    obligations,
    origins,
    shortfalls,
    steps,
    summary,
    verification,
)
from surgery_dsl.report.document import Document, Section, Warn
from surgery_dsl.report.result import Result


def document(result: Result) -> Document:
    """Return the report of a result."""
    sections: list[Section | None] = [
        changes.section(result),
        obligations.section(result),
        steps.section(result),
        health.section(result),
        evidence.bounds(result),
        evidence.statistics(result),
        shortfalls.section(result),
        verification.section(),
        origins.section(result),
    ]
    findings = tuple(f"{found.message} ({found.code.id})" for found in result.findings)
    warnings = (Warn("This result is not as it was certified. Do not rely on it.", findings),) if findings else ()
    return Document(
        title=f"Surgery report: {result.predicate.plan}",
        verdict=result.predicate.verdict,
        warnings=warnings,
        lead=summary.lead(result),
        sections=tuple(section for section in sections if section is not None),
    )
