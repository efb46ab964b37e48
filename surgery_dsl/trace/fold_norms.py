"""Joining the steps of a root-mean-square norm that a module writes out: x · (mean(x²) + ε)^(−1/2) · weight."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from surgery_dsl.trace.atoms import flat
from surgery_dsl.trace.propagate import Flow, OperatorDraft
from surgery_dsl.trace.recorder import Record


def fold_rms_norms(flow: Flow, kept: set[int], records: Sequence[Record]) -> None:
    """Put one operator ``rms_norm`` in the place of each chain of steps that is one.

    Source: Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", equation 4, as decoders of the Llama
    family compute it. Casts in between are part of it. The scale stands as ``weight`` where it is a parameter as it
    is, as ``computed_weight`` where it is made from one (1 + weight).

    Args:
        flow: What following the axes gave; changed in place.
        kept: Values that must stay.
        records: The recorded calls.
    """
    finder = _Finder(flow, kept, records)
    gone: set[int] = set()
    for position, operator in enumerate(flow.operators):
        if operator.kind == "rsqrt":
            gone |= finder.fold(position)
    flow.operators = [operator for i, operator in enumerate(flow.operators) if i not in gone]


@dataclass(frozen=True)
class _Scaled:
    """The end of a chain: positions of its operators, the last one's result, and the scale."""

    positions: tuple[int, ...]
    output: int
    role: str
    name: str


class _Finder:
    def __init__(self, flow: Flow, kept: set[int], records: Sequence[Record]) -> None:
        self.flow = flow
        self.kept = kept
        self.records = records
        self.writer = {value: i for i, operator in enumerate(flow.operators) for value in operator.outputs}
        self.readers: dict[int, list[int]] = {}
        for i, operator in enumerate(flow.operators):
            for value in dict.fromkeys(operator.inputs):
                self.readers.setdefault(value, []).append(i)

    def fold(self, position: int) -> set[int]:
        """Make the operator at the end of a chain the norm; return the positions of the others."""
        operators = self.flow.operators
        root = operators[position]
        before = self._before(root)
        times = self._only(root.outputs[0], "mul", root.run)
        if before is None or times is None:
            return set()
        positions, source, eps = before
        other = [value for value in operators[times].inputs if value != root.outputs[0]]
        if len(other) != 1 or self._uncast(other[0], root.run)[1] != source or operators[times].settings:
            return set()
        end = self._scaled(operators[times].outputs[0], root.run)
        cast = self._uncast(other[0], root.run)[0]
        inner = {*positions, *cast, position, times}
        if end is None or not self._closed({*inner, *end.positions[:-1]}, {*inner, *end.positions}):
            return set()
        last = operators[end.positions[-1]]
        last.kind, last.inputs, last.tensors = "rms_norm", [source], {end.role: end.name}
        last.settings = {"eps": eps, "rank": 1}
        return {*inner, *end.positions[:-1]}

    def _closed(self, positions: set[int], chain: set[int]) -> bool:
        """Say whether nothing outside a chain reads what its inner operators write."""
        for position in positions:
            for value in self.flow.operators[position].outputs:
                if value in self.kept or not set(self.readers.get(value, ())) <= chain:
                    return False
        return True

    def _before(self, root: OperatorDraft) -> tuple[list[int], int, float] | None:
        """Return the steps from the input to the mean plus ε, the input, and ε."""
        added = self._written(root.inputs, "add", root.run)
        if added is None:
            return None
        eps = self.flow.operators[added].settings.get("other")
        mean = self._written(self.flow.operators[added].inputs, "mean", root.run)
        if mean is None or not isinstance(eps, float) or self.flow.operators[added].tensors:
            return None
        square = self._squared(self.flow.operators[mean].inputs[0], root.run)
        settings = self.flow.operators[mean].settings
        if square is None or not settings.get("keepdim"):
            return None
        rank = len(self.flow.values[self.flow.operators[mean].inputs[0]].dims)
        if settings.get("dim") != (rank - 1,):
            return None
        cast, source = self._uncast(self.flow.operators[square].inputs[0], root.run)
        return [added, mean, square, *cast], source, eps

    def _squared(self, value: int, run: int) -> int | None:
        at = self.writer.get(value)
        if at is None or self.flow.operators[at].run != run:
            return None
        operator = self.flow.operators[at]
        power = operator.kind == "pow" and operator.settings == {"exponent": 2} and len(operator.inputs) == 1
        itself = operator.kind == "mul" and len(operator.inputs) == 2 and len(set(operator.inputs)) == 1
        return at if power or itself or operator.kind == "square" else None

    def _scaled(self, value: int, run: int) -> _Scaled | None:
        """Return the cast and the product with the weight behind a normalised value."""
        positions: list[int] = []
        while (cast := self._only(value, "cast", run)) is not None:
            positions.append(cast)
            value = self.flow.operators[cast].outputs[0]
        times = self._only(value, "mul", run)
        if times is None:
            return None
        operator = self.flow.operators[times]
        if operator.inputs != [value] or len(operator.tensors) != 1 or operator.settings:
            return None
        ((argument, name),) = operator.tensors.items()
        reference = self.records[operator.record].arguments.get(argument)
        state = None if reference is None else self.flow.states[reference]
        last = [id(atom) for atom in flat(self.flow.values[value].dims[-1])]
        if state is None or len(state.dims) != 1 or [id(atom) for atom in flat(state.dims[0])] != last:
            return None
        role = "weight" if state.order is not None else "computed_weight"
        return _Scaled((*positions, times), operator.outputs[0], role, name)

    def _written(self, values: list[int], kind: str, run: int) -> int | None:
        """Return the operator of a kind that writes the only value."""
        at = self.writer.get(values[0]) if len(values) == 1 else None
        if at is None or self.flow.operators[at].kind != kind or self.flow.operators[at].run != run:
            return None
        return at

    def _only(self, value: int, kind: str, run: int) -> int | None:
        """Return the operator of a kind that alone reads a value."""
        readers = self.readers.get(value, [])
        if len(readers) != 1 or value in self.kept:
            return None
        operator = self.flow.operators[readers[0]]
        return readers[0] if operator.kind == kind and operator.run == run else None

    def _uncast(self, value: int, run: int) -> tuple[tuple[int, ...], int]:
        """Return the casts of the same module behind which a value stands, and the value in front of them."""
        found: list[int] = []
        while (at := self._written([value], "cast", run)) is not None:
            found.append(at)
            value = self.flow.operators[at].inputs[0]
        return tuple(found), value


def is_written_out(operator: OperatorDraft, own: Counter[int]) -> bool:
    """Say whether a norm that was joined is all that its module does, so that the module's path names it."""
    return operator.kind == "rms_norm" and own[operator.run] == 1
