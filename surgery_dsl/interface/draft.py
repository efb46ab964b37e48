"""Rewriting one interface into the next: the language in which static rules speak.

A :class:`Draft` holds the forward as a tree of module runs, so that inserting, replacing and dropping modules
needs no renumbering. :meth:`Draft.finish` returns the new, frozen :class:`Interface`.

Two conventions keep rewiring local. What is inserted after a module takes over the *outer* name of the module's
result, so that later readers need not change; only the module's own inside is renamed. What is inserted stands as
a child of its host and runs inside the host's call, as :mod:`surgery_dsl.modules.insertion` does at run time.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from surgery_dsl.interface.model import (
    Axis,
    Call,
    Dim,
    Interface,
    Module,
    Operator,
    Port,
    Setting,
    Size,
    Tensor,
    Value,
)
from surgery_dsl.interface.ties import with_made


@dataclass(slots=True, eq=False)
class Run:
    """One run of a module: its operators and the runs of its children, in order."""

    module: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...] = ()
    events: "list[Operator | Run]" = field(default_factory=list)

    def runs(self) -> "Iterator[Run]":
        """Yield this run and all runs inside it, in order of entry."""
        yield self
        for event in self.events:
            if isinstance(event, Run):
                yield from event.runs()

    def rename(self, old: int, new: int) -> None:
        """Let everything inside read and write ``new`` where it read and wrote ``old``."""

        def swap(values: tuple[int, ...]) -> tuple[int, ...]:
            return tuple(new if value == old else value for value in values)

        for index, event in enumerate(self.events):
            if isinstance(event, Run):
                event.inputs, event.outputs = swap(event.inputs), swap(event.outputs)
                event.rename(old, new)
            elif old in event.inputs or old in event.outputs:
                self.events[index] = event.replaced(inputs=swap(event.inputs), outputs=swap(event.outputs))

    def writes(self, value: int) -> bool:
        """Whether an operator inside writes the value."""
        return any(event.writes(value) if isinstance(event, Run) else value in event.outputs for event in self.events)


Builder = Callable[["Draft", int], tuple[list["Operator | Run"], int]]
"""Given a draft and the value that flows in, returns the new events and the value that flows out."""


class Draft:
    """A mutable copy of an interface."""

    def __init__(self, interface: Interface) -> None:
        self.before = interface
        self.axes = list(interface.axes)
        self.tensors = dict(interface.tensor_by_name)
        self.modules = dict(interface.module_by_path)
        self.values = list(interface.values)
        self.inputs = interface.inputs
        self.outputs = interface.outputs
        self.size_ties = interface.size_ties
        self.size_branches = interface.size_branches
        self.indexed = interface.indexed
        self.root = _tree(interface)
        self._same: dict[int, int] = {}

    # ---- parts -------------------------------------------------------------------------------------------------

    def new_axis(self, size: Size, label: str, frozen: str = "") -> int:
        """Add a leaf axis and return its id."""
        self.axes.append(Axis(id=len(self.axes), size=size, label=label, frozen=frozen))
        return len(self.axes) - 1

    def resize(self, axis: int, size: Size) -> None:
        """Give a leaf axis another size."""
        self.axes[axis] = self.axes[axis].replaced(size=size)

    def new_value(self, dtype: str, dims: tuple[Dim, ...]) -> int:
        """Add a value and return its id."""
        self.values.append(Value.model_construct(dtype=dtype, dims=dims))
        return len(self.values) - 1

    def add_tensor(
        self,
        name: str,
        role: Literal["parameter", "buffer"],
        dtype: str,
        dims: tuple[Dim, ...],
        persistent: bool = True,
    ) -> None:
        """Add or replace a parameter (``role="parameter"``) or buffer."""
        self.tensors[name] = Tensor(name=name, role=role, dtype=dtype, dims=dims, persistent=persistent)

    def drop_tensor(self, name: str) -> None:
        """Remove a tensor; the first of those tied to it becomes the owner."""
        del self.tensors[name]
        tied = [t for t in self.tensors.values() if t.tied_to == name]
        for position, tensor in enumerate(tied):
            self.tensors[tensor.name] = tensor.replaced(tied_to=tied[0].name if position else "")

    def add_module(self, path: str, type_name: str, integers: Mapping[str, Dim] | None = None) -> None:
        """Add a module or change the type of the one at ``path``."""
        self.modules[path] = Module(path=path, type=type_name, integers=dict(integers or {}))

    def drop_module(self, path: str) -> None:
        """Remove a module, everything below it, and their tensors."""
        below = path + "."
        for name in [p for p in self.modules if p == path or p.startswith(below)]:
            del self.modules[name]
        for name in [t for t in self.tensors if t.startswith(below)]:
            self.drop_tensor(name)

    def clear_module(self, path: str) -> None:
        """Remove everything below a module and its own tensors, but keep the module's entry."""
        module = self.modules[path]
        self.drop_module(path)
        self.modules[path] = module

    # ---- the forward -------------------------------------------------------------------------------------------

    def runs_of(self, path: str) -> list[Run]:
        """Return every run of the module object that stands at ``path``."""
        owner = self.modules[path].same_as or path
        return [run for run in self.root.runs() if run.module == owner]

    def operators(self) -> Iterator[Operator]:
        """Yield the operators in the order of execution."""
        for event, _ in _walk(self.root):
            if isinstance(event, Operator):
                yield event

    def replace_operator(self, old: Operator, events: "list[Operator | Run]") -> None:
        """Put other events in the place of one operator; they must write what it wrote."""
        for run in self.root.runs():
            for index, event in enumerate(run.events):
                if event is old:
                    run.events[index : index + 1] = events
                    return
        raise LookupError(old.path)

    def insert_after(self, run: Run, build: Builder) -> None:
        """Let new events read the single result of a run, inside the run, and take over its place."""
        (outer,) = run.outputs
        if run.writes(outer):
            inner = self.new_value(self.values[outer].dtype, self.values[outer].dims)
            run.rename(outer, inner)
            events, result = build(self, inner)
            run.events.extend(events)
            self._take_over(run, result, outer)
        else:  # the run hands its input through: later readers must be renamed
            events, result = build(self, outer)
            run.events.extend(events)
            run.outputs = (result,)
            self._rename_later(run, outer, result)

    def insert_before(self, run: Run, build: Builder) -> None:
        """Let a run read what new events make of its first input; the events stand inside the run."""
        first = run.inputs[0]
        events, result = build(self, first)
        run.rename(first, result)
        run.events[0:0] = events

    def replace_body(self, run: Run, build: Builder) -> None:
        """Let new events compute the run's single result from its first input."""
        (outer,) = run.outputs
        run.events = []
        events, result = build(self, run.inputs[0])
        run.events = events
        self._take_over(run, result, outer)

    def bypass(self, run: Run) -> None:
        """Remove a run: whoever read its single result reads its first input."""
        for parent in self.root.runs():
            if run in parent.events:
                parent.events.remove(run)
        self._same[run.outputs[0]] = run.inputs[0]

    def stand_for(self, gone: int, value: int) -> None:
        """Let whoever reads ``gone``, which nothing writes any more, read ``value``."""
        self._same[gone] = value

    @property
    def stand_ins(self) -> Mapping[int, int]:
        """Values that nothing writes any more, and what is read in their place."""
        return self._same

    def _take_over(self, run: Run, result: int, outer: int) -> None:
        """Let ``run`` write ``outer`` where it wrote ``result``."""
        self.values[outer] = self.values[result]
        run.rename(result, outer)
        run.outputs = (outer,)

    def _rename_later(self, run: Run, old: int, new: int) -> None:
        seen = False
        for event, parents in list(_walk(self.root)):
            if event is run:
                seen = True
                for parent in parents:
                    parent.outputs = tuple(new if value == old else value for value in parent.outputs)
                continue
            if not seen or run in parents:
                continue
            if isinstance(event, Run):
                event.inputs = tuple(new if value == old else value for value in event.inputs)
                event.outputs = tuple(new if value == old else value for value in event.outputs)
            elif old in event.inputs:
                index = parents[-1].events.index(event)
                inputs = tuple(new if value == old else value for value in event.inputs)
                parents[-1].events[index] = event.replaced(inputs=inputs)
        self.outputs = tuple(port.replaced(value=new) if port.value == old else port for port in self.outputs)

    # ---- the end -----------------------------------------------------------------------------------------------

    def finish(self) -> Interface:
        """Return the interface as it is now; values that nothing writes or reads any more are dropped."""
        return with_made(_flatten(self))


def operator(
    kind: str,
    path: str,
    module: str,
    inputs: tuple[int, ...],
    outputs: tuple[int, ...],
    tensors: Mapping[str, str] | None = None,
    settings: Mapping[str, Setting] | None = None,
    macs: tuple[Dim, ...] = (),
) -> Operator:
    """Build an operator as the tracer would record it."""
    return Operator(
        kind=kind,
        path=path,
        module=module,
        inputs=inputs,
        outputs=outputs,
        tensors=dict(tensors or {}),
        settings=dict(settings or {}),
        macs=macs,
    )


def _tree(interface: Interface) -> Run:
    runs = [Run(call.module, call.inputs, call.outputs) for call in interface.calls]
    position = 0
    open_calls: list[int] = []

    def advance(to: int) -> None:
        nonlocal position
        while position < to:
            while interface.calls[open_calls[-1]].last <= position:
                open_calls.pop()
            runs[open_calls[-1]].events.append(interface.operators[position])
            position += 1

    for index, call in enumerate(interface.calls):
        if open_calls:
            advance(call.first)
            while open_calls[-1] != call.parent:
                open_calls.pop()
            runs[call.parent].events.append(runs[index])
        open_calls.append(index)
    advance(len(interface.operators))
    return runs[0]


def _walk(run: Run, parents: "tuple[Run, ...]" = ()) -> "Iterator[tuple[Operator | Run, tuple[Run, ...]]]":
    for event in run.events:
        yield event, (*parents, run)
        if isinstance(event, Run):
            yield from _walk(event, (*parents, run))


def _flatten(draft: Draft) -> Interface:
    operators: list[Operator] = []
    calls: list[Call | None] = []

    def same(value: int) -> int:
        while value in draft._same:
            value = draft._same[value]
        return value

    def many(values: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(same(value) for value in values) if draft._same else values

    def visit(run: Run, parent: int) -> None:
        index, first = len(calls), len(operators)
        calls.append(None)
        for event in run.events:
            if isinstance(event, Run):
                visit(event, index)
            else:
                operators.append(event.replaced(inputs=many(event.inputs)) if draft._same else event)
        calls[index] = Call.model_construct(
            module=run.module,
            parent=parent,
            first=first,
            last=len(operators),
            inputs=many(run.inputs),
            outputs=many(run.outputs),
        )

    visit(draft.root, -1)
    outputs = tuple(Port(name=port.name, value=same(port.value)) for port in draft.outputs)
    return draft.before.replaced(
        axes=tuple(draft.axes),
        tensors=tuple(draft.tensors.values()),
        modules=tuple(draft.modules.values()),
        values=tuple(draft.values),
        operators=tuple(operators),
        calls=tuple(calls),
        outputs=outputs,
        size_ties=draft.size_ties,
        size_branches=draft.size_branches,
        indexed=draft.indexed,
    )
