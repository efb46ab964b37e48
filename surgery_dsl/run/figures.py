"""The figures of a run: how large the surgery was, what it cost at once, what recovery gave back, what was saved."""

from surgery_dsl.certificate.model import EfficiencyRow, Surgery
from surgery_dsl.language.plan import Plan
from surgery_dsl.run.points import Values, measured, readings_of
from surgery_dsl.run.session import Session
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.quantities.accuracy import Accuracy
from surgery_dsl.vocabulary.quantities.loss import Loss
from surgery_dsl.vocabulary.quantities.macs import Macs
from surgery_dsl.vocabulary.quantities.nonzero import Nonzero
from surgery_dsl.vocabulary.quantities.params import Params
from surgery_dsl.vocabulary.quantities.weight_bytes import WeightBytes


class Figures:
    """Takes the figures at the right moments. Final.

    Losses are those of the first data set whose loss (or else accuracy) a gate of the plan reads; without one they
    are not taken.
    """

    def __init__(self, session: Session, values: Values) -> None:
        """Take the base's figures; call it before the first step."""
        self._session, self._values = session, values
        self._loss_data, self._accuracy_data = judged(session.plan)
        self._rows = self._quantities()
        self._base = {name: values.now(word) for name, _, word in self._rows}
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
        for name, unit, word in self._rows:
            factor = 2.0 if name == "flops" else 1.0
            before, after = factor * self._base[name], factor * self._values.now(word)
            saving = before - after if name == "accuracy" else (1 - after / before if before else 0.0)
            rows.append(EfficiencyRow(quantity=name, unit=unit, before=before, after=after, saving=saving))
        return tuple(rows)

    def _quantities(self) -> list[tuple[str, str, Quantity]]:
        rows: list[tuple[str, str, Quantity]] = [
            ("params", "elements", Params()),
            ("flops", "operations for one example", Macs()),
            ("memory", "bytes", WeightBytes()),
            ("nonzero", "elements", Nonzero()),
        ]
        if self._accuracy_data:
            rows.append(("accuracy", f"share of `{self._accuracy_data}`", Accuracy(data=self._accuracy_data)))
        return rows


def judged(plan: Plan) -> tuple[str, str]:
    """Return the data sets whose loss and whose accuracy the plan's gates read first; empty where none does."""
    words = [reading.word for _, obligation in measured(plan) for reading in readings_of(obligation)]
    losses = [word.data for word in words if isinstance(word, Loss)]
    accuracies = [word.data for word in words if isinstance(word, Accuracy)]
    return next(iter([*losses, *accuracies]), ""), next(iter(accuracies), "")
