"""The way in: a module and what a plan says of its inputs, to an interface."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.inputs import InputSpec, free_names
from surgery_dsl.interface.model import FreeSize, Interface
from surgery_dsl.trace import dtypes, refusals
from surgery_dsl.trace.answers import without_same_coupling
from surgery_dsl.trace.choices import chosen_by_values
from surgery_dsl.trace.collector import collect_young, collector_paused
from surgery_dsl.trace.elsewhere import confirm_elsewhere
from surgery_dsl.trace.failing_sizes import smallest_failing
from surgery_dsl.trace.fakes import elements_of, made_up, tensors_of
from surgery_dsl.trace.forward import ForwardFailed, ValuesNeeded, record
from surgery_dsl.trace.graph import graph
from surgery_dsl.trace.indexing import with_lists
from surgery_dsl.trace.inputs import Proposal, proposals
from surgery_dsl.trace.samples import within
from surgery_dsl.trace.trial import freeze_hard_coded

_OTHER_SIZES = (1, 8, 64)
"""Sizes at which a forward that failed is tried again, to say whether the free sizes are to blame."""
MADE_UP = 1 << 26
"""Elements up to which a model on the meta device gets values where its forward looks at some."""
_TAKES = ("in_features", "in_channels", "normalized_shape", "num_features", "num_channels", "num_embeddings")
"""Attributes of torch's modules that say what they take."""


@collector_paused()
def trace(
    model: nn.Module,
    inputs: tuple[InputSpec, ...],
    outputs: tuple[str, ...] | None = None,
    free: tuple[FreeSize, ...] = (),
    make_up: bool = True,
) -> Interface:
    """Run the model's forward on fake tensors and return its axis graph.

    The model may stand on any device, ``meta`` included. It is traced in eval mode, without gradients, and is the
    same object with the same tensors and attributes afterwards. The forward runs at two assignments of the free
    sizes, each within its range; both runs must make the same calls. Axes whose size the forward holds as a number
    of its own are found by trying other sizes, and frozen.

    Args:
        model: The network.
        inputs: One input is given by position, several by keyword.
        outputs: Names of the outputs in order, or some of the keys of the forward's result; ``None`` takes the
            keys, or ``output``, ``output.0`` …
        free: Ranges of the free sizes; one that is missing here starts at 1 and has no end.
        make_up: Whether a small model on the meta device is given random values where its forward looks at some;
            without, and for large ones, that is SD203.

    Returns:
        The interface; axis sizes are expressions in the free sizes.

    Raises:
        Refused: With SD200 to SD205 where the forward does not run, does different things at different sizes, has
            sizes that cannot be followed, or does not fit the inputs or outputs that the plan names.
    """
    free = _complete(inputs, free)
    for spec in inputs:
        if spec.dtype not in dtypes.BY_NAME:
            raise Refused(refusals.unknown_dtype(spec))
    try:
        return _traced(model, inputs, outputs, free, make_up)
    except ForwardFailed as failed:
        smallest = smallest_failing(model, inputs, free, failed)
        if smallest is not None:
            raise Refused(refusals.fails_at_some_sizes(smallest)) from failed.error
        fixed = _fails_at_every_size(model, inputs, free, failed)
        raise Refused(refusals.forward_fails(failed, inputs, _takes(model, failed) if fixed else "", fixed)) from (
            failed.error
        )


def _traced(
    model: nn.Module,
    inputs: tuple[InputSpec, ...],
    outputs: tuple[str, ...] | None,
    free: tuple[FreeSize, ...],
    make_up: bool,
) -> Interface:
    """Trace; where the forward looks at values and has none, on values that are made up."""
    try:
        return _followed(model, inputs, outputs, free)
    except ValuesNeeded as needed:
        elements = elements_of(model)
        refused = Refused(refusals.values_needed(needed, elements if elements > MADE_UP else 0))
        if not make_up or elements > MADE_UP:
            raise refused from needed
    try:
        with made_up(model):
            return _followed(model, inputs, outputs, free)
    except ForwardFailed as failed:
        if _computes_with_integers(model):
            raise refused from failed
        raise


def _computes_with_integers(model: nn.Module) -> bool:
    """Say whether a model keeps integers in tensors, a stride say: nobody can make those up."""
    return any(not tensor.is_floating_point() and tensor.is_meta for _, tensor, _, _ in tensors_of(model))


def _followed(
    model: nn.Module, inputs: tuple[InputSpec, ...], outputs: tuple[str, ...] | None, free: tuple[FreeSize, ...]
) -> Interface:
    traced = with_lists(model, lambda denied: graph(model, inputs, outputs, free, denied))
    confirm_elsewhere(model, inputs, free, traced)
    interface = freeze_hard_coded(model, traced, inputs)
    where = chosen_by_values(traced)
    before, sample = traced.interface, traced.chosen[0]
    del traced  # of a large network it is as large as what is followed next

    def follow(fixed: list[InputSpec]) -> Interface:
        collect_young()
        return with_lists(model, lambda denied: graph(model, fixed, outputs, (), denied)).interface

    settled = without_same_coupling(inputs, before, sample, follow)
    left = tuple(one for one in interface.requirements if one not in settled)
    return interface.replaced(requirements=left, by_values=where or interface.by_values)


@dataclass(frozen=True, slots=True)
class Captured:
    """A model traced on inputs that were made from the model itself.

    Attributes:
        interface: Its interface.
        inputs: The inputs, with the ranges of their free sizes.
        keywords: Whether they are given by keyword.
        notes: What was assumed, for people.
    """

    interface: Interface
    inputs: tuple[InputSpec, ...]
    keywords: bool
    notes: tuple[str, ...]


@collector_paused()
def capture(model: nn.Module, outputs: tuple[str, ...] | None = None, make_up: bool = True) -> Captured:
    """Trace a model of transformers or timm on inputs made from it, as free as its forward allows.

    Args:
        model: The network; its config, or its ``default_cfg``, says what it takes.
        outputs: As in :func:`trace`.
        make_up: As in :func:`trace`.

    Raises:
        Refused: As :func:`trace`; with SD204 where the model does not say what it takes.
    """
    proposal: Proposal | None = None
    for proposal in proposals(model):
        collect_young()
        free = tuple({size.name: size for spec in proposal.inputs for size in spec.free}.values())
        try:
            interface = _traced(model, proposal.inputs, outputs, free, make_up)
        except ForwardFailed:
            continue
        except Refused as refused:
            if any(found.code is shapes.VALUES_NEEDED for found in refused.diagnostics):
                raise
            continue
        return Captured(interface, proposal.inputs, proposal.keywords, proposal.notes)
    if proposal is None:
        raise Refused(refusals.inputs_unknown(model))
    interface = trace(model, proposal.inputs, outputs)
    return Captured(interface, proposal.inputs, proposal.keywords, proposal.notes)


def _fails_at_every_size(
    model: nn.Module, inputs: Sequence[InputSpec], free: Sequence[FreeSize], failed: ForwardFailed
) -> bool:
    """Whether the forward fails in the same place whatever the free sizes are: then they are not to blame."""
    for size in _OTHER_SIZES if free else ():
        sizes = {one.name: within(one, size) for one in free}
        try:
            record(model, inputs, [sizes])
        except ForwardFailed as again:
            if (again.path, again.records) == (failed.path, failed.records):
                continue
        except ValuesNeeded:
            pass
        return False
    return True


def _takes(model: nn.Module, failed: ForwardFailed) -> str:
    """Return the setting of the module at work that says what it takes, as ``in_features = 64``."""
    module = model.get_submodule(failed.path)
    names = [name for name in _TAKES if hasattr(module, name)]
    return f"{names[0]} = {getattr(module, names[0])}" if names else ""


def _complete(inputs: Sequence[InputSpec], free: Sequence[FreeSize]) -> tuple[FreeSize, ...]:
    given = {size.name: size for size in free} | {size.name: size for spec in inputs for size in spec.free}
    return tuple(given.get(name) or FreeSize(name=name) for name in free_names(inputs))
