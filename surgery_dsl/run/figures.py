"""The figures of a run: how large the surgery was, what it cost at once, what recovery gave back, what was saved."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

from surgery_dsl.certificate.health import Health
from surgery_dsl.certificate.model import EfficiencyRow, Surgery
from surgery_dsl.evidence import timing
from surgery_dsl.evidence.metrics import evaluating
from surgery_dsl.evidence.named_inputs import main
from surgery_dsl.interface.safetensors_header import files_of
from surgery_dsl.language.plan import Model, Plan
from surgery_dsl.run.health import health, looked_at
from surgery_dsl.run.load import Sources
from surgery_dsl.run.points import Values, measured, readings_of
from surgery_dsl.run.session import Session
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.quantities._batch import first_batch
from surgery_dsl.vocabulary.quantities.accuracy import Accuracy
from surgery_dsl.vocabulary.quantities.latency import Latency
from surgery_dsl.vocabulary.quantities.loss import Loss
from surgery_dsl.vocabulary.quantities.macs import Macs
from surgery_dsl.vocabulary.quantities.measured_memory import MeasuredMemory
from surgery_dsl.vocabulary.quantities.nonzero import Nonzero
from surgery_dsl.vocabulary.quantities.params import Params
from surgery_dsl.vocabulary.quantities.peak_memory import PeakMemory
from surgery_dsl.vocabulary.quantities.perplexity import Perplexity
from surgery_dsl.vocabulary.quantities.weight_bytes import WeightBytes

Name = Literal["params", "flops", "macs", "memory", "nonzero", "disk", "peak_memory", "latency", "accuracy"]
How = Literal["counted", "estimated", "measured"]
Word = TypeVar("Word", bound=Quantity)
Timed = TypeVar("Timed", Latency, MeasuredMemory)


class Figures:
    """Takes the figures at the right moments. Final.

    Losses are those of the first data set whose loss (or else accuracy, or else perplexity) a gate of the plan reads;
    without one they are not taken. Latency and measured memory are taken where the plan reads them or the run was
    asked to.
    """

    def __init__(self, session: Session, values: Values) -> None:
        """Take the base's figures; call it before the first step."""
        self._session, self._values = session, values
        self._loss_data, self._accuracy_data = judged(session.plan)
        self._rows = self._quantities()
        self._base = {name: values.now(word) for name, _, _, _, word in self._rows}
        self._base_loss = values.now(Loss(data=self._loss_data)) if self._loss_data else None
        self._magnitude: float | None = None
        self._immediate: float | None = None
        self._taken = False

    def before_recovery(self) -> None:
        """Take the size and the price of the surgery; the first call counts: no training must have run before it."""
        if self._taken:
            return
        self._taken = True
        self._magnitude = self._session.surgery_size()
        if self._base_loss is not None:
            self._immediate = self._values.now(Loss(data=self._loss_data)) - self._base_loss

    def surgery(self, samples: int) -> Surgery:
        """Return the surgery certificate at the end of the run, after ``samples`` training examples."""
        self.before_recovery()
        return Surgery(
            magnitude=self._magnitude,
            immediate_loss_change=self._immediate,
            samples_to_recover=samples,
            recovered_loss=self._values.now(Loss(data=self._loss_data)) if self._loss_data else None,
            base_loss=self._base_loss,
            data=self._loss_data,
        )

    def efficiency(self) -> tuple[EfficiencyRow, ...]:
        """Return before, after and saving of each quantity at the end of the run."""
        rows = []
        for name, unit, how, conditions, word in self._rows:
            factor = 2.0 if name == "flops" else 1.0
            before, after = factor * self._base[name], factor * self._values.now(word)
            rows.append(_row(name, unit, before, after, how, conditions))
        return (*_with_zeros(rows), *self._latency())

    def health(self) -> Health:
        """Return how layers and units fared, at the end of the run."""
        return health(self._session, self._loss_data)

    def _quantities(self) -> list[tuple[Name, str, How, str, Quantity]]:
        rows: list[tuple[Name, str, How, str, Quantity]] = [
            ("params", "elements", "counted", "", Params()),
            ("flops", "operations for one example", "counted", "", Macs()),
            ("macs", "multiply-accumulates for one example", "counted", "", Macs()),
            ("memory", "bytes", "counted", "", WeightBytes()),
            ("nonzero", "elements", "counted", "", Nonzero()),
            *self._memory(),
        ]
        if self._accuracy_data:
            word = Accuracy(data=self._accuracy_data)
            rows.append(("accuracy", f"share of `{self._accuracy_data}`", "measured", "", word))
        return rows

    def _memory(self) -> Iterator[tuple[Name, str, How, str, Quantity]]:
        session, plan = self._session, self._session.plan
        measured_word = _read(plan, MeasuredMemory) or self._asked_for(MeasuredMemory)
        if measured_word is not None:
            conditions = f"{session.device.type}, batch {measured_word.batch}"
            yield "peak_memory", "bytes", "measured", conditions, measured_word
            return
        sizes = {free.name: free.least for free in session.base_interface.free}
        word = _read(plan, PeakMemory) or PeakMemory(sizes=sizes)
        conditions = ", ".join(f"{name} = {size}" for name, size in word.sizes.items())
        yield "peak_memory", "bytes", "estimated", conditions, word

    def _latency(self) -> Iterator[EfficiencyRow]:
        """Time base and result in turns, where the plan reads a latency or the run was asked to."""
        session = self._session
        word = _read(session.plan, Latency) or self._asked_for(Latency)
        if word is None:
            return
        base, model = session.base(), session.model
        inputs = first_batch(word.data, word.batch, session)
        work = [lambda: session.outputs(base, inputs), lambda: session.outputs(model, inputs)]
        with session.looking("while it was timed"), session.deterministic(), evaluating(base, model):
            before, after = timing.timed(work, session.device, word.runs)
        conditions = f"{timing.conditions(session.device, main(inputs).dtype, word.batch)}, {word.runs} runs"
        row = _row("latency", "seconds, median", before.median, after.median, "measured", conditions)
        yield row.replaced(before_spread=before.quartiles, after_spread=after.quartiles)

    def _asked_for(self, kind: type[Timed]) -> Timed | None:
        """Return the quantity on the data that the plan looks at, where the run was asked to measure it."""
        data = looked_at(self._session.plan)
        return kind(data=data) if data and self._session.settings.measure_latency else None


def on_disk(sources: Sources, block: Model, folder: Path) -> tuple[EfficiencyRow, ...]:
    """Return the bytes of the files of weights, before and after; nothing where the base has no file of its own."""
    own = block.weights or block.load.weights()
    if not own:
        return ()
    before = sum(file.stat().st_size for file in files_of(sources.folder / own))
    after = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    return (_row("disk", "bytes of files of weights", before, after),)


def _with_zeros(rows: list[EfficiencyRow]) -> Iterator[EfficiencyRow]:
    """Yield rows; that of what is not zero says what the run's own zeros are not."""
    total = next(row for row in rows if row.quantity == "params")
    for row in rows:
        written = (total.after - row.after) - (total.before - row.before)
        if row.quantity == "nonzero" and written >= total.after / 100:  # a few come of rounding
            row = row.replaced(conditions=f"{written:,.0f} more zeros are stored: no bytes, no dense arithmetic saved")
        yield row


def _row(
    name: Name, unit: str, before: float, after: float, how: How = "counted", conditions: str = ""
) -> EfficiencyRow:
    saving = before - after if name == "accuracy" else (1 - after / before if before else 0.0)
    return EfficiencyRow(
        quantity=name, unit=unit, before=before, after=after, saving=saving, how=how, conditions=conditions
    )


def _read(plan: Plan, kind: type[Word]) -> Word | None:
    """Return the first use of a quantity in the plan's gates."""
    words = (reading.word for _, obligation in measured(plan) for reading in readings_of(obligation))
    return next((word for word in words if isinstance(word, kind)), None)


def judged(plan: Plan) -> tuple[str, str]:
    """Return the data sets whose loss and whose accuracy the plan's gates read first; empty where none does."""
    words = [reading.word for _, obligation in measured(plan) for reading in readings_of(obligation)]
    losses = [word.data for word in words if isinstance(word, Loss) and isinstance(word.data, str)]
    accuracies = [word.data for word in words if isinstance(word, Accuracy)]
    perplexities = [word.data for word in words if isinstance(word, Perplexity)]
    return next(iter([*losses, *accuracies, *perplexities]), ""), next(iter(accuracies), "")
