"""``recover``: training on the plan's data, with everything that is not trained equal bit for bit afterwards."""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from surgery_dsl.certificate.model import TrainingRecord
from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.evidence.named_inputs import Inputs
from surgery_dsl.language.plan import Recover
from surgery_dsl.run import recalibration
from surgery_dsl.run.batches import Batches
from surgery_dsl.run.digests import digests, named_tensors
from surgery_dsl.run.failures import memory_reported, network_reported
from surgery_dsl.run.losses import number, total_loss
from surgery_dsl.vocabulary.kinds import Rates, Schedule
from surgery_dsl.vocabulary.trainables.all import All
from surgery_dsl.vocabulary.trainables.statistics import running_statistics

if TYPE_CHECKING:
    from surgery_dsl.run.session import Session

ALPHA = 1.0
BASE_EPOCHS = 10
LEAST_RATE = 0.1
"""``epochs = auto``: ceil(α · δ · base_epochs) epochs, at least one, and lr · max(0.1, 1 − δ), where δ = ‖θ − θ'‖/‖θ‖.

With α = 1 and ten base epochs a network that changed by its own norm is trained for ten epochs, a light cut for one
or two: what Renda, Frankle and Carbin 2020 (section 4) find enough for fine-tuning after small cuts.
"""


@dataclass(frozen=True, slots=True)
class Length:
    """How long a run trains, and the factor on its learning rates.

    Attributes:
        epochs: Passes over the data, the last one perhaps in part.
        steps: Optimizer steps.
        factor: Factor on every learning rate.
        note: Where the length was derived, from what.
    """

    epochs: int
    steps: int
    factor: float = 1.0
    note: str = ""


def length(step: Recover, batches: int, delta: float | None) -> Length:
    """Return the length of a run over ``batches`` batches an epoch; ``delta`` is the surgery's size for ``auto``."""
    if step.epochs == "auto":
        size = 0.0 if delta is None or not math.isfinite(delta) else delta
        epochs = max(1, math.ceil(ALPHA * size * BASE_EPOCHS))
        factor = max(LEAST_RATE, 1 - size)
        note = f"epochs = auto: the surgery changed {size:.3f} of the weights' norm: {epochs} epochs, lr x {factor:.3f}"
        return Length(epochs, epochs * batches, factor, note)
    if step.steps is not None:
        return Length(-(-step.steps // batches), step.steps)
    if step.epochs is not None:
        return Length(step.epochs, step.epochs * batches)
    raise Refused(
        Diagnostic(
            runs.NO_LENGTH,
            f"`{step.name}` says neither `epochs` nor `steps`",
            span=step.span,
            help="write `epochs = 3`, or `epochs = auto`",
        )
    )


@dataclass
class _Run:
    """One run of a recover step: what is trained, by what, and what came of it."""

    step: Recover
    session: "Session"
    length: Length
    batches: Batches
    trained: tuple[frozenset[str], ...]
    tensors: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    bases: list[float]
    losses: list[float] = field(default_factory=list)
    first: float = math.nan
    last: float = math.nan
    samples: int = 0

    @property
    def union(self) -> frozenset[str]:
        """Everything that is trained in some epoch."""
        return frozenset().union(*self.trained)


def train(step: Recover, session: "Session", stage: int = 1) -> TrainingRecord:
    """Train the session's model and leave it in eval mode.

    Shuffles come from a CPU generator seeded by the step's seed, the run's and the stage, so that equal seeds give
    equal bits on one device. Every tensor that is about to be written is journaled first.

    Raises:
        Refused: Nothing may be trained, the loss is not finite, the network fails, or memory runs out.
        KeyboardInterrupt: As it comes; the caller's transaction undoes the run.
    """
    began = time.perf_counter()
    batches = Batches([session.data(name) for name in step.data], _batch_size(step, session))
    if recalibration.is_meant(step):
        return recalibration.recalibrate(step, session, batches, stage)
    run = _prepare(step, session, batches, stage)
    live = _live_buffers(run)
    before = _frozen_digests(run, live)
    session.transaction.before_write(run.tensors[name] for name in (*run.union, *live))
    flags = {name: run.tensors[name].requires_grad for name in run.tensors}
    try:
        with torch.random.fork_rng(devices=session.cuda_devices), session.deterministic():
            torch.manual_seed(session.mixed_seed(step.seed + stage - 1))
            phase = f"train `{step.name}`"
            with memory_reported(phase, session.file, step.span, "write a smaller `batch` in this block"):
                _epochs(run, stage)
    finally:
        run.optimizer.zero_grad(set_to_none=True)
        for name, flag in flags.items():
            run.tensors[name].requires_grad_(flag)
        session.model.eval()
    _check_frozen(run, before)
    return TrainingRecord(
        step=step.name,
        stage=stage,
        epochs=run.length.epochs,
        optimizer_steps=run.length.steps,
        samples=run.samples,
        trained_tensors=len(run.union),
        first_loss=run.first,
        last_loss=run.last,
        losses=tuple(run.losses),
        seconds=time.perf_counter() - began,
        note=run.length.note,
    )


# ---- before ------------------------------------------------------------------------------------------------------


def _batch_size(step: Recover, session: "Session") -> int:
    return step.batch if isinstance(step.batch, int) else session.data(step.data[0]).facts.batch


def _prepare(step: Recover, session: "Session", batches: Batches, stage: int) -> _Run:
    found = length(step, len(batches), session.surgery_size() if step.epochs == "auto" else None)
    trainable = step.train or All()
    brought = session.brought()
    trained = tuple(trainable.tensors(epoch, session.interface, brought) for epoch in range(found.epochs))
    tensors = dict(named_tensors(session.model))
    if not all(trained):
        raise Refused(
            Diagnostic(
                runs.EVERYTHING_FROZEN,
                f"`{step.name}` has nothing that it may train in epoch {trained.index(frozenset()) + 1}",
                file=session.file,
                span=step.spans.get("train", step.span),
                facts={"trainable": 0, "parameters": sum(t.role == "parameter" for t in session.interface.tensors)},
                help="write `train = all`, or name a step that brings parameters",
            )
        )
    union = frozenset().union(*trained)
    names = [tensor.name for tensor in session.interface.tensors if tensor.name in union]  # as torch orders them
    groups: list[dict[str, Any]] = [
        {"params": [tensors[name] for name in group], "lr": rate * found.factor}
        for rate, group in _rates(step, names, session)
    ]
    optimizer = step.optimizer.build(groups)  # built after surgery: no state can be stale
    bases = [float(group["lr"]) for group in groups]
    return _Run(step, session, found, batches, trained, tensors, optimizer, bases)


def _rates(step: Recover, names: list[str], session: "Session") -> list[tuple[float, tuple[str, ...]]]:
    rate: Any = getattr(step.optimizer, "lr", 0.0)
    if isinstance(rate, Rates):
        return list(rate.groups(names, session.interface))
    if isinstance(rate, Schedule):
        return [(1.0, tuple(names))]
    return [(float(rate), tuple(names))]


def _norms(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yield the modules that hold buffers of their own; norms with running statistics are among them."""
    for path, module in model.named_modules():
        if any(buffer is not None for buffer in module._buffers.values()):
            yield path, module


def _is_live(path: str, module: nn.Module, run: _Run, trained: frozenset[str]) -> bool:
    """Whether a module with buffers learns: a frozen norm must not let its statistics drift.

    A norm without parameters learns where everything does.
    """
    if run.step.train is None or isinstance(run.step.train, All):
        return True
    prefix = f"{path}." if path else ""
    owners = {id(run.tensors[name]) for name in trained}
    own = [name for name, parameter in module._parameters.items() if parameter is not None]
    return any(id(run.tensors[prefix + name]) in owners for name in own)


def _live_buffers(run: _Run) -> tuple[str, ...]:
    """Return the running statistics that may change in some epoch, as the static rule of ``recover`` has them."""
    found: list[str] = []
    for path, module in _norms(run.session.model):
        if any(_is_live(path, module, run, trained) for trained in set(run.trained)):
            prefix = f"{path}." if path else ""
            found += [prefix + name for name, buffer in module._buffers.items() if buffer is not None]
    statistics = running_statistics(run.session.interface)
    return tuple(name for name in found if name in statistics)


def _frozen_digests(run: _Run, live: tuple[str, ...]) -> dict[str, str]:
    """Digests of everything that must not change, to be compared afterwards."""
    writable = {id(run.tensors[name]) for name in (*run.union, *live)}
    return digests(run.session.model, [name for name, tensor in run.tensors.items() if id(tensor) not in writable])


# ---- during ------------------------------------------------------------------------------------------------------


def _epochs(run: _Run, stage: int) -> None:
    session, position = run.session, 0
    generator = session.generator(run.step.seed + stage - 1)
    zeros = [(run.tensors[name], mask) for name, mask in session.zeros.items() if name in run.union]
    for epoch in range(run.length.epochs):
        _thaw(run, run.trained[epoch])
        total, seen = 0.0, 0
        for inputs, targets in run.batches.shuffled(generator):
            if position == run.length.steps:
                break
            loss = _step(run, position, inputs, targets, zeros)
            if not math.isfinite(loss):
                raise Refused(_not_finite(run, epoch, position, loss))
            run.first = loss if position == 0 else run.first
            total, seen, run.last = total + loss * len(inputs), seen + len(inputs), loss
            position += 1
            session.progress(f"training {run.step.name}", position, run.length.steps)
        run.losses.append(total / max(1, seen))
        run.samples += seen


def _thaw(run: _Run, trained: frozenset[str]) -> None:
    """Let exactly these tensors have gradients, and exactly their norms gather statistics."""
    wanted = {id(run.tensors[name]) for name in trained}
    for tensor in run.tensors.values():
        if isinstance(tensor, nn.Parameter) and tensor.is_floating_point():
            tensor.requires_grad_(id(tensor) in wanted)
    run.session.model.train()
    for path, module in _norms(run.session.model):
        if not _is_live(path, module, run, trained):
            module.training = False


def _step(run: _Run, position: int, inputs: Inputs, targets: Tensor, zeros: list[tuple[Tensor, Tensor]]) -> float:
    step, total = run.step, run.length.steps
    for group, base in zip(run.optimizer.param_groups, run.bases, strict=True):
        group["lr"] = _rate(run, position, base)
    run.optimizer.zero_grad(set_to_none=True)
    when, file, model = f"in training step {position + 1} of `{step.name}`", run.session.file, run.session.model
    with network_reported(when, file, step.span, model):
        outputs = run.session.outputs(model, inputs)
        loss = total_loss(step, run.session, outputs, inputs, targets, position, total)
    with network_reported(f"in the backward of {when[3:]}", file, step.span, model, backward=True):
        loss.backward()  # type: ignore[no-untyped-call]
    if step.clip is not None:
        most = number(step.clip, position, total)
        torch.nn.utils.clip_grad_norm_([p for g in run.optimizer.param_groups for p in g["params"]], most)
    run.optimizer.step()
    with torch.no_grad():
        for tensor, mask in zeros:
            tensor.masked_fill_(mask, 0)
    return float(loss.detach())


def _rate(run: _Run, position: int, base: float) -> float:
    """Return the learning rate of a group: its base through the optimizer's own schedule and the step's."""
    rate: Any = getattr(run.step.optimizer, "lr", 0.0)
    value = rate.at(position, run.length.steps, base) * run.length.factor if isinstance(rate, Schedule) else base
    for schedule in run.step.schedule:
        value = schedule.at(position, run.length.steps, value)
    return value


# ---- after -------------------------------------------------------------------------------------------------------


def _not_finite(run: _Run, epoch: int, position: int, loss: float) -> Diagnostic:
    rate = max(group["lr"] for group in run.optimizer.param_groups)
    half = any(tensor.dtype is torch.float16 for tensor in run.tensors.values())
    return Diagnostic(
        runs.LOSS_NOT_FINITE,
        f"the loss of `{run.step.name}` is {loss} in step {position + 1} (epoch {epoch + 1}), at a learning rate of "
        f"{rate:.3g}",
        file=run.session.file,
        span=run.step.spans.get("optimizer", run.step.span),
        facts={"step": position + 1, "epoch": epoch + 1, "lr": rate},
        notes=(f"the loss before it was {run.last:.4g}",) if math.isfinite(run.last) else (),
        help="train in `--dtype bf16` or `--dtype f32`: an optimizer's small numbers are zero in f16"
        if half
        else "lower `lr`, warm up (`schedule = cosine(warmup = 20)`), or bound the gradient with `clip = 1.0`",
    )


def _check_frozen(run: _Run, before: dict[str, str]) -> None:
    after = digests(run.session.model, before)
    changed = [name for name in before if before[name] != after[name]]
    if changed:
        raise Refused(
            Diagnostic(
                runs.FROZEN_CHANGED,
                f"`{changed[0]}` changed while `{run.step.name}` trained, although it is frozen",
                file=run.session.file,
                span=run.step.span,
                path=changed[0],
                facts={"changed": len(changed), "frozen": len(before)},
                notes=("the network's own forward writes it, in eval mode too",),
                help="keep the forward from writing it, or train the module that holds it",
            )
        )
