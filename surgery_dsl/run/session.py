"""A run in progress: what runtime rules see of it, and what it remembers of its steps."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused, Sink
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.evidence.answers import Answered, Kept, answers
from surgery_dsl.evidence.merging import Drift, Merges
from surgery_dsl.evidence.named_inputs import Inputs
from surgery_dsl.evidence.seen import KeptSights, Seen, Wanted, look
from surgery_dsl.evidence.silence import Proof
from surgery_dsl.interface.edits import Edit
from surgery_dsl.interface.lock import DataFacts, Lock, WeightFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.kernels.stored_sums import StoredSum
from surgery_dsl.language.plan import Plan
from surgery_dsl.proof.state import start
from surgery_dsl.run import determinism
from surgery_dsl.run.changes import Journal, carry_out, find_tensor
from surgery_dsl.run.data import TensorData
from surgery_dsl.run.load import Sources
from surgery_dsl.run.looking import looking
from surgery_dsl.run.outputs import all_outputs, call, first_output, given
from surgery_dsl.run.settings import Settings
from surgery_dsl.run.touched import Touched
from surgery_dsl.run.transaction import Transaction
from surgery_dsl.vocabulary.context import Change, Runtime
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.quantities._watching import Watching
from surgery_dsl.vocabulary.selection import Picked
from surgery_dsl.vocabulary.values import Point

Report = Callable[[str, int, int], None]
"""Hears how far long work has come: a few words, done, total (0 where it is not known)."""


class Patient(Protocol):
    """A network whose values are not in its tensors, and how a session reaches them instead."""

    model: nn.Module
    facts: WeightFacts | None

    def tensor(self, name: str) -> Tensor:
        """Return the values of a tensor, for reading."""

    def release(self, names: Iterable[str]) -> None:
        """Hear that tensors were read through."""

    def carry_out(self, change: Change, journal: Journal) -> None:
        """Carry out a change, its values included."""


class Session(Runtime):
    """The runtime of one plan. Final.

    The patient lies on the run's device in eval mode; between steps it equals :attr:`interface`. ``base`` is a second
    copy, made when something first asks for it: from the weights file where there is one, else cloned at the start.

    Attributes:
        plan: The plan.
        settings: Device, dtype, seed and the like.
        transaction: The journal of the patient.
        interface: The patient's interface here.
        base_interface: The patient's interface as loaded.
        after: The step that changed the patient last; empty before the first.
        touched: Which steps read which data.
        merges: What was seen of merges.
        watching: Quantities that the plan reads of what networks do inside.
    """

    def __init__(
        self,
        sources: Sources,
        lock: Lock,
        settings: Settings,
        report: Report,
        needs_base: bool,
        streamed: Patient | None = None,
    ) -> None:
        """Load the patient and the data.

        Args:
            sources: The plan's sources.
            lock: The lock; its interfaces are those of the models as loaded.
            settings: The run's settings.
            report: Hears of progress.
            needs_base: Whether the plan will ask for ``base``.
            streamed: The patient, where its values stay in files.

        Raises:
            Refused: The device is not there, or something cannot be loaded.
        """
        self.plan: Plan = sources.plan
        self.file = self.plan.file
        self.settings = settings
        self.device = settings.torch_device()
        self.sink = Sink(self.file)
        self.edits: tuple[Edit, ...] = ()
        self._sources, self._lock, self._report = sources, lock, report
        self._picked: dict[str, Picked] = {}
        self._sites: dict[str, tuple[str, ...]] = {}
        self._brought: dict[str, tuple[str, ...]] = {}
        self._zeros: dict[str, Tensor] = {}
        self._others: dict[str, nn.Module] = {}
        self.size: float | None = None
        self.after = ""
        self._remarks: list[str] = []
        self.proofs: list[tuple[str, Proof]] = []
        self.merges = Merges()
        self.touched = Touched(self.plan, sources.folder)
        self._answers, self._sights = Kept(), KeptSights()
        self.watching: tuple[Watching, ...] = ()
        self._patient = "base"
        self._streamed = streamed
        self.interface = self.base_interface = lock.model(self.plan.patient.name).interface
        self._base: nn.Module | None = None
        self._load_base: Callable[[], nn.Module] = self._patient_again
        if streamed is not None:
            self.facts, self.model = streamed.facts, streamed.model
            self.transaction = Transaction(self.model)
            return
        network = sources.network(self.plan.patient, self.interface)
        self.facts = network.facts
        self.model = self._moved(network.model)
        if needs_base and network.file is None:
            self._base = _clone(self.model)
        self.transaction = Transaction(self.model, network.readers(self.device, settings.torch_dtype()))

    # ---- what runtime rules ask for ----------------------------------------------------------------------------

    def data(self, name: str) -> TensorData:
        """Return the data set of a ``data`` block, its batches on the run's device and in its dtype."""
        self.touched.read(name)
        data = self._sources.data(name)
        data.device, data.dtype = self.device, self.settings.torch_dtype()
        return data

    def point(self, point: Point) -> tuple[nn.Module, Interface]:
        """Return the model and the interface at a point that is kept: ``base``, ``now``, or another model.

        Raises:
            Refused: The point is another place of the run, of which only measured numbers are kept.
        """
        if point.at == "now":
            return self.model, self.interface
        if point.at == "base":
            return self.base(), self.base_interface
        if point.at == "model" and point.name == self.plan.patient.name:
            return self.model, self.interface
        if point.at == "model":
            return self._other(point.name), self._lock.model(point.name).interface
        raise Refused(
            Diagnostic(
                runs.POINT_NOT_KEPT,
                f"the network at `{point.at}({point.name})` is not kept",
                file=self.file,
                help="compare with `base`, or measure at that place with a control block of its own",
            )
        )

    def picked(self, step: str) -> Picked:
        """Return what an ``identify`` took."""
        return self._picked[step]

    def tensor(self, name: str) -> Tensor:
        """Return the live parameter or buffer of that name."""
        return find_tensor(self.model, name) if self._streamed is None else self._streamed.tensor(name)

    def release(self, names: Iterable[str]) -> None:
        """Hear that tensors were read through."""
        if self._streamed is not None:
            self._streamed.release(names)

    def generator(self, seed: int) -> torch.Generator:
        """Return a CPU generator that depends on ``seed`` and the run's seed alone."""
        return determinism.generator(seed, self.settings.seed)

    def progress(self, text: str, done: int, total: int) -> None:
        """Tell how far long work has come."""
        self._report(text, done, total)

    def remark(self, text: str) -> None:
        """Keep what a word says of the number that it is measuring."""
        self._remarks.append(text)

    def rounded(self, layer: str, what: StoredSum) -> None:
        """Keep how much of an update was lost when a sum was stored."""
        self.merges.roundings[layer] = what

    def drift(self, step: str, data: str) -> Drift:
        """Return how far a merge moved the outputs on a data set."""
        return self.merges.drift(step, data, self.file)

    def show(self, region: str, proof: Proof) -> None:
        """Keep what proves a number, for the evidence."""
        self.proofs.append((region, proof))

    @property
    def holds_values(self) -> bool:
        """Whether the patient's values are in its tensors, so that it can run."""
        return self._streamed is None

    @property
    def zeros(self) -> Mapping[str, Tensor]:
        """Masks of the entries that earlier steps set to zero and that training holds, by tensor name."""
        return self._zeros

    # ---- what the run asks for ---------------------------------------------------------------------------------

    @property
    def cuda_devices(self) -> list[torch.device]:
        """The devices whose random state training uses, besides the CPU's."""
        return [self.device] if self.device.type == "cuda" else []

    def deterministic(self) -> AbstractContextManager[None]:
        """Return a context in which kernels repeat their results."""
        return determinism.deterministic()

    def mixed_seed(self, seed: int) -> int:
        """Return a step's seed mixed with the run's."""
        return determinism.mixed(seed, self.settings.seed)

    def surgery_size(self) -> float | None:
        """Return ‖Δθ‖/‖θ‖ as it is here."""
        from surgery_dsl.vocabulary.quantities.magnitude import Magnitude

        return Magnitude().measure(self.model, self.interface, self)

    def remarks(self) -> str:
        """Return what words said since they were last asked."""
        found, self._remarks = "; ".join(self._remarks), []
        return found

    def measure(self, word: Quantity, model: nn.Module, interface: Interface) -> float:
        """Return a quantity of a network; where values stay in files, it is counted from the axes."""
        if self._streamed is None:
            return float(word.measure(model, interface, self))
        from surgery_dsl.run.streaming.figures import counted

        try:
            return counted(word, interface, start(self.plan, self._lock, self.sink).static())
        except ValueError as error:
            text = f"this cannot run out of core: {error}, and only running the network tells"
            help_ = f"leave `{word.name}` to a plan of its own, run in core"
            raise Refused(Diagnostic(runs.NOT_OUT_OF_CORE, text, file=self.file, span=word.span, help=help_)) from error

    def base(self) -> nn.Module:
        """Return the patient as loaded, for reading."""
        if self._base is None:
            self._base = self._moved(self._load_base())
            for parameter in self._base.parameters():
                parameter.requires_grad_(False)
        return self._base

    def _patient_again(self) -> nn.Module:
        return self._sources.network(self.plan.patient, self.base_interface).model

    def compare_with(self, base: Callable[[], nn.Module], interface: Interface) -> None:
        """Take another network, on the CPU and loaded when it is asked for, as the base."""
        self._load_base, self.base_interface = base, interface

    def outputs(self, model: nn.Module, inputs: Inputs) -> Tensor:
        """Run a network on a batch and return the output that losses and metrics read."""
        names = self.plan.patient.outputs
        return first_output(self.call(model, inputs), names)

    def answers(self, model: nn.Module, data: str) -> Answered:
        """Yield the outputs of a network and the targets over a data set; the patient's are kept until it changes."""

        def fresh() -> Answered:
            return answers(model, self.data(data).batches(), self.outputs)

        name = self._called(model)
        return self._answers.of(name, data, fresh) if name else fresh()

    def seen(self, model: nn.Module, interface: Interface, data: str, wanted: Wanted) -> Seen:
        """Return what a network does inside on a data set, with all that the plan will ask of it."""

        def fresh(wanted: Wanted) -> Seen:
            return look(model, interface, wanted, self.data(data).batches(), self.outputs)

        later = (word.wants(interface, self) for word in self.watching if word.data == data)
        return self._sights.of(self._called(model), data, interface, wanted, later, fresh)

    def _called(self, model: nn.Module) -> str:
        """Return the name under which what a network gives is kept; empty where it is not."""
        return self._patient if model is self.model else "base" if model is self._base else ""

    @property
    def data_facts(self) -> dict[str, DataFacts]:
        """What the lock knows of the data sets, by name."""
        return {facts.name: facts for facts in self._lock.data}

    def changed(self) -> None:
        """Hear that the patient changed: what it answered holds no more, and is the base's if it was the first."""
        self._patient = "now"
        self._answers.forget("now")
        self._sights.forget("now")

    def call(self, model: nn.Module, inputs: Inputs) -> Any:
        """Run a network on a batch; of several inputs it gets those that the plan names.

        Raises:
            Refused: The plan names an input that the data does not give.
        """
        patient = self.plan.patient
        return call(model, given(patient, inputs, self.file), patient.keyword_inputs)

    def run(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> Any:
        """Run a network on named inputs, as the plan says."""
        return call(model, inputs, self.plan.patient.keyword_inputs)

    def every_output(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """Run the patient on named inputs and return all its outputs.

        Raises:
            Refused: The forward fails on them.
        """
        with torch.no_grad(), self.deterministic(), self.looking("on a batch of inputs"):
            return all_outputs(call(self.model, inputs, self.plan.patient.keyword_inputs))

    def looking(
        self, what: str, span: Span | None = None, model: nn.Module | None = None
    ) -> AbstractContextManager[None]:
        """Return a context in which a network, the patient by default, runs without a trace of it staying."""
        return looking(self.model if model is None else model, what, self.file, span, self.after)

    def brought(self) -> dict[str, tuple[str, ...]]:
        """Return, for each step, the modules that ``train`` means by its name: brought in, or chosen."""
        return {**self._sites, **self._brought}

    # ---- what steps leave behind -------------------------------------------------------------------------------

    def note_picked(self, step: str, picked: Picked) -> None:
        """Remember what an ``identify`` took."""
        self._picked[step] = picked

    def note_state(
        self, interface: Interface, brought: Mapping[str, tuple[str, ...]], sites: Mapping[str, tuple[str, ...]]
    ) -> None:
        """Remember where the plan stands after a step."""
        self.interface = interface
        self._brought, self._sites = dict(brought), dict(sites)

    def carry_out(self, change: Change) -> None:
        """Carry out one change of the patient, so that it can be undone.

        Raises:
            EditMisfit: It does not fit the network.
        """
        self.changed()
        if self._streamed is None:
            carry_out(self.model, change, self.transaction)
        else:
            self._streamed.carry_out(change, self.transaction)

    def note_edit(self, edit: Edit) -> None:
        """Remember a structural change that was carried out."""
        self.edits = (*self.edits, edit)

    def set_zeros(self, zeros: Mapping[str, Tensor]) -> None:
        """Remember which entries training holds at zero."""
        self._zeros = dict(zeros)

    # ---- parts -------------------------------------------------------------------------------------------------

    def _moved(self, model: nn.Module) -> nn.Module:
        """Bring a network to the run's device and dtype; ties are kept, because modules convert a tensor once."""
        return model.to(device=self.device, dtype=self.settings.torch_dtype()).eval()

    def _other(self, name: str) -> nn.Module:
        if name not in self._others:
            block = next(block for block in self.plan.models if block.name == name)
            network = self._sources.network(block, self._lock.model(name).interface)
            self._others[name] = self._moved(network.model)
            for parameter in self._others[name].parameters():
                parameter.requires_grad_(False)
        return self._others[name]


def _clone(model: nn.Module) -> nn.Module:
    from copy import deepcopy

    copy = deepcopy(model).eval()
    for parameter in copy.parameters():
        parameter.requires_grad_(False)
    return copy
