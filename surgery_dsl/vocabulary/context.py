"""What static and runtime rules are given, and what they give back."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

from surgery_dsl.diagnostics.diagnostic import Diagnostic, Sink
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.edits import Edit
from surgery_dsl.interface.lock import DataFacts, WeightFacts
from surgery_dsl.interface.model import Data, Interface
from surgery_dsl.vocabulary.selection import Picked, Selection, Site
from surgery_dsl.vocabulary.values import Point
from surgery_dsl.vocabulary.word import FunctionEffect

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.merging import Drift
    from surgery_dsl.evidence.named_inputs import Inputs
    from surgery_dsl.evidence.seen import Seen, Wanted
    from surgery_dsl.evidence.silence import Proof
    from surgery_dsl.kernels.stored_sums import StoredSum

# ---- static ------------------------------------------------------------------------------------------------------


class Effect(Data):
    """What one step does, as its static rule states it.

    Attributes:
        function: ``none`` (nothing is written), ``exact`` (the same function in eval mode and real arithmetic),
            ``bounded`` or ``changing``.
        reason: Why, in a few words.
        rule: Of an exact effect: the identity that makes it so, a name in :mod:`surgery_dsl.evidence.identities`.
        region: Where an exact effect holds on a set of inputs alone: the region. Elsewhere the function may change.
        writes: Names (before the step) of tensors whose values or shapes may change.
        brings: Paths of modules that the step brings in.
        creates: Names of tensors that the step creates.
        renamed: Tensors that have another name after the step: before to after.
        zeros: For tensors in which a step writes zeros that later training holds: how many at least, at most.
        matched: How many sites the step matched.
        changed: How many of them it changes.
        calls: Where a site is a module that a forward calls several times, or one of these calls: all that is meant.
        merges: Paths of the adapters that the step folds into their layers.
    """

    function: FunctionEffect
    reason: str = ""
    rule: str = ""
    region: Data | None = None
    writes: frozenset[str] = frozenset()
    brings: tuple[str, ...] = ()
    creates: frozenset[str] = frozenset()
    renamed: dict[str, str] = {}
    zeros: dict[str, tuple[int, int]] = {}
    zeros_total: tuple[int, int] | None = None
    matched: int = 0
    changed: int = 0
    calls: tuple[str, ...] = ()
    merges: tuple[str, ...] = ()


@dataclass(frozen=True)
class Static:
    """What a static rule may look at. Static rules report through ``sink`` and never raise for a user's mistake.

    Attributes:
        interface: The predicted interface at this place (:class:`Extent` sizes where a choice is open).
        base: The interface of the patient as loaded.
        data: Facts of each data set.
        weights: Facts of the base weights, where they were seen.
        selections: What earlier ``identify`` steps may have selected.
        effects: What earlier steps did.
        step: Name of the step at hand.
        file: The plan's file, for diagnostics.
        sink: Where findings go.
        scope: The step's ``scope`` (``site`` or ``all``), empty where the plan gives none.
        tie: The step's ``tie`` (``keep`` or ``untie``), empty where the plan gives none.
        changes: What the step is allowed to change of the contract (``inputs``, ``outputs``, ``values``).
        history: Every run of a step so far with what it did, in order (a scheduled step runs several times).
        brought: Paths, as they are now, of the modules that earlier steps brought in.
        zeros: Tensors, by the name they have now, with zeros that training holds: how many at least, at most.
        zeros_total: The same over all of them (a global ranking fixes the sum, not the parts).
        coverage: Share of the parameters that each earlier step's sites hold: at least, at most.
        held: Tensors of the base, by the names they have there, that stood at an ``identify``'s sites when it ran, or
            where a step brought modules in.
    """

    interface: Interface
    base: Interface
    data: Mapping[str, DataFacts]
    weights: WeightFacts | None
    selections: Mapping[str, Selection]
    effects: Mapping[str, Effect]
    step: str
    file: str
    sink: Sink
    scope: str = ""
    tie: str = ""
    changes: frozenset[str] = frozenset()
    history: tuple[tuple[str, Effect], ...] = ()
    brought: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    zeros: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    zeros_total: tuple[int, int] = (0, 0)
    coverage: Mapping[str, tuple[Fraction, Fraction]] = field(default_factory=dict)
    held: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def say(self, diagnostic: Diagnostic) -> None:
        """Report a finding."""
        self.sink.say(diagnostic)


# ---- runtime -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """One resolved change of a model, ready to be carried out and journaled.

    Attributes:
        edit: The structural part, if any.
        tensors: New values by the name a tensor has *after* the edit; same shape and dtype as the tensor. What the
            edit creates and this does not name keeps the values its module was built with.
        zero: Boolean masks by tensor name: these entries become zero (other entries are not touched).
        hold: Whether later training keeps the entries of ``zero`` at zero.
    """

    edit: Edit | None = None
    tensors: "Mapping[str, torch.Tensor]" = field(default_factory=dict)
    zero: "Mapping[str, torch.Tensor]" = field(default_factory=dict)
    hold: bool = False


class LoadedData(ABC):
    """A data set in memory. Abstract."""

    facts: DataFacts

    @abstractmethod
    def batches(self, limit: int | None = None, size: int | None = None) -> "Iterator[tuple[Inputs, torch.Tensor]]":
        """Yield (inputs, targets) in order, on the runtime's device; at most ``limit`` batches of ``size``."""


class Runtime(ABC):
    """What a runtime rule may use. Abstract: the run layer implements it.

    Models are in eval mode unless a rule sets otherwise, and then it restores the mode.
    """

    file: str
    interface: Interface
    model: "torch.nn.Module"
    device: "torch.device"
    sink: Sink
    edits: tuple[Edit, ...] = ()
    """The structural changes carried out so far, in order."""
    changes: frozenset[str] = frozenset()
    """What the step at work may change of the contract."""
    coverage: Mapping[str, tuple[Fraction, Fraction]] = {}
    """Share of the parameters that each step's sites hold, as the proof predicted it."""

    @abstractmethod
    def data(self, name: str) -> LoadedData:
        """Return the data set of a ``data`` block."""

    @abstractmethod
    def point(self, point: Point) -> "tuple[torch.nn.Module, Interface]":
        """Return the model and the interface at a point; it may not be changed."""

    @abstractmethod
    def picked(self, step: str) -> Picked:
        """Return what an earlier ``identify`` took."""

    @abstractmethod
    def tensor(self, name: str) -> "torch.Tensor":
        """Return the live parameter or buffer of that name (ties included)."""

    def release(self, names: Iterable[str]) -> None:  # noqa: B027 - most memory is nobody's but its own
        """Hear that a rule has read tensors through: memory that only shows a file may be given back."""

    @abstractmethod
    def generator(self, seed: int) -> "torch.Generator":
        """Return a CPU generator that depends on ``seed`` and the run's ``--seed`` alone."""

    def outputs(self, model: "torch.nn.Module", inputs: "Inputs") -> "torch.Tensor":
        """Run a network on a batch and return the output that losses and metrics read (the first of several)."""
        from surgery_dsl.evidence.named_inputs import named

        result = self.run(model, named(inputs))
        output: torch.Tensor = result[0] if isinstance(result, tuple | list) else result
        return output

    def run(self, model: "torch.nn.Module", inputs: "Mapping[str, torch.Tensor]") -> Any:
        """Run a network on named inputs, in their order, and return all that it gives."""
        return model(*inputs.values())

    def answers(self, model: "torch.nn.Module", data: str) -> "Iterator[tuple[torch.Tensor, torch.Tensor]]":
        """Yield the outputs of a network and the targets, batch by batch over a data set, in eval mode.

        What a network answered is kept while it stays as it is: each runs over each set once, for all that is measured.
        """
        from surgery_dsl.evidence.answers import answers

        return answers(model, self.data(data).batches(), self.outputs)

    def seen(self, model: "torch.nn.Module", interface: Interface, data: str, wanted: "Wanted") -> "Seen":
        """Return what a network does inside on a data set, at least as far as it is wanted.

        What was seen is kept while the network stays as it is: one pass serves all that look inside it.
        """
        from surgery_dsl.evidence.seen import look

        return look(model, interface, wanted, self.data(data).batches(), self.outputs)

    @abstractmethod
    def progress(self, text: str, done: int, total: int) -> None:
        """Tell how far long work has come."""

    def rounded(self, layer: str, what: "StoredSum") -> None:  # noqa: B027 - nothing follows from it for the values
        """Hear how much of an update of a layer's weight was lost when the sum was stored."""

    def drift(self, step: str, data: str) -> "Drift":
        """Return how far an earlier merge moved the outputs on a data set, as it was measured when the step ran.

        Raises:
            LookupError: It was not.
        """
        raise LookupError(f"{step} was not measured on {data}")

    def remark(self, text: str) -> None:  # noqa: B027 - a number needs no words
        """Hear what a measured number alone does not say: which layer is the worst, on what it was timed."""

    def show(self, region: str, proof: "Proof") -> None:  # noqa: B027 - a runtime that writes nothing needs no proof
        """Hear what proves the number that is measured, or the units that are taken, for a region in words."""

    @property
    @abstractmethod
    def zeros(self) -> "Mapping[str, torch.Tensor]":
        """Masks of the entries that earlier steps set to zero and that training holds, by tensor name."""


@dataclass(frozen=True)
class Place:
    """Where a transform acts: the attribute that names the sites, and the sites or a selection's units.

    Attributes:
        where: ``at``, ``after``, ``before`` or ``around``.
        sites: The sites, in module order.
        selection: Where the plan names an ``identify`` step: what it may have taken (sites are then its sites).
        name: Name of the ``replace`` step: inserted children are called so.
        span: Where the plan names the sites.
        scope: The step's ``scope``, as in :class:`Static`.
        tie: The step's ``tie``, as in :class:`Static`.
    """

    where: Literal["at", "after", "before", "around"]
    sites: tuple[Site, ...]
    selection: str = ""
    name: str = ""
    span: Span | None = None
    scope: str = ""
    tie: str = ""
