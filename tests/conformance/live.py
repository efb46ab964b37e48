"""Running a plan step by step as ``apply`` does, with a copy of the network before and after every step.

Every operation ends in a failure that is injected after its last step, so that what rollback leaves can be seen.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.evidence.named_inputs import main
from surgery_dsl.interface.model import Interface, Operator
from surgery_dsl.kernels.differences import digest
from surgery_dsl.language.plan import Control, Identify
from surgery_dsl.proof.sequence import Run, sequence
from surgery_dsl.proof.state import State, start
from surgery_dsl.run import restore, write
from surgery_dsl.run.completion import completed
from surgery_dsl.run.digests import named_tensors
from surgery_dsl.run.evidence_record import RunEvidence
from surgery_dsl.run.load import Sources
from surgery_dsl.run.lock import lock_of
from surgery_dsl.run.outputs import first_output
from surgery_dsl.run.points import Values
from surgery_dsl.run.results import record_of, source_files
from surgery_dsl.run.session import Session
from surgery_dsl.run.settings import Settings
from surgery_dsl.run.steps import Steps
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.context import Effect
from tests.conformance.workbench import GRANTS, Workbench

Dtype = Literal["", "f16", "bf16", "f64"]


class Injected(Exception):
    """The failure after the last step."""


@dataclass(frozen=True)
class Snapshot:
    """A network at a place of the plan: a copy, and what it is traced as."""

    model: nn.Module
    interface: Interface
    digests: dict[str, str]

    def outputs(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            return first_output(self.model(inputs))


@dataclass(frozen=True)
class Moment:
    """One run of a step."""

    run: Run
    effect: Effect
    predicted: State
    before: Snapshot
    after: Snapshot

    def __str__(self) -> str:
        return f"{self.run.step.block} {self.run.step.name}"


@dataclass(frozen=True)
class Operation:
    """What came of a plan.

    Attributes:
        moments: Every run of a step that may change the network.
        inputs: Inputs of the network.
        final: The network after the last step.
        reloaded: The network as the written result gives it back, where one was written.
        untouched: What the network was before the first step, and is after the rollback.
        state: Where the plan stands at its end, as predicted.
        session: The run.
    """

    moments: tuple[Moment, ...]
    inputs: Tensor
    final: Snapshot
    reloaded: Snapshot | None
    untouched: tuple[Any, Any]
    state: State = field(repr=False)
    session: Session = field(repr=False)


def operate(bench: Workbench, text: str, dtype: Dtype = "", folder: Path | None = None, seed: int = 0) -> Operation:
    """Run a plan, write its result to a folder, where one is given, and reload it; then fail and roll back."""
    plan, found = bench.read(text)
    assert plan is not None, found
    sources = Sources(plan, bench.folder, GRANTS, seed=seed)
    settings = Settings(device="cpu", dtype=dtype, seed=seed, allow_code=GRANTS.patterns)
    lock = lock_of(sources, settings) if dtype else bench.lock(plan)
    plan = completed(plan, lock)
    sources = Sources(plan, bench.folder, GRANTS, seed=seed)
    session = Session(sources, lock, settings, lambda *_: None, needs_base=True)
    before = fingerprint(session.model)
    moments: list[Moment] = []
    try:
        with session.transaction:
            values = Values(session)
            values.keep("base")
            steps = Steps(session, values, start(plan, lock, Sink(plan.file)), RunEvidence())
            last = Snapshot(copy.deepcopy(session.model), session.interface, all_digests(session.model))
            for run in sequence(plan):
                steps.execute(run)
                if not isinstance(run.step, Identify | Control):
                    effect = steps.state.effects[run.step.name]
                    moments.append(Moment(run, effect, steps.state, last, snapshot(session)))
                    last = moments[-1].after
            reloaded = _reload(session, sources, folder) if folder is not None else None
            raise Injected
    except Injected:
        pass
    return Operation(
        tuple(moments), _inputs(session), last, reloaded, (before, fingerprint(session.model)), steps.state, session
    )


def snapshot(session: Session) -> Snapshot:
    """Copy a session's network and trace it, whatever was predicted."""
    patient = session.plan.patient
    traced = trace(
        session.model, session.settings.cast(patient.inputs), patient.outputs or None, session.base_interface.free
    )
    model = copy.deepcopy(session.model)
    return Snapshot(model, traced, all_digests(model))


def all_digests(model: nn.Module) -> dict[str, str]:
    """Digest of every parameter and buffer, tied ones under each name."""
    return {name: digest(tensor) for name, tensor in named_tensors(model)}


def fingerprint(model: nn.Module) -> Any:
    """Everything that rollback must bring back: objects, classes, plain attributes, order, tensors, random state."""
    modules = [
        (path, id(module), type(module), list(module._modules), _plain(vars(module)), _plain(vars(type(module))))
        for path, module in model.named_modules(remove_duplicate=False)
    ]
    tensors = [
        (name, id(tensor), digest(tensor), tuple(tensor.shape), tensor.dtype, tensor.requires_grad, tensor.grad is None)
        for name, tensor in named_tensors(model)
    ]
    return modules, tensors, torch.get_rng_state().tolist()


def _plain(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: (len(value) if isinstance(value, dict) else value)
        for name, value in attributes.items()
        if isinstance(value, int | float | str | tuple | bool | dict | type(None))
    }


def _inputs(session: Session) -> Tensor:
    names = [block.name for block in session.plan.data]
    if names:
        data = session.data(names[0])
        return data.moved(main(data.inputs)[:24])
    spec = session.plan.patient.inputs[0]
    generator = torch.Generator().manual_seed(5)
    most = dict.fromkeys(spec.dims, 24) | {free.name: free.most or 24 for free in spec.free}
    shape = [min(24, most[size]) if isinstance(size, str) else size for size in spec.dims]
    if spec.dtype == "i64":
        return torch.randint(0, spec.below or 2, shape, generator=generator)
    drawn = torch.randn(shape, generator=generator)
    return drawn.to(session.settings.torch_dtype())


def _reload(session: Session, sources: Sources, folder: Path) -> Snapshot:
    weights = write.write_weights(session.model, folder)
    copied = write.copy_sources(source_files(sources), folder)
    write.write_record(record_of(session, sources, copied, weights), folder)
    model = restore.load(folder, GRANTS.patterns)
    patient = session.plan.patient
    traced = trace(model, session.settings.cast(patient.inputs), patient.outputs or None, session.base_interface.free)
    return Snapshot(model, traced, all_digests(model))


def written(moment: Moment) -> frozenset[str]:
    """Names before a step of the tensors that it changed, removed, or gave another shape."""
    renamed = moment.effect.renamed
    return frozenset(
        name
        for name, value in moment.before.digests.items()
        if moment.after.digests.get(renamed.get(name, name)) != value
    )


def created(moment: Moment) -> frozenset[str]:
    """Names after a step of the tensors that were not there before it."""
    known = {moment.effect.renamed.get(name, name) for name in moment.before.digests}
    return frozenset(moment.after.digests) - known


def interface_effects(moment: Moment) -> frozenset[str]:
    """What a step did to the interface, read off the two traces and the tensors.

    ``values``: numbers changed where the shape did not, or what an operator computes in its place; ``widths``: a shape
    changed; ``topology``: modules or operators came or went; ``storage``: a dtype changed; ``buffers``: as ``values``.
    """
    old, new = moment.before.interface, moment.after.interface
    renamed = moment.effect.renamed
    found = set()
    for name, tensor in old.tensor_by_name.items():
        other = new.tensor_by_name.get(renamed.get(name, name))
        if other is None or (name not in renamed and name in renamed.values()):
            continue  # it is gone; what bears its name now was called otherwise
        if tensor.dtype != other.dtype:
            found.add("storage")
        elif _shape(old, tensor.dims) != _shape(new, other.dims):
            found.add("widths")
        elif moment.before.digests[name] != moment.after.digests[other.name]:
            found.add("values" if tensor.role == "parameter" else "buffers")
    if len(old.operators) != len(new.operators) or set(old.module_by_path) != set(new.module_by_path):
        found.add("topology")
    elif [(op.kind, _own(op)) for op in old.operators] != [(op.kind, _own(op)) for op in new.operators]:
        found.add("values")
    for side in ("inputs", "outputs"):
        ports = [[_port(interface, port.value) for port in getattr(interface, side)] for interface in (old, new)]
        if ports[0] != ports[1]:
            found.add(side)
    return frozenset(found)


def _own(operator: Operator) -> dict[str, Any]:
    """The settings of an operator that do not follow from the sizes of its tensors."""
    return {name: value for name, value in operator.settings.items() if name not in ("groups", "num_groups", "start")}


def _shape(interface: Interface, dims: tuple[Any, ...]) -> list[int | None]:
    return [interface.exact(dim) for dim in dims]


def _port(interface: Interface, value: int) -> tuple[str, list[int | None]]:
    found = interface.values[value]
    return found.dtype, _shape(interface, found.dims)
