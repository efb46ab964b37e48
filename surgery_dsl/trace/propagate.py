"""Following axes through a recorded forward."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from surgery_dsl.interface import frozen
from surgery_dsl.interface.expression import Bounds, Expression
from surgery_dsl.interface.model import Setting
from surgery_dsl.trace import declared
from surgery_dsl.trace.atoms import Product, Sizes
from surgery_dsl.trace.axes import Axes
from surgery_dsl.trace.computed_sizes import ComputedSizes
from surgery_dsl.trace.dtypes import name_of
from surgery_dsl.trace.entries import Turns
from surgery_dsl.trace.greatest import greatest
from surgery_dsl.trace.recorder import Record, Recording, Ref
from surgery_dsl.trace.registry import Outcome, rules
from surgery_dsl.trace.rules.pointwise import pointwise
from surgery_dsl.trace.step import State, Step

# What leaves the entries of a table of positions as they are.
_KEEPS_ENTRIES = {"view", "_unsafe_view", "expand", "unsqueeze", "_to_copy", "clone", "detach", "repeat", "slice"}

# Reductions to which an entry of zero gives nothing: an index may go with its entries.
_ZERO_IS_NEUTRAL = {"sum", "linalg_vector_norm", "norm", "any", "nansum", "count_nonzero"}

# Operators whose rules know what to do with empty tensors.
_TAKES_EMPTY = {"cat", "mkldnn_rnn_layer", "split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes"}

# What only moves them.
_MOVES_ENTRIES = {"transpose", "t", "permute", "squeeze", "select", "unbind", "split", "split_with_sizes", "alias"}


@dataclass(slots=True)
class ValueDraft:
    """A value on its way into the interface."""

    dtype: str
    dims: list[Product]


@dataclass(slots=True)
class OperatorDraft:
    """An operator on its way into the interface.

    Attributes:
        kind: As in :class:`~surgery_dsl.interface.model.Operator`.
        record: Position of the call in the recording.
        run: Position of the module run that made the call.
        inputs: Values read.
        outputs: Values written.
        tensors: Parameters and buffers read, by role.
        settings: What the call was given.
        macs: Multiply-accumulates.
        sizes: What integer attributes of a standard module would hold.
        source: Line of the user's code.
    """

    kind: str
    record: int
    run: int
    inputs: list[int]
    outputs: list[int]
    tensors: dict[str, str]
    settings: dict[str, Setting]
    macs: list[Product]
    sizes: dict[str, Product]
    source: str


@dataclass(slots=True)
class Flow:
    """What following the axes gives.

    Attributes:
        axes: The algebra.
        states: What is known of each tensor.
        values: The values.
        operators: The operators in order of execution.
        read: Names of the parameters and buffers that the forward reads.
        computed: What the numbers are that its code computed from sizes.
    """

    axes: Axes
    states: dict[Ref, State]
    values: list[ValueDraft] = field(default_factory=list)
    operators: list[OperatorDraft] = field(default_factory=list)
    read: set[str] = field(default_factory=set)
    computed: ComputedSizes | None = None


def propagate(
    recordings: Sequence[Recording],
    axes: Axes,
    input_sizes: Sequence[Sequence[Expression]],
    names: dict[str, str],
    denied: frozenset[int] = frozenset(),
    ranges: Mapping[str, Bounds] | None = None,
) -> Flow:
    """Follow the axes of every tensor through the calls.

    Args:
        recordings: One for each sample of the free sizes; they hold the same calls.
        axes: The algebra to use.
        input_sizes: Size of each dimension of each input.
        names: Owner of each parameter and buffer: the first name of the same memory.
        denied: Positions of calls that do not pick by the numbers of a list's entries.
        ranges: The ranges of the free sizes.
    """
    declared.load_installed()
    flow = Flow(axes, {})
    first = recordings[0]
    flow.computed = None if first.uses is None else ComputedSizes(first.uses, axes, flow.states, dict(ranges or {}))
    axes.turns = Turns.of(first, denied)
    for name, ref in first.tensors.items():
        if ref not in flow.states:
            dims = [axes.fresh(size) for size in _sizes(recordings, ref)]
            flow.states[ref] = State(dims, names=(names[name],), order=tuple(range(len(dims))))
    for ref, expressions in zip(first.inputs, input_sizes, strict=True):
        dims = []
        for sizes, size in zip(_sizes(recordings, ref), expressions, strict=True):
            reason = frozen.INPUT if isinstance(size, int) else frozen.FREE
            dims.append(axes.fresh(sizes, reason, expression=size))
        flow.states[ref] = State(dims, value=_value(flow, first, ref, dims))
    for ref in sorted(first.constants):
        reason = frozen.constant("a tensor that is neither parameter nor buffer", "the forward")
        flow.states[ref] = State([axes.fresh(size, reason, soft=True) for size in _sizes(recordings, ref)])
    for index, records in enumerate(zip(*(recording.records for recording in recordings), strict=True)):
        axes.given = {} if flow.computed is None else flow.computed.given_at(index)
        _follow(flow, recordings, index, records)
    for _, ref in first.outputs:
        picks = flow.states[ref].picks
        if picks is not None:
            axes.freeze(picks, frozen.lookup("the network's output"))
    return flow


def _sizes(recordings: Sequence[Recording], ref: Ref) -> list[Sizes]:
    return list(zip(*(recording.shapes[ref] for recording in recordings), strict=True))


def _value(flow: Flow, recording: Recording, ref: Ref, dims: list[Product]) -> int:
    flow.values.append(ValueDraft(name_of(recording.dtypes[ref]), dims))
    return len(flow.values) - 1


def _follow(flow: Flow, recordings: Sequence[Recording], index: int, records: tuple[Record, ...]) -> None:
    record, first = records[0], recordings[0]
    if not record.outputs:
        return
    axes = flow.axes
    axes.record, axes.operator = index, record.operation.name.strip("_")
    path = first.runs[record.run].path if record.run >= 0 else ""
    axes.place = " ".join(
        part for part in (path or "the network", f"at {record.source}" if record.source else "") if part
    )
    step = Step(axes, records, flow.states, [_sizes(recordings, ref) for ref in record.outputs], first.dtypes)
    read = [flow.states[ref] for ref in record.reads]
    flow.read.update(name for state in read for name in state.names)
    outcome = _apply(step) or _opaque(step)
    active = any(state.active for state in read)
    identity = outcome.identity and len(record.outputs) == 1 and bool(read)
    names = tuple(dict.fromkeys(name for state in read for name in state.names)) if not active else ()
    written: list[int] = []
    for position, ref in enumerate(record.outputs):
        dims = outcome.dims[min(position, len(outcome.dims) - 1)]
        picks, known = _picks(step, read, outcome, position), greatest(step, read, outcome)
        state = State(dims, names=names, order=_order(step, read), picks=picks, greatest=known)
        if active:
            state.value = read[0].value if identity else _value(flow, first, ref, dims)
            written.append(state.value)
        elif len(read) == 1 and record.operation.name in _KEEPS_ENTRIES:
            state.below = read[0].below
        elif _counts_from_zero(record):
            state.below = dims[0]
        flow.states[ref] = state
    for new, old in record.aliases:
        before = flow.states[old]
        state = State(before.dims, names=tuple(dict.fromkeys((*before.names, *names))))
        if active or before.active:
            state.value = _value(flow, first, new, before.dims)
            written.append(state.value)
        flow.states[new] = state
    if not active:
        _freeze_reduced(step, outcome)
    elif not identity:
        _record(flow, step, outcome, index, written)


def _apply(step: Step) -> Outcome | None:
    """Apply the operator's rule; ``None`` where there is none, or it does not say what torch computed."""
    name = step.operation.name
    if all(any(0 in size for size in sizes) for sizes in step.output_sizes):
        return Outcome([_empty(step, sizes) for sizes in step.output_sizes])
    shapes = [step.axes.sizes(dim) for ref in step.records[0].reads for dim in step.states[ref].dims]
    if any(0 in sizes for sizes in shapes) and name not in _TAKES_EMPTY:
        return None
    own = declared.declared(name) or declared.declared(name.removesuffix("_"))
    if own is not None:
        return declared.apply(step, own)
    rule = rules().get(name) or rules().get(name.removesuffix("_"))
    if rule is None:
        if not step.operation.pointwise or not step.records[0].reads:
            return None
        rule = pointwise
    outcome = rule(step)
    if outcome is None:
        return None
    for position, sizes in enumerate(step.output_sizes):
        dims = outcome.dims[min(position, len(outcome.dims) - 1)]
        if [step.axes.sizes(dim) for dim in dims] != sizes:
            return None
    return outcome


def _empty(step: Step, sizes: list[Sizes]) -> list[Product]:
    """Return the dimensions of what is empty: it carries nothing, but keeps step with what it was cut from."""
    reads = step.records[0].reads
    source = step.states[reads[0]].dims if reads else []
    alike = len(source) == len(sizes)
    return [
        source[i] if alike and step.axes.sizes(source[i]) == size else step.axes.fresh(size, soft=True)
        for i, size in enumerate(sizes)
    ]


def _opaque(step: Step) -> Outcome:
    """Freeze everything that flows in and out."""
    reason = frozen.opaque(step.axes.operator, step.axes.place)
    for ref in step.records[0].reads:
        for dim in step.states[ref].dims:
            step.axes.freeze(dim, reason)
    return Outcome([[step.axes.fresh(size, reason) for size in sizes] for sizes in step.output_sizes])


def _counts_from_zero(record: Record) -> bool:
    """Say whether a call makes the numbers 0, 1, 2 …: positions in whatever is as long."""
    given = record.arguments
    return record.operation.name == "arange" and not given.get("start") and given.get("step") in (None, 1)


def _picks(step: Step, read: list[State], outcome: Outcome, position: int) -> Product | None:
    """Return what an output's entries are indices of; what is done with indices otherwise freezes what they pick."""
    name = step.operation.name
    if outcome.picks:
        return outcome.picks[min(position, len(outcome.picks) - 1)]
    if read and (name in _KEEPS_ENTRIES or name in _MOVES_ENTRIES or outcome.identity):
        return read[0].picks
    if not outcome.follows_picks:
        for state in read:
            if state.picks is not None:
                step.axes.freeze(state.picks, frozen.lookup(step.axes.place))
    return None


def _order(step: Step, read: list[State]) -> tuple[int, ...] | None:
    """Say whether the result is one parameter with its dimensions permuted."""
    if len(read) != 1 or read[0].order is None or read[0].active:
        return None
    from surgery_dsl.trace.rules.permute import permutation

    order = permutation(step, len(read[0].order))
    if order is not None:
        return tuple(read[0].order[i] for i in order)
    return read[0].order if step.operation.name in ("detach", "alias", "clone", "_to_copy") else None


def _freeze_reduced(step: Step, outcome: Outcome) -> None:
    """Freeze what a computation on parameters alone reduces over: no operator shows it to anyone."""
    over = outcome.settings.get("dim")
    if "keepdim" in outcome.settings and step.operation.name not in _ZERO_IS_NEUTRAL and isinstance(over, tuple):
        for ref in step.records[0].reads:
            state = step.states[ref]
            for position in over if state.names else ():
                step.axes.freeze(
                    state.dims[position], f"{step.axes.operator} of a parameter reads it ({step.axes.place})"
                )


def _record(flow: Flow, step: Step, outcome: Outcome, index: int, written: list[int]) -> None:
    record = step.records[0]
    inputs: list[int] = []
    tensors: dict[str, str] = {}
    settings = dict(outcome.settings)
    for given, value in record.arguments.items():
        refs = [(given, value)] if isinstance(value, Ref) else []
        if isinstance(value, tuple):
            refs = [(f"{given}.{i}", item) for i, item in enumerate(value) if isinstance(item, Ref)]
        for argument, ref in refs:
            state = flow.states[ref]
            role = outcome.roles.get(argument, argument)
            if state.active and ref in record.reads:
                inputs.append(state.value)
            elif state.names:
                tensors |= {role if not i else f"{role}.{_last(name)}": name for i, name in enumerate(state.names)}
            else:
                settings[argument] = "constant"
    flow.operators.append(
        OperatorDraft(
            kind=outcome.kind or step.operation.name.strip("_"),
            record=index,
            run=record.run,
            inputs=inputs,
            outputs=written,
            tensors=tensors,
            settings=settings,
            macs=list(outcome.macs),
            sizes=outcome.sizes,
            source=record.source,
        )
    )


def _last(name: str) -> str:
    return name.rpartition(".")[2]
