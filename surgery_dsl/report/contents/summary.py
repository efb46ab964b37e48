"""What stands first: the verdict, what changed, each figure before and after on its own line, what was not measured."""

from surgery_dsl.certificate.model import EfficiencyRow, Predicate
from surgery_dsl.report.document import Column, Part, Table, Text, table
from surgery_dsl.report.grades import grades
from surgery_dsl.report.numbers import counted, short
from surgery_dsl.report.result import Result

FIGURES = {
    "params": "parameters",
    "nonzero": "parameters that are not zero",
    "macs": "multiply-accumulates",
    "flops": "operations (2 × multiply-accumulates)",
    "memory": "bytes of weights",
    "disk": "bytes on disk",
    "peak_memory": "peak memory",
    "latency": "latency, median (quartiles)",
}
WANTED = {"disk": "bytes on disk", "peak_memory": "peak memory", "latency": "latency"}
"""Figures that a run may be without; then that is said."""


def lead(result: Result) -> tuple[Part, ...]:
    """Return the summary."""
    predicate = result.predicate
    parts: list[Part] = [Text(f"{_verdict(predicate)} {_changed(result)} {_claims(predicate)}")]
    if predicate.efficiency:
        parts.append(_figures(predicate.efficiency))
    absent = not_measured(predicate)
    if absent:
        parts.append(Text(f"Not measured: {', '.join(absent)}."))
    return tuple(parts)


def _verdict(predicate: Predicate) -> str:
    said = {"accepted": "was accepted: every obligation held", "refused": "was refused"}[predicate.verdict]
    return f"The plan {predicate.plan} {said}."


def _changed(result: Result) -> str:
    found = result.changes
    if found is None:
        return "What it changed cannot be shown here."
    parts = [f"{counted(found.tensors, 'tensor')} in {counted(found.modules, 'module')} changed shape"]
    parts += [
        f"{counted(count, 'tensor')} {word}"
        for count, word in ((found.removed, "went"), (found.added, "came"))
        if count
    ]
    parts.append(f"{found.untouched:,} stayed bit for bit")
    return f"It has {counted(found.steps, 'step')} that change{'s' * (found.steps == 1)} something: {', '.join(parts)}."


def _claims(predicate: Predicate) -> str:
    found = [f"{len(claims)} {grade.word}" for grade, claims in grades(predicate) if claims]
    return f"Claims by grade: {', '.join(found)}."


def _figures(rows: tuple[EfficiencyRow, ...]) -> Table:
    numbers = (Column(title, "number") for title in ("before", "after", "change"))
    columns = (Column("figure"), *numbers, Column("of"), Column("how"), Column("conditions"))
    ordered = sorted(rows, key=lambda row: (*FIGURES, row.quantity).index(row.quantity))
    return table("Before and after", columns, [_figure(row) for row in ordered])


def _figure(row: EfficiencyRow) -> tuple[str, ...]:
    name = FIGURES.get(row.quantity, row.quantity)
    if row.quantity == "accuracy":
        points = 100 * (row.after - row.before)
        shares = (f"{100 * row.before:.2f} %", f"{100 * row.after:.2f} %", f"{points:+.2f} pp")
        return name, *shares, row.unit, row.how, row.conditions
    change = f"{100 * (row.after - row.before) / row.before:+.1f} %" if row.before else ""
    change = "none outside the spread" if row.within_spread else change
    before, after = _spread(row.before, row.before_spread), _spread(row.after, row.after_spread)
    return name, before, after, change, row.unit, row.how, row.conditions


def _spread(value: float, quartiles: tuple[float, float] | None) -> str:
    return short(value) + (f" ({short(quartiles[0])} … {short(quartiles[1])})" if quartiles else "")


def not_measured(predicate: Predicate) -> list[str]:
    """Return which figures this run did not take."""
    known = {row.quantity for row in predicate.efficiency}
    absent = [said for name, said in WANTED.items() if name not in known]
    if predicate.surgery.base_loss is None:
        absent.append("the loss before and after")
    return absent
