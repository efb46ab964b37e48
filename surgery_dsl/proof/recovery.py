"""The static rule of ``recover``: what training may write, and whether the data fits the network."""

from math import prod

from surgery_dsl.diagnostics.codes import budgets, runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Sink
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.interface.model import Port
from surgery_dsl.language.plan import DataSet, Plan, Recover
from surgery_dsl.proof.input_sizes import InputSize, input_size
from surgery_dsl.proof.state import State
from surgery_dsl.proof.words import step_names
from surgery_dsl.vocabulary.context import Effect
from surgery_dsl.vocabulary.kinds import Loss, Trainable
from surgery_dsl.vocabulary.predicates._holding import with_ties

LAST_EPOCH = 1_000_000
"""Epoch in which everything that ever thaws has thawed, for ``epochs = auto``."""


def training_effect(state: State, step: Recover, plan: Plan, sink: Sink) -> Effect:
    """Return what a ``recover`` may write, after reporting what does not fit."""
    context = state.static(step.name, sink)
    for name in step.data:
        data_fits(state, plan, name, sink)
        facts = state.data.get(name)
        for term in (*step.loss, *step.penalty):
            if facts is not None and isinstance(term.word, Loss):
                term.word.check(state.interface, facts, context)
    _length(state, step, sink)
    known = not names_broken(step, state)
    if step.train is not None and known:
        step.train.check(context)
    trained = trained_tensors(step, state)
    written = with_ties(state.interface, trained | trained_statistics(step, state, trained))
    if not written and known and not sink.failed:
        sink.say(
            Diagnostic(
                runs.EVERYTHING_FROZEN,
                f"`{step.name}` has nothing that it may train",
                file=state.file,
                span=step.spans.get("train", step.span),
                facts={"tensors": 0},
                help="name a step that brings parameters in `train`, or leave `train` out",
            )
        )
    _schedules(state, step, plan, sink)
    reason = f"it may train {len(trained)} tensors"
    return Effect(function="changing", reason=reason, writes=written, matched=len(written), changed=len(written))


def names_broken(step: Recover, state: State) -> bool:
    """Whether ``train`` names a step that could not be followed: that was told, and what it trains is not known."""
    return step.train is not None and not state.broken.isdisjoint(step_names(step.train))


# ---- what may change ---------------------------------------------------------------------------------------------


def trained_tensors(step: Recover, state: State) -> frozenset[str]:
    """Return the parameters that may change in some epoch, by their first names."""
    train = step.train if step.train is not None else _all()
    brought = {name: tuple(s.module for s in chosen.sites) for name, chosen in state.selections.items()}
    brought.update(state.brought)
    last = step.epochs - 1 if isinstance(step.epochs, int) and step.epochs > 0 else LAST_EPOCH
    epochs = range(last + 1) if last < 64 else (0, last)
    return frozenset().union(*(train.tensors(epoch, state.interface, brought) for epoch in epochs))


def trained_statistics(step: Recover, state: State, trained: frozenset[str]) -> frozenset[str]:
    """Return the buffers that training may change: running statistics of norms of which a parameter is trained.

    All of them where everything is trained, or nothing but statistics.
    """
    from surgery_dsl.vocabulary.trainables.statistics import running_statistics

    found = running_statistics(state.interface)
    name = step.train.name if step.train is not None else "all"
    if name in ("all", "statistics"):
        return found
    holders = {tensor.rpartition(".")[0] for tensor in trained}
    return frozenset(buffer for buffer in found if buffer.rpartition(".")[0] in holders)


def _all() -> Trainable:
    from surgery_dsl.vocabulary import catalogue

    train: Trainable = catalogue.find("trainables", "all")()
    return train


# ---- lengths -----------------------------------------------------------------------------------------------------


def _length(state: State, step: Recover, sink: Sink) -> None:
    if (step.epochs is None) != (step.steps is None):
        return
    both = step.epochs is not None
    sink.say(
        Diagnostic(
            runs.NO_LENGTH,
            f"`{step.name}` says both `epochs` and `steps`"
            if both
            else f"`{step.name}` does not say how long it trains",
            file=state.file,
            span=step.spans.get("steps", step.span) if both else step.span,
            help="keep one of the two" if both else "add `epochs = 3`, `epochs = auto` or `steps = 200`",
        )
    )


def total_steps(step: Recover, plan: Plan, state: State) -> int | None:
    """Return how many optimizer steps a ``recover`` makes; ``None`` where that is not known before it runs."""
    if step.steps is not None:
        return step.steps
    if not isinstance(step.epochs, int) or not step.data:
        return None
    sets = [state.data[name] for name in step.data if name in state.data]
    if len(sets) < len(step.data):
        return None
    size = step.batch if isinstance(step.batch, int) else sets[0].batch
    return batches(sum(facts.count for facts in sets), size) * step.epochs


def batches(count: int, size: int) -> int:
    """Return how many batches an epoch has: data sets are joined, and a single left-over example joins a batch."""
    whole, rest = divmod(count, max(size, 1))
    return max(1, whole + (rest > 1))


def _schedules(state: State, step: Recover, plan: Plan, sink: Sink) -> None:
    total = total_steps(step, plan, state)
    if total is None:
        return
    for schedule in step.schedule:
        for field in ("warmup", "steps"):
            needed = getattr(schedule, field, None)
            if isinstance(needed, int) and needed > total:
                sink.say(
                    Diagnostic(
                        budgets.SCHEDULE_TOO_LONG,
                        f"`{field} = {needed}` is longer than the training: `{step.name}` makes {total} steps",
                        file=state.file,
                        span=schedule.span or step.spans.get("schedule", step.span),
                        facts={field: needed, "steps": total},
                        help=f"write `{field} = {max(1, total // 10)}`, or train longer",
                    )
                )


# ---- data --------------------------------------------------------------------------------------------------------


def data_fits(state: State, plan: Plan, name: str, sink: Sink) -> bool:
    """Report a data set whose examples do not fit the network's input; of several inputs, the set's first is judged."""
    facts = state.data.get(name)
    if facts is None:
        return True
    block = next((block for block in plan.data if block.name == name), None)
    ports = state.interface.inputs
    if len(ports) > 1:
        lacking = [port.name for port in ports if port.name not in facts.names]
        if lacking:
            sink.say(_input_lacks(state, facts, block, lacking[0]))
            return False
    port = ports[0] if len(ports) == 1 else next(port for port in ports if port.name in facts.names)
    if len(ports) > 1 and port.name != facts.names[0]:
        return True
    value = state.interface.values[port.value]
    wanted = [input_size(state.interface, dim) for dim in value.dims[1:]]
    fits = len(wanted) == len(facts.input_shape) and all(
        size.takes(length) for size, length in zip(wanted, facts.input_shape, strict=True)
    )
    if not fits:
        sink.say(_shape_mismatch(state, facts, block, port.name, wanted))
    elif _family(facts.input_dtype) != _family(value.dtype):
        sink.say(
            Diagnostic(
                budgets.DATA_DTYPE_MISMATCH,
                f"`{name}` holds {facts.input_dtype}, the network's input `{port.name}` takes {value.dtype}",
                file=state.file,
                span=_load_span(block),
                path=port.name,
                facts={"data": facts.input_dtype, "input": value.dtype},
                help=f"let the data set give {value.dtype}",
            )
        )
        return False
    return fits and _within(state, facts, block, port, sink)


def _within(state: State, facts: DataFacts, block: DataSet | None, port: Port, sink: Sink) -> bool:
    """Report numbers that the embedding which reads the input has no row for."""
    if facts.input_range is None:
        return True
    for operator in state.interface.operators:
        if operator.kind != "embedding" or port.value not in operator.inputs:
            continue
        weight = operator.tensors.get("weight", "")
        rows = state.interface.exact(state.interface.tensor_by_name[weight].dims[0]) if weight else None
        least, most = facts.input_range
        if rows is not None and (least < 0 or most >= rows):
            sink.say(
                Diagnostic(
                    budgets.DATA_SHAPE_MISMATCH,
                    f"`{facts.name}` holds the numbers {least} to {most}, `{weight}` has {rows} rows, 0 to {rows - 1}",
                    file=state.file,
                    span=_load_span(block),
                    path=operator.path,
                    facts={"least": least, "greatest": most, "rows": rows},
                    help="load the data with the model's own tokenizer",
                )
            )
            return False
    return True


def _input_lacks(state: State, facts: DataFacts, block: DataSet | None, port: str) -> Diagnostic:
    given = ", ".join(f"`{name}`" for name in facts.names) or "one unnamed tensor"
    return Diagnostic(
        budgets.DATA_SHAPE_MISMATCH,
        f"the network takes the input `{port}`, and `{facts.name}` gives {given}",
        file=state.file,
        span=_load_span(block),
        path=port,
        facts={"given": len(facts.names)},
        help="name inputs as the data does, or load data that gives every input",
    )


def _shape_mismatch(
    state: State, facts: DataFacts, block: DataSet | None, port: str, wanted: list[InputSize]
) -> Diagnostic:
    shape = ", ".join(str(size) for size in facts.input_shape)
    sizes = ", ".join(size.text for size in wanted)
    flat = len(wanted) == 1 and len(facts.input_shape) > 1 and wanted[0].takes(prod(facts.input_shape))
    flattened = flat and wanted[0].least == wanted[0].most
    pairs = zip(wanted, facts.input_shape, strict=False) if len(wanted) == len(facts.input_shape) else ()
    notes = tuple(size.why_not(length) for size, length in pairs if size.step > 1 and not size.takes(length))
    return Diagnostic(
        budgets.DATA_SHAPE_MISMATCH,
        f"an example of `{facts.name}` has shape [{shape}], the network's input `{port}` takes [{sizes}]",
        file=state.file,
        span=_load_span(block),
        path=port,
        facts={"data": f"[n, {shape}]", "input": f"[N, {sizes}]"},
        notes=notes,
        help="add `flat = true` to the loader" if flattened else "load data of the input's shape, or correct `input`",
    )


def _load_span(block: DataSet | None) -> Span | None:
    return None if block is None else block.spans.get("load", block.span)


def _family(dtype: str) -> str:
    return "float" if "f" in dtype else "bool" if dtype == "bool" else "int"
