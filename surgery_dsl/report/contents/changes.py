"""Before and after, module by module, each change with its reason; what repeats in many blocks is told once."""

from collections.abc import Iterable

from surgery_dsl.proof.change_reasons import reason_text
from surgery_dsl.proof.course import Written
from surgery_dsl.proof.plan_changes import Change
from surgery_dsl.report.document import Column, Part, Section, Table, Text, folded, table
from surgery_dsl.report.result import Result

PARTS = (
    (("input", "output"), "Inputs and outputs"),
    (("module",), "Modules"),
    (("tensor",), "Tensors of modules"),
    (("integer",), "Integer attributes of modules"),
    (("field",), "Fields of the host's config"),
)
COLUMNS = (
    Column("name", "name"),
    Column("what"),
    Column("before"),
    Column("after"),
    Column("times", "number"),
    Column("why"),
)
VALUES = (Column("step", "name"), Column("tensors", "number"), Column("which", "name"), Column("how"))


def section(result: Result) -> Section:
    """Return the section."""
    found = result.changes
    if found is None:
        return Section("changes", "What changed", (Text(f"This cannot be shown: {result.unfollowed}."),))
    parts: list[Part] = []
    for kinds, title in PARTS:
        changes = [change for change in found.changes if change.kind in kinds]
        if changes:
            parts.append(folded(_changes(title, changes)))
    if not parts:
        parts.append(Text("No shape, module or integer changed."))
    if found.written:
        rows = [_written(written) for written in found.written]
        parts.append(folded(table("Values written without a change of shape", VALUES, rows)))
    if any("{" in change.path for change in found.changes):
        parts.append(Text("Numbers in braces are those of repeated blocks; each line then stands for all of them."))
    return Section("changes", "What changed", tuple(parts))


def _changes(title: str, changes: Iterable[Change]) -> Table:
    rows = [
        (
            change.path,
            change.action,
            change.before,
            change.after,
            str(change.count) if change.count > 1 else "",
            "; ".join(dict.fromkeys(map(reason_text, change.reasons))),
        )
        for change in changes
    ]
    return table(title, COLUMNS, rows)


def _written(written: Written) -> tuple[str, ...]:
    how = "trains them" if written.block == "recover" else written.reason or "writes them"
    line = f", line {written.line}" if written.line else ""
    return f"{written.step}", f"{written.count:,}", ", ".join(written.tensors), f"{written.block}{line}: {how}"
