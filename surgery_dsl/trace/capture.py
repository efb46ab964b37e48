"""The way in: a module and what a plan says of its inputs, to an interface."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedOperatorException,
)

from surgery_dsl.diagnostics.codes import shapes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize, Interface
from surgery_dsl.trace import dtypes
from surgery_dsl.trace.axes import Axes, leaves
from surgery_dsl.trace.build import TensorFacts, build
from surgery_dsl.trace.fakes import in_eval_mode, memory_key, swap, tensors_of
from surgery_dsl.trace.propagate import Flow, propagate
from surgery_dsl.trace.recorder import Recorder, Recording, run_forward
from surgery_dsl.trace.samples import samples

_NEEDS_VALUES = (DataDependentOutputException, DynamicOutputShapeException, UnsupportedOperatorException)


def trace(
    model: nn.Module,
    inputs: tuple[InputSpec, ...],
    outputs: tuple[str, ...] | None = None,
    free: tuple[FreeSize, ...] = (),
) -> Interface:
    """Run the model's forward on fake tensors and return its axis graph.

    The model may stand on any device, ``meta`` included. It is traced in eval mode, without gradients, and is the
    same object with the same tensors and attributes afterwards. The forward runs at two assignments of the free
    sizes, each within its range; both runs must make the same calls.

    Args:
        model: The network.
        inputs: One input is given by position, several by keyword.
        outputs: Names of the outputs in order, or some of the keys of the forward's result; ``None`` takes the
            keys, or ``output``, ``output.0`` …
        free: Ranges of the free sizes; one that is missing here starts at 1 and has no end.

    Returns:
        The interface; axis sizes are expressions in the free sizes.

    Raises:
        Refused: With SD200 to SD205 where the forward does not run, does different things at different sizes, has
            sizes that cannot be followed, or does not fit the inputs or outputs that the plan names.
    """
    free = _complete(inputs, free)
    chosen = samples(free)
    _check_dtypes(inputs)
    recordings, facts = record(model, inputs, chosen)
    _compare(recordings, chosen)
    axes = Axes(chosen)
    owners = {fact.name: fact.owner for fact in facts}
    flow = propagate(recordings, axes, [spec.dims for spec in inputs], owners)
    recording = recordings[0]
    names = _name_outputs(recording, flow, outputs)
    _refuse_unknown_sizes(flow, recording, chosen)
    return build(model, recording, flow, facts, [spec.name for spec in inputs], names, free)


def _complete(inputs: Sequence[InputSpec], free: Sequence[FreeSize]) -> tuple[FreeSize, ...]:
    given = {size.name: size for size in free} | {size.name: size for spec in inputs for size in spec.free}
    used = dict.fromkeys(size for spec in inputs for size in spec.dims if isinstance(size, str))
    return tuple(given.get(name) or FreeSize(name=name) for name in used)


def _check_dtypes(inputs: Sequence[InputSpec]) -> None:
    for spec in inputs:
        if spec.dtype not in dtypes.BY_NAME:
            raise Refused(
                Diagnostic(
                    shapes.INPUT_MISFIT,
                    f"input `{spec.name}` has the unknown dtype `{spec.dtype}`",
                    help=f"write one of {', '.join(dtypes.BY_NAME)}",
                )
            )


def facts_of(model: nn.Module) -> list[TensorFacts]:
    """Return the parameters, then the buffers of a model, each with the first name of the same memory."""
    owners: dict[tuple[int, ...], str] = {}
    facts = []
    for name, tensor, is_parameter, persistent in tensors_of(model):
        owner = owners.setdefault(memory_key(tensor), name)
        facts.append(TensorFacts(name, tensor, is_parameter, persistent, owner))
    return facts


def record(
    model: nn.Module, inputs: Sequence[InputSpec], chosen: Sequence[dict[str, int]]
) -> tuple[list[Recording], list[TensorFacts]]:
    """Run the forward at each sample, on fake tensors where that is possible, else on the model's own."""
    facts = facts_of(model)
    try:
        with in_eval_mode(model), FakeTensorMode(allow_non_fake_inputs=True):
            tensors = swap(model)
            return [_run(model, tensors, inputs, sizes, None) for sizes in chosen], facts
    except _NEEDS_VALUES as error:
        if any(fact.tensor.is_meta for fact in facts):
            raise Refused(_values_needed(error)) from error
    device = next((fact.tensor.device for fact in facts), torch.device("cpu"))
    found = []
    for sizes in chosen:
        with in_eval_mode(model), torch.random.fork_rng(devices=[]):
            for module in model.modules():  # a forward may write its buffers: let it write copies
                copies = {n: None if b is None else b.clone() for n, b in module._buffers.items()}
                module._buffers.update(copies)
            tensors = {name: tensor for name, tensor, _, _ in tensors_of(model)}
            found.append(_run(model, tensors, inputs, sizes, device))
    return found, facts


def _values_needed(error: Exception) -> Diagnostic:
    return Diagnostic(
        shapes.VALUES_NEEDED,
        f"the forward looks at values ({_first_line(error)}), and the model has no weights yet",
        help="give the model its weights, so that it can be traced on them",
    )


def _run(
    model: nn.Module,
    tensors: dict[str, Tensor],
    inputs: Sequence[InputSpec],
    sizes: dict[str, int],
    device: torch.device | None,
) -> Recording:
    recorder = Recorder(model, tensors)
    given = [(spec.name, _input(spec, sizes, device)) for spec in inputs]
    try:
        return run_forward(model, tensors, given, recorder)
    except _NEEDS_VALUES:
        raise
    except Exception as error:
        raise Refused(_forward_fails(error, recorder, inputs, sizes)) from error


def _input(spec: InputSpec, sizes: dict[str, int], device: torch.device | None) -> Tensor:
    """Return an input of the right shape; with a device, one that holds values."""
    shape = [size if isinstance(size, int) else sizes[size] for size in spec.dims]
    dtype = dtypes.BY_NAME[spec.dtype]
    if device is None:
        return torch.empty(shape, dtype=dtype, device="cpu")
    if dtype.is_floating_point or dtype.is_complex:
        return torch.randn(shape, dtype=dtype, device=device)
    return torch.randint(0, 2 if spec.below is None else spec.below, shape, device=device).to(dtype)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _at(sizes: dict[str, int]) -> str:
    return " with " + ", ".join(f"{name} = {size}" for name, size in sizes.items()) if sizes else ""


def _forward_fails(
    error: Exception, recorder: Recorder, inputs: Sequence[InputSpec], sizes: dict[str, int]
) -> Diagnostic:
    text = _first_line(error)
    if isinstance(error, TypeError) and recorder.path == "" and "argument" in text and not recorder.recording.records:
        return Diagnostic(
            shapes.INPUT_MISFIT,
            f"the forward does not take the inputs {', '.join(f'`{spec.name}`' for spec in inputs)}: {text}",
            help="name several inputs as the forward's keyword arguments; a single one is given by position",
        )
    path = recorder.path
    place = f"in `{path}`" if path else "in the network's own forward"
    fix = "give `input` the shape that the forward takes"
    if sizes:
        example = next(iter(sizes))
        fix = f"write a fixed size for {example}, or give the range in which the forward runs: `{example} = 1..512`"
    notes = (f"the last operator was {recorder.last_operator}, called at {recorder.last_source}",)
    return Diagnostic(
        shapes.FORWARD_FAILS,
        f"the forward fails {place}{_at(sizes)}: {text}",
        path=path,
        facts=dict(sizes),
        notes=notes if recorder.last_source else (),
        help=fix,
    )


def _compare(recordings: Sequence[Recording], chosen: Sequence[dict[str, int]]) -> None:
    """Refuse a forward that makes different calls at different sizes."""
    first = recordings[0]
    for other, sizes in zip(recordings[1:], chosen[1:], strict=True):
        position = _first_difference(first, other)
        if position is None:
            continue
        records = first.records if position < len(first.records) else other.records
        record = records[min(position, len(records) - 1)]
        runs = first.runs if position < len(first.records) else other.runs
        path = runs[record.run].path if record.run >= 0 else ""
        name = record.operation.name.strip("_")
        raise Refused(
            Diagnostic(
                shapes.PATH_DEPENDS_ON_SIZE,
                f"the forward does not do the same{_at(chosen[0])} and{_at(sizes)}: they part at {name} in "
                f"`{path or 'the network'}`",
                path=path,
                facts={f"{name}.{i}": n for i, at in enumerate((chosen[0], sizes)) for name, n in at.items()},
                notes=(f"called at {record.source}",) if record.source else (),
                help="write fixed sizes for the inputs on which the forward decides",
            )
        )


def _first_difference(one: Recording, two: Recording) -> int | None:
    if one.records == [] and two.records == []:
        return None
    for position, (a, b) in enumerate(zip(one.records, two.records, strict=False)):
        same = a.operation.name == b.operation.name and a.operation.overload == b.operation.overload
        if not same or a.reads != b.reads or a.outputs != b.outputs or a.run != b.run or a.aliases != b.aliases:
            return position
        if any(len(one.shapes[ref]) != len(two.shapes[ref]) for ref in a.outputs):
            return position
    if len(one.records) != len(two.records):
        return min(len(one.records), len(two.records))
    return None if one.outputs == two.outputs else len(one.records) - 1


def _name_outputs(recording: Recording, flow: Flow, wanted: tuple[str, ...] | None) -> list[str]:
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
        raise Refused(
            Diagnostic(
                shapes.OUTPUT_MISFIT,
                f"the forward returns {len(found)} tensors that depend on an input "
                f"({', '.join(names) or 'none'}), the plan names {len(wanted or ())}",
                facts={"returned": len(found), "named": len(wanted or ())},
                help="name as many outputs as the forward returns, or keys of its result",
            )
        )
    recording.outputs = tuple(found)
    return names


def _refuse_unknown_sizes(flow: Flow, recording: Recording, chosen: Sequence[dict[str, int]]) -> None:
    for draft in flow.operators:
        for value in draft.outputs:
            for leaf in (leaf for dim in flow.values[value].dims for leaf in leaves(dim)):
                if leaf.expression is None:
                    path = recording.runs[draft.run].path
                    raise Refused(
                        Diagnostic(
                            shapes.UNKNOWN_SIZE,
                            f"{draft.kind} in `{path or 'the network'}` makes a dimension of {leaf.sizes[0]}"
                            f"{_at(chosen[0])} and of {leaf.sizes[-1]}{_at(chosen[-1])}; how it follows is not known",
                            path=path,
                            facts={"first": leaf.sizes[0], "second": leaf.sizes[-1]},
                            notes=(f"called at {draft.source}",) if draft.source else (),
                            help="write fixed sizes for the inputs that this size follows from",
                        )
                    )
