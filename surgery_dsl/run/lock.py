"""Making the lock: trace the models, read the weights and the data once, and write down what ``check`` needs."""

import hashlib
import json
import os
from pathlib import Path

import torch
from torch import nn

from surgery_dsl.diagnostics.codes import shapes, trust
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.canonical import canonical
from surgery_dsl.interface.lock import Lock, ModelLock, SourceDigest, WeightFacts, sealed
from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.staleness import declared_model, digest_of, placed
from surgery_dsl.language.plan import Model, Plan
from surgery_dsl.run import weights
from surgery_dsl.run.grants import Grants
from surgery_dsl.run.load import Sources, as_built, placed_refusals
from surgery_dsl.run.release import tool_version
from surgery_dsl.run.settings import Settings
from surgery_dsl.run.written import written
from surgery_dsl.trace.capture import MADE_UP, Captured, capture, trace
from surgery_dsl.trace.fakes import elements_of
from surgery_dsl.vocabulary.models.timm import Timm

_CONVERTED = (trust.TENSOR_MISSING, trust.TENSOR_EXTRA, trust.TENSOR_SHAPE, trust.TENSOR_DTYPE, trust.TIED_TWICE)
"""What tells that a checkpoint is laid out otherwise than the network."""


def make_lock(plan: Plan, folder: Path, grants: Grants, allow_pickle: bool = False) -> Lock:
    """Trace every model of a plan and take the facts of its weights and data.

    Runs the user's code that ``grants`` cover.

    Raises:
        Refused: Code is not granted or failed, a network cannot be traced, weights or data are bad.
    """
    return lock_of(Sources(plan, folder, grants, allow_pickle), Settings())


def lock_of(sources: Sources, settings: Settings) -> Lock:
    """Make the lock from sources that a run goes on to use, in the dtype of its settings."""
    plan = sources.plan
    return Lock(
        tool=f"surgery-dsl {tool_version()}",
        torch=torch.__version__,
        models=tuple(_model(sources, block, settings) for block in plan.models),
        data=tuple(sources.data(block.name).facts for block in plan.data),
    )


def write_lock(lock: Lock, path: Path) -> None:
    """Write a lock file, whole or not at all; fields that have their default are left out.

    Raises:
        Refused: The disk is full, or the folder cannot be written to.
    """
    text = json.dumps(
        {"format": lock.format, **lock.model_dump(mode="json", exclude_defaults=True, exclude={"digest"})},
        separators=(",", ":"),
        ensure_ascii=False,
    )
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with written(path, str(path), "the plan's folder"):
            temporary.write_text(sealed(text) + "\n", encoding="utf-8")
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def structure_digest(interface: Interface) -> str:
    """Return the SHA-256 of an interface in its one spelling."""
    spelled = canonical(interface)
    absent = None if spelled.indexed else {"indexed"}  # as it was before there was such a field
    return hashlib.sha256(spelled.model_dump_json(exclude=absent).encode()).hexdigest()


def _model(sources: Sources, block: Model, settings: Settings) -> ModelLock:
    captured = capture_block(sources, block, settings)
    interface = captured.interface
    paths = block.load.sources(sources.folder)
    digests = tuple(SourceDigest(path=_relative(path, sources.folder), sha256=digest_of(path)) for path in paths)
    host = None
    if block.target != "none":
        span = block.spans.get("target", block.span)
        with placed_refusals(sources.plan.file, span):
            from surgery_dsl.run.hosts import facts_of

            given = block.load.arguments if isinstance(block.load, Timm) else {}
            host = facts_of(block.target, sources.skeleton(block), interface, given)
    return ModelLock(
        name=block.name,
        declared=declared_model(block),
        sources=digests,
        structure=structure_digest(interface),
        weights=_facts(sources, block, interface),
        interface=interface,
        inputs=captured.inputs if _infers(block) else (),
        keyword_inputs=_infers(block) and captured.keywords,
        notes=captured.notes,
        host=host,
    )


def _infers(block: Model) -> bool:
    return block.inferred or not block.inputs


def trace_block(sources: Sources, block: Model, settings: Settings) -> Interface:
    """Trace a model of the plan, as :func:`capture_block`."""
    return capture_block(sources, block, settings).interface


def capture_block(sources: Sources, block: Model, settings: Settings) -> Captured:
    """Trace a model of the plan on fake tensors; on real ones where its forward looks at values.

    Where the plan gives no inputs, they are made from the model itself.
    """
    dtype = settings.torch_dtype()

    def captured(model: nn.Module) -> Captured:
        if _infers(block):
            return capture(model, block.outputs or None, make_up=False)
        inputs = settings.cast(block.inputs)
        free = tuple({size.name: size for spec in block.inputs for size in spec.free}.values())
        try:
            interface = trace(model, inputs, block.outputs or None, free, make_up=False)
        except Refused as refused:
            from surgery_dsl.run.multiples import offered  # most networks run at every size

            raise offered(model, inputs, block.outputs or None, free, refused) from refused
        return Captured(interface, inputs, block.keyword_inputs, ())

    try:
        skeleton = sources.skeleton(block).to(dtype)
        try:
            return captured(skeleton)
        except Refused as refused:
            small = elements_of(skeleton) <= MADE_UP
            if not small or any(found.code is not shapes.VALUES_NEEDED for found in refused.diagnostics):
                raise
            return captured(sources.skeleton(block, "cpu").to(dtype))
    except Refused as refused:
        span = block.spans.get("input", block.span)
        raise Refused(*(placed(found, sources.plan.file, span) for found in refused.diagnostics)) from None


def _facts(sources: Sources, block: Model, interface: Interface) -> WeightFacts | None:
    name = block.weights or block.load.weights()
    if not name:
        return None
    path = sources.folder / name
    if sources.allow_pickle and weights.is_pickle(path):
        return sources.network(block, interface).facts
    try:
        built = as_built(interface, sources.skeleton(block))
        return weights.count(weights.WeightsFile(path), built, name)
    except Refused as refused:
        if not block.weights and all(found.code in _CONVERTED for found in refused.diagnostics):
            sources.network(block, interface)  # as the host loads it, which converts names and layouts
            return None
        span = block.spans.get("weights", block.spans.get("load", block.span))
        raise Refused(*(placed(found, sources.plan.file, span) for found in refused.diagnostics)) from None


def _relative(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
