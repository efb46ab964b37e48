"""A runtime of two networks and some data sets, for quantities alone."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.interface.edits import Edit
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.lock import DataFacts, WeightFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.context import LoadedData, Runtime, Static
from surgery_dsl.vocabulary.selection import Picked
from surgery_dsl.vocabulary.values import Point


class Examples(LoadedData):
    """A data set in memory."""

    def __init__(self, inputs: Tensor, targets: Tensor, batch: int = 5) -> None:
        labels = not targets.is_floating_point()
        self.inputs, self.targets = inputs, targets
        self.facts = DataFacts(
            name="examples",
            count=len(inputs),
            input_shape=tuple(inputs.shape[1:]),
            input_dtype="f32",
            target_shape=tuple(targets.shape[1:]),
            target_dtype="i64" if labels else "f32",
            label_range=(int(targets.min()), int(targets.max())) if labels else None,
            digest="0" * 64,
            batch=batch,
        )

    def batches(self, limit: int | None = None, size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        size = size or self.facts.batch
        for number, start in enumerate(range(0, len(self.inputs), size)):
            if limit is not None and number >= limit:
                return
            yield self.inputs[start : start + size], self.targets[start : start + size]


class Bench(Runtime):
    """Reads quantities of ``model``; ``base`` is what it was."""

    def __init__(
        self,
        model: nn.Module,
        base: nn.Module | None = None,
        data: Mapping[str, Examples] | None = None,
        edits: tuple[Edit, ...] = (),
    ) -> None:
        self.model, self._base, self._data = model, base or model, dict(data or {})
        self.device, self.file, self.sink, self.edits = torch.device("cpu"), "plan.surg", Sink("plan.surg"), edits

    def data(self, name: str) -> LoadedData:
        return self._data[name]

    def point(self, point: Point) -> tuple[nn.Module, Interface]:
        assert point.at == "base"
        return self._base, None  # type: ignore[return-value]

    def picked(self, step: str) -> Picked:
        raise LookupError(step)

    def tensor(self, name: str) -> Tensor:
        return dict(self.model.named_parameters())[name]

    def generator(self, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def progress(self, text: str, done: int, total: int) -> None:
        pass

    @property
    def zeros(self) -> Mapping[str, Tensor]:
        return {}


def traced(model: nn.Module, *dims: int | str, dtype: str = "f32") -> Interface:
    """Trace a network of one input."""
    return trace(model, (InputSpec(name="x", dtype=dtype, dims=dims),))


def static(interface: Interface, weights: WeightFacts | None = None) -> Static:
    """Return the context of a network that no step has touched."""
    return Static(interface, interface, {}, weights, {}, {}, "", "plan.surg", Sink("plan.surg"))
