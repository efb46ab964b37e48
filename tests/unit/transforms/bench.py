"""A small stand-in for a run: resolves sites, predicts, executes, traces again."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.diagnostic import Diagnostic, Sink
from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.edits import Edit
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Interface
from surgery_dsl.run.changes import carry_out, find_tensor, replay
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.context import Change, Effect, LoadedData, Place, Runtime, Static
from surgery_dsl.vocabulary.kinds import Transform
from surgery_dsl.vocabulary.selection import Picked, Selection, Site
from surgery_dsl.vocabulary.sites.linear import Linear
from surgery_dsl.vocabulary.sites.module import Module
from surgery_dsl.vocabulary.values import Point

torch.set_num_threads(1)

Where = Literal["at", "after", "before", "around"]


class BenchRuntime(Runtime):
    """Enough of a runtime for transforms."""

    def __init__(self, model: nn.Module, interface: Interface, picked: Mapping[str, Picked]) -> None:
        self.file = "plan.surg"
        self.interface = interface
        self.model = model
        self.device = torch.device("cpu")
        self.sink = Sink(self.file)
        self.held: dict[str, Tensor] = {}
        self._picked = picked

    def data(self, name: str) -> LoadedData:
        raise LookupError(name)

    def point(self, point: Point) -> tuple[nn.Module, Interface]:
        return self.model, self.interface

    def picked(self, step: str) -> Picked:
        return self._picked[step]

    def tensor(self, name: str) -> Tensor:
        return find_tensor(self.model, name)

    def generator(self, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def progress(self, text: str, done: int, total: int) -> None:
        return None

    @property
    def zeros(self) -> Mapping[str, Tensor]:
        return self.held


@dataclass
class Outcome:
    """What a step did: its effect, its findings, both interfaces, and the changes."""

    effect: Effect
    found: tuple[Diagnostic, ...]
    predicted: Interface
    traced: Interface | None = None
    changes: Sequence[Change] = ()
    differences: tuple[str, ...] = ()

    @property
    def codes(self) -> list[str]:
        return [diagnostic.code.name for diagnostic in self.found]


@dataclass
class Bench:
    """A network on the bench, with what was done to it."""

    model: nn.Module
    inputs: tuple[InputSpec, ...]
    interface: Interface = field(init=False)
    edits: list[Edit] = field(default_factory=list)
    effects: dict[str, Effect] = field(default_factory=dict)
    selections: dict[str, Selection] = field(default_factory=dict)
    picked: dict[str, Picked] = field(default_factory=dict)
    held: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model.eval()
        self.interface = trace(self.model, self.inputs)

    def static(self, sink: Sink, name: str, scope: str, tie: str, changes: Sequence[str]) -> Static:
        return Static(
            interface=self.interface,
            base=self.interface,
            data={},
            weights=None,
            selections=self.selections,
            effects=self.effects,
            step=name,
            file="plan.surg",
            sink=sink,
            scope=scope,
            tie=tie,
            changes=frozenset(changes),
        )

    def sites(self, *words: Any) -> tuple[Site, ...]:
        sink = Sink()
        context = self.static(sink, "", "", "", ())
        found = tuple(site for word in words for site in word.resolve(self.interface, context))
        assert not sink.found, sink.found
        return found

    def predict(
        self,
        transform: Transform,
        where: Where,
        *words: Any,
        selection: str = "",
        name: str = "step",
        scope: str = "",
        tie: str = "",
        changes: Sequence[str] = (),
    ) -> tuple[Outcome, Place]:
        sites = self.selections[selection].sites if selection else self.sites(*words)
        place = Place(where=where, sites=sites, selection=selection, name=name, scope=scope, tie=tie)
        sink = Sink("plan.surg")
        draft = Draft(self.interface)
        effect = transform.transfer(place, draft, self.static(sink, name, scope, tie, changes))
        return Outcome(effect, sink.found, draft.finish()), place

    def step(self, transform: Transform, where: Where, *words: Any, **options: Any) -> Outcome:
        """Predict, execute, trace again, and compare; a refused step is not executed."""
        outcome, place = self.predict(transform, where, *words, **options)
        if outcome.found or not outcome.effect.changed:
            return outcome
        runtime = BenchRuntime(self.model, self.interface, self.picked)
        runtime.held = self.held
        outcome.changes = list(transform.execute(place, runtime))
        assert not runtime.sink.found, runtime.sink.found
        for change in outcome.changes:
            carry_out(self.model, change)
            if change.edit is not None:
                self.edits.append(change.edit)
        outcome.traced = trace(self.model, self.inputs)
        outcome.differences = differences(outcome.predicted, outcome.traced)
        self.effects[place.name] = outcome.effect
        self.interface = outcome.traced
        return outcome

    def replayed(self, factory: Callable[[], nn.Module]) -> nn.Module:
        """Replay the edits on a skeleton built on ``meta`` and load the tensors, as a reload does."""
        floating = next(p.dtype for p in self.model.parameters() if p.is_floating_point())
        with torch.device("meta"):
            skeleton = factory().to(floating).eval()
        replay(skeleton, self.edits)
        loaded: dict[int, tuple[int, Tensor]] = {}
        for module_path, module in self.model.named_modules():
            other = skeleton.get_submodule(module_path)
            for box, theirs in ((module._parameters, other._parameters), (module._buffers, other._buffers)):
                assert box.keys() == theirs.keys()
                for key, tensor in box.items():
                    if tensor is None:
                        continue
                    empty = theirs[key]
                    assert empty is not None
                    assert (empty.shape, empty.dtype) == (tensor.shape, tensor.dtype)
                    values: Tensor = tensor.detach().clone()
                    if isinstance(tensor, nn.Parameter):
                        values = nn.Parameter(values, requires_grad=tensor.requires_grad)
                    mine, values = loaded.setdefault(id(empty), (id(tensor), values))
                    assert mine == id(tensor), f"{module_path}.{key} is tied in one of both"
                    theirs[key] = values  # type: ignore[assignment]
        return skeleton


def spec(*dims: int | str, dtype: str = "f32", name: str = "x") -> tuple[InputSpec, ...]:
    return (InputSpec(name=name, dtype=dtype, dims=dims),)


def linear(pattern: str) -> Linear:
    return Linear(pattern=pattern)


def module(pattern: str) -> Module:
    return Module(pattern=pattern)
