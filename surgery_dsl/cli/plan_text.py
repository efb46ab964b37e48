"""What ``plan`` found, as text and as JSON."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from surgery_dsl.cli.proof_text import number_of, step_lines
from surgery_dsl.proof.change_reasons import reason_text
from surgery_dsl.proof.course import Written
from surgery_dsl.proof.plan_changes import Change
from surgery_dsl.proof.preview import Cost, Preview
from surgery_dsl.proof.verdict import Verdict

if TYPE_CHECKING:
    from surgery_dsl.run.planning import Planned

SIGNS = {"changed": "~", "removed": "-", "added": "+", "moved": ">"}
PARTS = (
    (("input", "output"), "inputs and outputs"),
    (("module",), "modules"),
    (("tensor",), "tensors"),
    (("integer",), "integers"),
    (("field",), "config"),
)


def preview_text(planned: "Planned") -> str:
    """Return the preview for people: steps, changes with their reasons, values, costs, obligations, one last line."""
    seen = planned.preview
    assert seen is not None
    path = planned.checked.path
    lines = [f"{path.name if path.is_absolute() else path.as_posix()} (plan {seen.plan[:12]}, lock {seen.lock[:12]})"]
    lines += [f"  param {name} = {value}" for name, value in seen.params.items()]
    lines += ["", "steps", *(line for step in seen.steps for line in step_lines(step))]
    for kinds, title in PARTS:
        found = [change for change in seen.changes.changes if change.kind in kinds]
        if found:
            lines += ["", title, *(f"  {_change(change)}" for change in found)]
    lines += ["", "values", *_values(seen)]
    lines += ["", "costs", *_table([_cost(cost) for cost in seen.costs], "<>>>", ("", "before", "after", "change"))]
    lines += ["", "obligations", *_obligations(seen.verdicts), "", seen.summary]
    return "\n".join(lines)


def _change(change: Change) -> str:
    sides = " -> ".join(side for side in (change.before, change.after) if side)
    text = sides if change.action == "moved" else f"{change.path}  {sides}"
    reasons = "; ".join(reason_text(reason) for reason in change.reasons)
    return f"{SIGNS[change.action]} {text}{f'  ({reasons})' if reasons else ''}"


def _values(seen: Preview) -> Iterator[str]:
    for written in seen.changes.written:
        yield f"  {_written(written)}"
    count = seen.changes.untouched
    yield f"  {count:,} tensor{'s' * (count != 1)} of the network stay{'s' * (count == 1)} bit for bit"


def _written(written: Written) -> str:
    count = f"{written.count:,} tensor{'s' * (written.count != 1)}"
    head = f"{written.block} {written.step}" + (f" line {written.line}" if written.line else "")
    if written.block == "recover":
        return f"{head}: trains {count}"
    return f"{head}: writes {count}: {', '.join(written.tensors)}" + (f" ({written.reason})" if written.reason else "")


def _cost(cost: Cost) -> tuple[str, ...]:
    before, after = cost.before.most, cost.after.most
    change = f"{100 * (after - before) / before:+.1f} %" if before and before != after else ""
    if change and not cost.after.exact:
        change = f"at most {change}"
    return cost.quantity, str(cost.before), str(cost.after), change


def _obligations(verdicts: Sequence[Verdict]) -> Iterator[str]:
    rows = [
        (
            verdict.status,
            f"{verdict.verb} {verdict.text}",
            *(number_of(text) for text in (verdict.value, verdict.limit, verdict.margin)),
            verdict.tier,
            f"line {verdict.line}" if verdict.line else "",
        )
        for verdict in verdicts
        if verdict.verb != "always" or not verdict.holds
    ]
    if rows:
        yield from _table(rows, "<<>>><<", ("", "", "value", "limit", "margin", "tier", ""))
    held = sum(verdict.verb == "always" and verdict.holds for verdict in verdicts)
    yield f"  {held} more hold without being written"


def _table(rows: Sequence[tuple[str, ...]], aligned: str, head: tuple[str, ...]) -> Iterator[str]:
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    for row in (head, *rows):
        cells = [f"{text:{side}{width}}" for text, side, width in zip(row, aligned, widths, strict=True)]
        yield f"  {'  '.join(cells)}".rstrip()


def preview_json(planned: "Planned") -> dict[str, Any]:
    """Return the same as data; ``specs/preview.schema.json`` describes ``preview``."""
    seen = planned.preview
    return {
        "file": planned.checked.path.name,
        "preview": None if seen is None else seen.model_dump(mode="json"),
        "saved": planned.saved.name if planned.saved is not None else None,
    }
