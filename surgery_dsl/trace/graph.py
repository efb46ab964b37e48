"""From a model to recorded forwards, from these to an interface."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize, Interface
from surgery_dsl.trace import refusals
from surgery_dsl.trace.answers import without_same_calls
from surgery_dsl.trace.atoms import UnknownSize, distinct_leaves
from surgery_dsl.trace.axes import Axes
from surgery_dsl.trace.build import TensorFacts, build
from surgery_dsl.trace.computed_sizes import ComputedSizes
from surgery_dsl.trace.forward import facts_of, record
from surgery_dsl.trace.integers import Solution, solve
from surgery_dsl.trace.likeness import first_difference
from surgery_dsl.trace.propagate import Flow, propagate
from surgery_dsl.trace.recorder import Recording
from surgery_dsl.trace.samples import samples, telling_apart

Sizes = Mapping[str, int]

_MOST_TURNS = 8
"""How often other samples are taken until nothing is the same at all of them by chance."""


@dataclass(frozen=True)
class Traced:
    """An interface and what it was made from.

    Attributes:
        interface: The interface.
        chosen: The free sizes at which the forward ran.
        recordings: What it did at the first of them.
        flow: The axes of every tensor.
        numbers: Position in the interface of each axis, by the ``id`` of its atom.
    """

    interface: Interface
    chosen: Sequence[Sizes]
    recordings: Sequence[Recording]
    flow: Flow
    numbers: Mapping[int, int]


def graph(
    model: nn.Module,
    inputs: Sequence[InputSpec],
    outputs: Sequence[str] | None,
    free: tuple[FreeSize, ...],
    denied: frozenset[int] = frozenset(),
) -> Traced:
    """Run the forward at two assignments of the free sizes, follow the axes, and build the interface.

    Calls at the positions that are ``denied`` do not pick by the numbers of a list's entries
    (:mod:`~surgery_dsl.trace.entries`).

    Raises:
        ForwardFailed: The forward raised.
        ValuesNeeded: It looks at values, and there are none.
        Refused: It does different things at different sizes, or has sizes that cannot be followed.
    """
    chosen = samples(free, inputs)
    facts = facts_of(model)
    recordings, flow = _followed(model, inputs, facts, free, chosen, denied)
    avoided: list[Sizes] = []
    for turn in range(_MOST_TURNS):
        better = chosen if flow.computed is None else telling_apart(chosen, free, flow.computed, avoided)
        if better == chosen:
            break
        try:
            recordings, flow = _followed(model, inputs, facts, free, better, denied)
        except Refused:
            if better[: len(chosen)] != chosen or turn + 1 == _MOST_TURNS:
                raise
            avoided.append(better[-1])
        else:
            chosen = better
    if flow.computed is not None:
        _require_computed(flow.computed)
    recording = recordings[0]
    del recordings[1:]  # all that they told is in the flow; of a large network they are megabytes
    names = _name_outputs(recording, flow, outputs)
    _refuse_unknown_sizes(flow, recording, chosen)
    solution = Solution() if recording.uses is None else solve(recording, recording.uses, flow)
    recording.uses = flow.computed = None  # told too
    called = [spec.name for spec in inputs]
    try:
        interface, numbers = build(model, recording, flow, facts, called, names, free, solution)
    except UnknownSize as unknown:
        raise Refused(refusals.size_left(unknown.place, unknown.sizes, chosen[0], chosen[-1])) from unknown

    interface = without_same_calls(model, inputs, interface, flow, recording)
    return Traced(interface, chosen, recordings, flow, numbers)


def _followed(
    model: nn.Module,
    inputs: Sequence[InputSpec],
    facts: Sequence[TensorFacts],
    free: Sequence[FreeSize],
    chosen: Sequence[dict[str, int]],
    denied: frozenset[int],
) -> tuple[list[Recording], Flow]:
    """Run the forward at some samples, and follow the axes."""
    recordings = record(model, inputs, chosen)
    _compare(recordings, chosen)
    owners = {fact.name: fact.owner for fact in facts}
    ranges = {size.name: (size.least, size.most) for size in free}
    return recordings, propagate(recordings, Axes(chosen), [spec.dims for spec in inputs], owners, denied, ranges)


def _require_computed(computed: ComputedSizes) -> None:
    """Note what has to hold of the sizes that the code computed; refuse what it did with them that is not followed."""
    computed.require_answers()
    computed.require_constants()
    for spelled, source in computed.not_followed():
        raise Refused(refusals.not_followed(spelled, source))


def _compare(recordings: Sequence[Recording], chosen: Sequence[Sizes]) -> None:
    """Refuse a forward that makes different calls at different sizes."""
    first = recordings[0]
    for other, sizes in zip(recordings[1:], chosen[1:], strict=True):
        position = first_difference(first, other)
        if position is not None:
            raise Refused(refusals.parts_at(first, other, position, chosen[0], sizes))


def _name_outputs(recording: Recording, flow: Flow, wanted: Sequence[str] | None) -> list[str]:
    """Choose and name the outputs; what does not depend on an input is none."""
    found = [(name, ref) for name, ref in recording.outputs if flow.states[ref].active]
    names = [name for name, _ in found]
    if wanted is not None and set(wanted) <= set(names):
        by_name = dict(found)
        found = [(name, by_name[name]) for name in wanted]
        names = list(wanted)
    elif wanted is not None and len(wanted) == len(found):
        names = list(wanted)
    elif wanted is not None or not found:
        raise Refused(refusals.outputs_misfit(names, wanted or ()))
    recording.outputs = tuple(found)
    return names


def _refuse_unknown_sizes(flow: Flow, recording: Recording, chosen: Sequence[Sizes]) -> None:
    seen: set[int] = set()
    for draft in flow.operators:
        for value in draft.outputs:
            for leaf in distinct_leaves(flow.values[value].dims, seen):
                if leaf.expression is None:
                    path = recording.runs[draft.run].path
                    ends = (leaf.sizes, chosen[0], chosen[-1])
                    raise Refused(refusals.unknown_size(draft.kind, path, draft.source, *ends))
