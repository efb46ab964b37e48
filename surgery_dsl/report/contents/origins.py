"""What went in, what came out, and on what it ran."""

from surgery_dsl.report.document import Column, Fold, Part, Section, table
from surgery_dsl.report.numbers import counted
from surgery_dsl.report.result import Result

PAIRS = (Column("", "text"), Column("value", "name"))


def section(result: Result) -> Section:
    """Return the section."""
    predicate = result.predicate
    environment = [(name.replace("_", " "), _said(value)) for name, value in predicate.environment]
    parts: list[Part] = [table("Environment", PAIRS, environment)]
    if predicate.parameters:
        rows = [(one.name, one.value, one.default) for one in predicate.parameters]
        columns = (Column("param", "name"), Column("value", "number"), Column("the plan's own", "number"))
        parts.append(table("Params of the plan", columns, rows))
    if predicate.touched:
        touched = [(one.name, f"{one.count:,}", ", ".join(one.steps), one.digest) for one in predicate.touched]
        heads = (Column("data", "name"), Column("examples", "number"), Column("read by"), Column("SHA-256", "name"))
        parts.append(table("Data that had a part in making the network", heads, touched))
    read = [(entry.name, entry.role, entry.digest.sha256) for entry in predicate.inputs]
    parts.append(table("Read by the run", (Column("name", "name"), Column("role"), Column("SHA-256", "name")), read))
    files = [(subject.name, subject.digest.sha256) for subject in result.subjects]
    written = table(
        "Files of the result, without its reports", (Column("file", "name"), Column("SHA-256", "name")), files
    )
    parts.append(Fold(f"Digests of {counted(len(files), 'file')} of the result", (written,)))
    if predicate.conventions:
        meanings = sorted(predicate.conventions.items())
        parts.append(table("What the figures count", (Column("figure"), Column("meaning")), meanings))
    return Section("origins", "Where it comes from", tuple(parts))


def _said(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
