"""Where a plan stands: the network as it is predicted, and what the steps so far did to it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction

from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.lock import DataFacts, Lock, WeightFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.language.plan import Identify, Plan
from surgery_dsl.proof.questions import Sum
from surgery_dsl.proof.transcript import Transcript
from surgery_dsl.vocabulary.context import Effect, Static
from surgery_dsl.vocabulary.selection import Selection


@dataclass(frozen=True)
class State:
    """A place in a plan. Immutable but for the sink, to which findings are added.

    Attributes:
        file: The plan's file, for diagnostics.
        sink: Where findings go.
        base: The patient as loaded.
        interface: The patient here, as predicted.
        models: Interfaces of the plan's other models.
        data: Facts of the data sets.
        weights: Facts of the patient's weights, where the lock saw them.
        selections: What each ``identify`` so far may have selected.
        sizes: For each selection, the interface in which its indices count.
        effects: What each step so far did, the last run of it.
        history: Every run so far with its effect, in order.
        brought: Modules that each step brought in, by their present paths.
        before: The state before the first run of each step.
        after: The state after the last run of each step.
        zeros: Tensors with zeros that training holds: how many at least, at most.
        zeros_total: The same over all tensors.
        zero_groups: Zeros that are known of several tensors together: which, and how many at least.
        versions: How often a choice has changed an axis: equal versions mean the same size.
        sums: Sums that global rankings fix, over variables of :mod:`surgery_dsl.proof.readings`.
        coverage: Share of the parameters that each step's sites hold.
        held: Tensors of the base that stood at each step's sites when it ran, or where it brought modules in.
        choices: Where each ``identify`` says what it takes.
        places: Where each other step stands.
        broken: Names of steps that could not be followed: what depends on them is not decided.
        transcript: Where questions and answers are noted, if anywhere.
    """

    file: str
    sink: Sink = field(repr=False)
    base: Interface = field(repr=False)
    interface: Interface = field(repr=False)
    models: Mapping[str, Interface] = field(default_factory=dict, repr=False)
    data: Mapping[str, DataFacts] = field(default_factory=dict)
    weights: WeightFacts | None = field(default=None, repr=False)
    selections: Mapping[str, Selection] = field(default_factory=dict)
    sizes: Mapping[str, Interface] = field(default_factory=dict, repr=False)
    effects: Mapping[str, Effect] = field(default_factory=dict)
    history: tuple[tuple[str, Effect], ...] = ()
    brought: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    before: "Mapping[str, State]" = field(default_factory=dict, repr=False)
    after: "Mapping[str, State]" = field(default_factory=dict, repr=False)
    zeros: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    zeros_total: tuple[int, int] = (0, 0)
    zero_groups: tuple[tuple[frozenset[str], int], ...] = ()
    versions: Mapping[int, int] = field(default_factory=dict)
    sums: tuple[Sum, ...] = ()
    coverage: Mapping[str, tuple[Fraction, Fraction]] = field(default_factory=dict)
    held: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    choices: Mapping[str, Span] = field(default_factory=dict, repr=False)
    places: Mapping[str, Span] = field(default_factory=dict, repr=False)
    broken: frozenset[str] = frozenset()
    transcript: Transcript | None = field(default=None, repr=False)

    def static(
        self, step: str = "", sink: Sink | None = None, scope: str = "", tie: str = "", changes: tuple[str, ...] = ()
    ) -> Static:
        """Return what a static rule may look at here."""
        return Static(
            interface=self.interface,
            base=self.base,
            data=self.data,
            weights=self.weights,
            selections=self.selections,
            effects=self.effects,
            step=step,
            file=self.file,
            sink=self.sink if sink is None else sink,
            scope=scope,
            tie=tie,
            changes=frozenset(changes),
            history=self.history,
            brought=self.brought,
            zeros=self.zeros,
            zeros_total=self.zeros_total,
            coverage=self.coverage,
            held=self.held,
        )

    def at_base(self) -> "State":
        """Return the state before any step."""
        return State(self.file, self.sink, self.base, self.base, self.models, self.data, self.weights)

    def ran(self, step: str, earlier: "State") -> "State":
        """Return this state with its snapshots: ``earlier`` is the state before the run of ``step``."""
        before = self.before if step in self.before else {**self.before, step: earlier}
        done = replace(self, before=before)
        return replace(done, after={**self.after, step: done})


def start(plan: Plan, lock: Lock, sink: Sink, transcript: Transcript | None = None) -> State:
    """Return the state before the first step; raise ``KeyError`` where the lock lacks the patient."""
    patient = lock.model(plan.patient.name)
    return State(
        file=plan.file,
        sink=sink,
        base=patient.interface,
        interface=patient.interface,
        models={model.name: model.interface for model in lock.models if model.name != patient.name},
        data={facts.name: facts for facts in lock.data},
        weights=patient.weights,
        choices={s.name: s.spans.get("take", s.span) for s in plan.steps if isinstance(s, Identify) and s.span},
        places={s.name: s.span for s in plan.steps if not isinstance(s, Identify) and s.span},
        transcript=transcript,
    )
