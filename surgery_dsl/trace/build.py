"""From followed axes to the frozen interface."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor as TorchTensor
from torch import nn

from surgery_dsl.interface import frozen
from surgery_dsl.interface.model import (
    Axis,
    Call,
    Dim,
    FreeSize,
    Interface,
    Module,
    Operator,
    Port,
    Requirement,
    SizeBranch,
    SizeTie,
    Tensor,
    Value,
)
from surgery_dsl.modules.insertion import inserted, own_class
from surgery_dsl.trace.atoms import Atom, Product, UnknownSize, distinct_leaves, flat, leaves
from surgery_dsl.trace.dtypes import name_of
from surgery_dsl.trace.experts import number_of_experts
from surgery_dsl.trace.fold import fold
from surgery_dsl.trace.fold_norms import fold_rms_norms, is_written_out
from surgery_dsl.trace.fold_written import fold_written
from surgery_dsl.trace.freezing import freeze_places
from surgery_dsl.trace.integers import Solution
from surgery_dsl.trace.numbering import numbered
from surgery_dsl.trace.propagate import Flow, OperatorDraft, ValueDraft
from surgery_dsl.trace.recorder import ModuleRun, Recording, Ref
from surgery_dsl.trace.standard import FROM_TENSORS, OTHER_NAMES, is_one_operator
from surgery_dsl.trace.walking import named_modules


@dataclass(slots=True)
class TensorFacts:
    """A parameter or buffer as the real model has it."""

    name: str
    tensor: TorchTensor
    is_parameter: bool
    persistent: bool
    owner: str


def build(
    model: nn.Module,
    recording: Recording,
    flow: Flow,
    facts: Sequence[TensorFacts],
    input_names: Sequence[str],
    output_names: Sequence[str],
    free: tuple[FreeSize, ...],
    solution: Solution,
) -> tuple[Interface, dict[int, int]]:
    """Return the interface, and the number of each axis by the ``id`` of its atom.

    ``output_names`` go with ``recording.outputs``; ``solution`` says what integers of the code stand for.
    """
    kept = {flow.states[ref].value for _, ref in recording.outputs}
    for run in recording.runs:
        kept |= set(_values(flow, (*run.inputs, *run.outputs)))
    fold_rms_norms(flow, kept, recording.records)
    fold_written(flow, kept, recording.records)
    fold(flow, kept)
    freeze_places(flow, recording, facts)
    everywhere = dict(named_modules(model, duplicates=True))
    builder = _Builder(flow, {})
    for path, module in everywhere.items():
        builder.paths.setdefault(id(module), path)
    owned, read = _owned(recording, flow), _read(solution)
    for ref in recording.inputs:
        builder.dims(flow.states[ref].dims)
    tensors = tuple(builder.tensor(fact, recording) for fact in facts)
    builder.tensors = {tensor.name: tensor for tensor in tensors}
    inputs = [flow.states[ref].value for ref in recording.inputs]
    outputs = [flow.states[ref].value for _, ref in recording.outputs]
    order = builder.order = _order_of_values(recording, flow, {*inputs, *outputs})
    paths = _operator_paths(everywhere, recording, flow)
    operators = tuple(
        builder.operator(draft, path, recording) for draft, path in zip(flow.operators, paths, strict=True)
    )
    calls = builder.calls(recording)
    modules = tuple(builder.module(path, everywhere, owned, read) for path in everywhere)
    ties, branches = builder.ties(solution, facts, recording), builder.branches(solution, facts, recording)
    modules = numbered(model, modules)
    values = tuple(builder.value(flow.values[old]) for old in order)
    builder.label(facts, recording, input_names, order)
    interface = Interface.made(
        network=type_name(model),
        axes=builder.axes(),
        tensors=tensors,
        modules=modules,
        values=values,
        operators=operators,
        calls=calls,
        inputs=_ports(input_names, [order[value] for value in inputs]),
        outputs=_ports(output_names, [order[value] for value in outputs]),
        free=free,
        requirements=_requirements(flow, operators),
        size_ties=ties,
        size_branches=branches,
    )
    return interface, builder.numbers


def type_name(module: nn.Module) -> str:
    """Return the qualified class of a module; torch's own classes in their public spelling."""
    kind = own_class(module)
    if getattr(nn, kind.__name__, None) is kind:
        return f"torch.nn.{kind.__name__}"
    return f"{kind.__module__}.{kind.__qualname__}"


def _ports(names: Sequence[str], values: Sequence[int]) -> tuple[Port, ...]:
    return tuple(Port.made(name=name, value=value) for name, value in zip(names, values, strict=True))


def _values(flow: Flow, refs: Iterable[Ref]) -> tuple[int, ...]:
    return tuple(state.value for state in (flow.states[ref] for ref in refs) if state.active)


def _order_of_values(recording: Recording, flow: Flow, ends: set[int]) -> dict[int, int]:
    """Return the number in the interface of each value that anything there reads or writes."""
    used = set(ends)
    for draft in flow.operators:
        used.update(draft.inputs)
        used.update(draft.outputs)
    for run in recording.runs:
        used.update(_values(flow, run.inputs))
        used.update(_values(flow, run.outputs))
    return {old: new for new, old in enumerate(sorted(used))}


def _operator_paths(by_path: Mapping[str, nn.Module], recording: Recording, flow: Flow) -> list[str]:
    """Return the path of each operator: its module's where that is all the module does, else ``module/kind#n``."""
    own = Counter(draft.run for draft in flow.operators)
    parents = {run.parent for run in recording.runs if run.parent >= 0 and not _is_inserted(run, recording, by_path)}
    seen: Counter[tuple[int, str]] = Counter()
    paths = []
    for draft in flow.operators:
        path = recording.runs[draft.run].path
        alone = own[draft.run] == 1 and draft.run not in parents and path
        if alone and (is_one_operator(by_path[path]) or is_written_out(draft, own)):
            paths.append(path)
        else:
            paths.append(f"{path}/{draft.kind}#{seen[draft.run, draft.kind]}")
        seen[draft.run, draft.kind] += 1
    return paths


def _is_inserted(run: ModuleRun, recording: Recording, by_path: Mapping[str, nn.Module]) -> bool:
    """Say whether a module was inserted into the one that runs it, and so is no part of that one's own forward."""
    host, _, name = run.path.rpartition(".")
    return recording.runs[run.parent].path == host and name in inserted(by_path[host])


def _inserted_where(path: str, everywhere: Mapping[str, nn.Module]) -> str:
    host, _, name = path.rpartition(".")
    return inserted(everywhere[host]).get(name, "") if path else ""


def _owned(recording: Recording, flow: Flow) -> dict[str, dict[str, Product]]:
    """Return, for each module, what integer attributes its own operators give sizes to."""
    owned: dict[str, dict[str, Product]] = {}
    for draft in flow.operators:
        if draft.sizes:
            owned.setdefault(recording.runs[draft.run].path, {}).update(draft.sizes)
    return owned


def _read(solution: Solution) -> dict[str, dict[str, Product]]:
    """Return, for each module, the integers that its forward reads as sizes."""
    read: dict[str, dict[str, Product]] = {}
    for (path, attribute), product in solution.integers.items():
        read.setdefault(path, {})[attribute] = product
    return read


def _requirements(flow: Flow, operators: Sequence[Operator]) -> tuple[Requirement, ...]:
    """Name, for each requirement, the operator that needs it: the one recorded at or after the call."""
    records = [draft.record for draft in flow.operators]
    out = []
    for (relation, left, right), (record, reason) in flow.axes.requirements.items():
        at = next((i for i, position in enumerate(records) if position >= record), len(records) - 1)
        path = operators[at].path if operators else ""
        out.append(Requirement.made(relation=relation, left=left, right=right, operator=path, reason=reason))
    return tuple(out)


@dataclass(slots=True)
class _Builder:
    flow: Flow
    paths: dict[int, str]
    numbers: dict[int, int] = field(default_factory=dict)
    atoms: list[Atom] = field(default_factory=list)
    labels: dict[int, str] = field(default_factory=dict)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    order: dict[int, int] = field(default_factory=dict)

    def dim(self, product: Iterable[Atom]) -> Dim:
        """Return the axis numbers of a dimension."""
        numbers = []
        for atom in flat(product):
            number = self.numbers.get(id(atom))
            if number is None:
                number = self.numbers[id(atom)] = len(self.atoms)
                self.atoms.append(atom)
            numbers.append(number)
        return tuple(numbers)

    def dims(self, products: Iterable[Product]) -> tuple[Dim, ...]:
        return tuple(self.dim(product) for product in products)

    def axes(self) -> tuple[Axis, ...]:
        """Return all axes that have a number; the parts of sums get theirs on the way."""
        axes: list[Axis] = []
        position = 0
        while position < len(self.atoms):
            atom = self.atoms[position]
            parts = tuple(self.dim(part) for part in atom.parts) if atom.parts is not None else ()
            reason = "" if parts else min(atom.frozen, key=frozen.rank, default="")
            size = 0 if parts else atom.expression
            if size is None:
                raise UnknownSize(self.labels.get(id(atom), ""), atom.sizes)
            if not reason and not isinstance(size, int):
                reason = frozen.FREE if isinstance(size, str) else frozen.SPATIAL
            axes.append(
                Axis.made(id=position, size=size, label=self.labels.get(id(atom), ""), parts=parts, frozen=reason)
            )
            position += 1
        return tuple(axes)

    def label(
        self,
        facts: Sequence[TensorFacts],
        recording: Recording,
        input_names: Sequence[str],
        order: dict[int, int],
    ) -> None:
        """Name each axis by the first tensor dimension that carries it, else by an input or a value."""
        for fact in facts:
            self._label(fact.name, self.flow.states[recording.tensors[fact.name]].dims)
        for name, ref in zip(input_names, recording.inputs, strict=True):
            self._label(name, self.flow.states[ref].dims)
        for old, new in order.items():
            self._label(f"value {new}", self.flow.values[old].dims)

    def _label(self, name: str, dims: Sequence[Product]) -> None:
        for position, dim in enumerate(dims):
            self._label_atoms(f"{name}[{position}]", flat(dim))

    def _label_atoms(self, name: str, atoms: Product) -> None:
        for position, atom in enumerate(atoms):
            if id(atom) in self.labels:
                continue
            self.labels[id(atom)] = own = name if len(atoms) == 1 else f"{name}.{position}"
            for index, part in enumerate(atom.parts or ()):
                self._label_atoms(f"{own}.{index}", flat(part))

    def value(self, draft: ValueDraft) -> Value:
        return Value.made(dtype=draft.dtype, dims=self.dims(draft.dims))

    def operator(self, draft: OperatorDraft, path: str, recording: Recording) -> Operator:
        return Operator.made(
            kind=draft.kind,
            path=path,
            module=recording.runs[draft.run].path,
            inputs=tuple(self.order[value] for value in draft.inputs),
            outputs=tuple(self.order[value] for value in draft.outputs),
            tensors=draft.tensors,
            settings=draft.settings,
            macs=self.dims(draft.macs),
            source=draft.source,
        )

    def calls(self, recording: Recording) -> tuple[Call, ...]:
        records = [draft.record for draft in self.flow.operators]
        counts = [0] * (max(len(recording.records), 1) + 1)
        for record in records:
            counts[record + 1] += 1
        for i in range(1, len(counts)):
            counts[i] += counts[i - 1]
        out = []
        for run in recording.runs:
            out.append(
                Call.made(
                    module=run.path,
                    parent=run.parent,
                    first=counts[run.first],
                    last=counts[run.last],
                    inputs=tuple(self.order[value] for value in _values(self.flow, run.inputs)),
                    outputs=tuple(self.order[value] for value in _values(self.flow, run.outputs)),
                )
            )
        return tuple(out)

    def tensor(self, fact: TensorFacts, recording: Recording) -> Tensor:
        return Tensor.made(
            name=fact.name,
            role="parameter" if fact.is_parameter else "buffer",
            dtype=name_of(fact.tensor.dtype),
            dims=self.dims(self.flow.states[recording.tensors[fact.name]].dims),
            persistent=fact.persistent,
            tied_to="" if fact.owner == fact.name else fact.owner,
        )

    def module(
        self,
        path: str,
        everywhere: Mapping[str, nn.Module],
        owned: dict[str, dict[str, Product]],
        read: dict[str, dict[str, Product]],
    ) -> Module:
        module = everywhere[path]
        first = self.paths[id(module)]
        integers: dict[str, Dim] = {}
        if first == path:
            integers = {name: self.dim(product) for name, product in read.get(path, {}).items()}
            integers |= self._integers(path, module, owned.get(path, {}))
            integers = number_of_experts(path, module, self.tensors) | integers
        return Module.made(
            path=path,
            type=type_name(module),
            integers=integers,
            same_as="" if first == path else first,
            inserted=_inserted_where(path, everywhere),
        )

    def _carried(self, facts: Sequence[TensorFacts], recording: Recording) -> set[int]:
        states = (self.flow.states[recording.tensors[fact.name]] for fact in facts)
        return {id(leaf) for leaf in distinct_leaves(dim for state in states for dim in state.dims)}

    def branches(
        self, solution: Solution, facts: Sequence[TensorFacts], recording: Recording
    ) -> tuple[SizeBranch, ...]:
        """Return what the forward asks of sizes that a change of tensors can change."""
        carried = self._carried(facts, recording)
        return tuple(
            SizeBranch(dim=self.dim(product), relation="==" if relation == "==" else "<", number=number, reason=name)
            for product, relation, number, name in solution.branches
            if any(id(leaf) in carried for leaf in leaves(product)) and self._can_follow((product,), name)
        )

    def ties(self, solution: Solution, facts: Sequence[TensorFacts], recording: Recording) -> tuple[SizeTie, ...]:
        """Return the ties that a change of tensors can break: those with an axis that a parameter or buffer carries."""
        carried = self._carried(facts, recording)
        return tuple(
            SizeTie.made(dims=self.dims(tie.sides), reason=tie.reason, factors=tie.factors)
            for tie in solution.ties
            if any(id(leaf) in carried for side in tie.sides for leaf in leaves(side))
            and self._can_follow(tie.sides, tie.reason)
        )

    def _can_follow(self, sides: Sequence[Product], reason: str) -> bool:
        """Say whether all sizes are known; freeze them where one is not: a mask of the forward's own, say."""
        if all(leaf.expression is not None for side in sides for leaf in leaves(side)):
            return True
        for side in sides:
            self.flow.axes.freeze(side, frozen.tied(reason))
        return False

    def _integers(self, path: str, module: nn.Module, sizes: dict[str, Product]) -> dict[str, Dim]:
        found: dict[str, Dim] = {}
        declared = getattr(type(module), "axis_integers", None) or FROM_TENSORS.get(type_name(module))
        if declared is not None:
            prefix = path + "." if path else ""
            for attribute, (name, position) in declared.items():
                tensor = self.tensors.get(prefix + name)
                if tensor is not None and position < len(tensor.dims):
                    found[attribute] = tensor.dims[position]
        elif is_one_operator(module):
            sizes = sizes | {short: sizes[long] for short, long in OTHER_NAMES.items() if long in sizes}
            for attribute, product in sizes.items():
                owner, _, entry = attribute.partition(".")
                held = getattr(module, owner, None)
                if entry and isinstance(held, tuple | list):
                    held = held[int(entry)]
                if type(held) is int and self.flow.axes.infer(self.flow.axes.sizes(product)) == held:
                    found[attribute] = self.dim(product)
        return found
