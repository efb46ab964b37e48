"""What the steps did: asked against achieved, matched against changed, and how training went."""

from collections.abc import Iterator

from surgery_dsl.certificate.model import Predicate, StepRecord, Surgery, TrainingRecord
from surgery_dsl.interface.folding import fold
from surgery_dsl.report.document import Column, LinePlot, Part, Section, Series, Table, folded, table
from surgery_dsl.report.numbers import counted, short
from surgery_dsl.report.result import Result

SELECTED = (
    Column("step"),
    Column("pool", "name"),
    Column("asked"),
    Column("of", "number"),
    Column("taken", "number"),
    Column("share", "number"),
    Column("kept", "number"),
    Column("times", "number"),
)
STEPS = (
    Column("step"),
    Column("block"),
    Column("matched", "number"),
    Column("changed", "number"),
    Column("tensors written", "number"),
    Column("effect"),
    Column("seconds", "number"),
)
TRAINED = (
    Column("step"),
    Column("epochs", "number"),
    Column("optimizer steps", "number"),
    Column("examples seen", "number"),
    Column("tensors trained", "number"),
    Column("first loss", "number"),
    Column("last loss", "number"),
    Column("seconds", "number"),
    Column("note"),
)


def section(result: Result) -> Section | None:
    """Return the section; nothing where the plan has no step that ran."""
    predicate = result.predicate
    inner = []
    if predicate.selections:
        inner.append(Section("selections", "Asked and achieved", tuple(_selections(predicate))))
    if predicate.steps:
        rows = [_step(record) for record in predicate.steps]
        inner.append(Section("matched", "Matched and changed", (folded(table("Steps", STEPS, rows)),)))
    if predicate.training:
        inner.append(Section("training", "Training", tuple(_training(predicate))))
    figures = _figures(predicate.surgery)
    if figures is not None:
        inner.append(Section("surgery", "Size and price of the surgery", (figures,)))
    return Section("steps", "What the steps did", (), tuple(inner)) if inner else None


def _named(step: str, stage: int) -> str:
    return f"{step}, stage {stage}" if stage > 1 else step


def _selections(predicate: Predicate) -> Iterator[Part]:
    rows = []
    for record in predicate.selections:
        texts = [(pool.pool, (pool.asked, f"{pool.units}", f"{pool.taken}", f"{pool.kept}")) for pool in record.pools]
        for one in fold(texts):
            asked, units, taken, kept = one.texts
            times = str(one.count) if one.count > 1 else ""
            name = f"{_named(record.step, record.stage)} ({record.unit})"
            rows.append((name, one.path, asked, units, taken, _share(taken, units), kept, times))
    yield folded(table("Units asked for and taken, by pool", SELECTED, rows))


def _share(taken: str, units: str) -> str:
    if not (taken.isdecimal() and units.isdecimal() and int(units)):
        return ""
    return f"{100 * int(taken) / int(units):.1f} %"


def _step(record: StepRecord) -> tuple[str, ...]:
    return (
        _named(record.step, record.stage),
        record.block,
        f"{record.matched:,}",
        f"{record.changed:,}",
        f"{record.tensors_written:,}",
        f"{record.effect}: {record.reason}" if record.reason else record.effect,
        f"{record.seconds:.2f}",
    )


def _training(predicate: Predicate) -> Iterator[Part]:
    plot = _losses(predicate.training)
    if plot is not None:
        yield plot
    yield folded(table("Runs of training", TRAINED, [_trained(record) for record in predicate.training]))


def _trained(record: TrainingRecord) -> tuple[str, ...]:
    return (
        _named(record.step, record.stage),
        f"{record.epochs:,}",
        f"{record.optimizer_steps:,}",
        f"{record.samples:,}",
        f"{record.trained_tensors:,}",
        short(record.first_loss),
        short(record.last_loss),
        f"{record.seconds:.2f}",
        record.note,
    )


def _losses(records: tuple[TrainingRecord, ...]) -> LinePlot | None:
    """Return the mean loss of every epoch in the order in which they ran, a line for each step."""
    lines: dict[str, list[tuple[float, float]]] = {}
    epoch = 0
    for record in records:
        for loss in record.losses:
            epoch += 1
            lines.setdefault(record.step, []).append((float(epoch), loss))
    if not epoch:
        return None
    alike = " Steps may train on losses of their own: lines of two steps need not be comparable." * (len(lines) > 1)
    return LinePlot(
        "Training losses",
        f"Mean loss of each of {counted(epoch, 'epoch')}, in the order in which they ran.{alike}",
        "epoch",
        "mean loss",
        tuple(Series(step, tuple(points)) for step, points in lines.items()),
    )


def _figures(found: Surgery) -> Table | None:
    rows = [
        ("size of the surgery, ‖Δθ‖/‖θ‖, before any recovery", found.magnitude),
        ("loss of the base", found.base_loss),
        ("change of the loss at once, before any recovery", found.immediate_loss_change),
        ("loss at the end", found.recovered_loss),
    ]
    cells = [(name, short(value)) for name, value in rows if value is not None]
    if not cells:
        return None
    if found.samples_to_recover:
        cells.append(("examples seen in recovery, repetitions counted", f"{found.samples_to_recover:,}"))
    where = f"Figures of the surgery, losses on {found.data}" if found.data else "Figures of the surgery"
    return table(where, (Column("figure"), Column("value", "number")), list(cells))
