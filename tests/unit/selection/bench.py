"""A small stand-in for a run: networks, blocks, contexts, and a runtime that holds one model and its data."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.diagnostic import Diagnostic, Sink
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.language.plan import Identify, Target
from surgery_dsl.proof.identify import static_identify
from surgery_dsl.run.changes import find_tensor
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.context import LoadedData, Runtime, Static
from surgery_dsl.vocabulary.kinds import SiteWord
from surgery_dsl.vocabulary.selection import Picked, Selection
from surgery_dsl.vocabulary.sites.module import Module
from surgery_dsl.vocabulary.units.channels import Channels
from surgery_dsl.vocabulary.values import NumberArrow, Percent, PercentArrow, Point

Build = Callable[[], nn.Module]


def percent(value: float | str) -> Percent:
    return Percent(value=Fraction(value))


def arrow(left: int, right: int) -> NumberArrow:
    return NumberArrow(left=Fraction(left), right=Fraction(right))


def percents(left: int, right: int) -> PercentArrow:
    return PercentArrow(left=percent(left), right=percent(right))


def spec(*dims: int | str, dtype: str = "f32", below: int | None = None) -> tuple[InputSpec, ...]:
    return (InputSpec(name="x", dtype=dtype, dims=dims, below=below),)


def traced(model: nn.Module, *dims: int | str, dtype: str = "f32", below: int | None = None) -> Interface:
    return trace(model, spec(*dims, dtype=dtype, below=below))


def static(interface: Interface, **changes: Any) -> Static:
    """Return a context at which nothing has happened yet."""
    context = Static(
        interface=interface,
        base=interface,
        data={},
        weights=None,
        selections={},
        effects={},
        step="step",
        file="plan.surg",
        sink=Sink("plan.surg"),
    )
    return replace(context, **changes)


def block(*sites: SiteWord | str, **attributes: Any) -> Identify:
    """Return an identify block; a text names modules, the unit is channels where none is given."""
    words = [Module(pattern=site) if isinstance(site, str) else site for site in sites]
    attributes.setdefault("unit", Channels())
    attributes.setdefault("spans", {"in": Span(3, 1, 3, 9), "floor": Span(7, 1, 7, 9)})
    return Identify(name="step", span=Span(2, 1, 2, 9), sites=tuple(Target(word=word) for word in words), **attributes)


def select(interface: Interface, step: Identify, **changes: Any) -> tuple[Selection | None, tuple[Diagnostic, ...]]:
    """Return what a block can select, and the findings."""
    context = static(interface, **changes)
    return static_identify(step, context), context.sink.found


def selected(interface: Interface, step: Identify, **changes: Any) -> Selection:
    selection, found = select(interface, step, **changes)
    assert selection is not None, [finding.message for finding in found]
    return selection


def refused(interface: Interface, step: Identify, **changes: Any) -> Diagnostic:
    """Return the one error that a block gets."""
    selection, found = select(interface, step, **changes)
    assert selection is None
    assert len(found) == 1, [finding.message for finding in found]
    return found[0]


class Examples(LoadedData):
    """Examples in memory."""

    def __init__(self, inputs: Tensor, targets: Tensor, batch: int = 4) -> None:
        self.inputs, self.targets, self.batch = inputs, targets, batch
        self.facts = facts(inputs, targets, batch)

    def batches(self, limit: int | None = None, size: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        step = size or self.batch
        starts = range(0, len(self.inputs), step)
        for start in starts if limit is None else starts[:limit]:
            yield self.inputs[start : start + step], self.targets[start : start + step]


def facts(inputs: Tensor, targets: Tensor, batch: int = 4) -> DataFacts:
    labels = None
    if not targets.dtype.is_floating_point:
        labels = (int(targets.min()), int(targets.max()))
    return DataFacts(
        name="train",
        count=len(inputs),
        input_shape=tuple(inputs.shape[1:]),
        input_dtype="f32",
        target_shape=tuple(targets.shape[1:]),
        target_dtype="i64" if labels else "f32",
        label_range=labels,
        digest="",
        batch=batch,
    )


class Bench(Runtime):
    """Enough of a runtime for identify and excise."""

    def __init__(self, model: nn.Module, interface: Interface, data: LoadedData | None = None) -> None:
        self.file = "plan.surg"
        self.interface = interface
        self.model = model.eval()
        self.device = torch.device("cpu")
        self.sink = Sink(self.file)
        self.held: dict[str, Tensor] = {}
        self.told: list[tuple[str, int, int]] = []
        self._data = data

    def data(self, name: str) -> LoadedData:
        assert self._data is not None
        return self._data

    def point(self, point: Point) -> tuple[nn.Module, Interface]:
        return self.model, self.interface

    def picked(self, step: str) -> Picked:
        raise LookupError(step)

    def tensor(self, name: str) -> Tensor:
        return find_tensor(self.model, name)

    def generator(self, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def progress(self, text: str, done: int, total: int) -> None:
        self.told.append((text, done, total))

    @property
    def zeros(self) -> Mapping[str, Tensor]:
        return self.held
