"""Joining what torch splits: one linear layer, not a view, a matrix product, a view and an addition."""

from collections import Counter

from surgery_dsl.trace.atoms import flat
from surgery_dsl.trace.propagate import Flow, OperatorDraft


def fold(flow: Flow, kept: set[int]) -> None:
    """Join operators, and forget side results that nothing reads (indices of a pooling, statistics of a norm).

    Args:
        flow: What following the axes gave; changed in place.
        kept: Values that must stay: the network's outputs, and what modules take and hand on.
    """
    folder = _Folder(flow, kept)
    for position, operator in enumerate(flow.operators):
        if operator.kind in ("linear", "matmul", "addmm"):
            folder.views(position)
        if operator.kind == "linear" and "bias" not in operator.tensors:
            folder.bias(position)
        if operator.kind == "batch_norm":
            folder.instances(position)
    flow.operators = [operator for i, operator in enumerate(flow.operators) if i not in folder.gone]
    read = {value for operator in flow.operators for value in operator.inputs} | kept
    for operator in flow.operators:
        operator.outputs = [v for i, v in enumerate(operator.outputs) if i == 0 or v in read]


class _Folder:
    def __init__(self, flow: Flow, kept: set[int]) -> None:
        self.flow = flow
        self.kept = kept
        self.gone: set[int] = set()
        self.uses = Counter(value for operator in flow.operators for value in operator.inputs)
        self.writer = {value: i for i, operator in enumerate(flow.operators) for value in operator.outputs}
        self.reader = {value: i for i, operator in enumerate(flow.operators) for value in operator.inputs}

    def _dims(self, value: int) -> list[list[int]]:
        return [[id(atom) for atom in flat(dim)] for dim in self.flow.values[value].dims]

    def _only_reader(self, value: int, run: int) -> OperatorDraft | None:
        """Return the operator of the same module run that alone reads a value."""
        if self.uses[value] != 1 or value in self.kept:
            return None
        reader = self.flow.operators[self.reader[value]]
        return reader if reader.run == run else None

    def _unmerged(self, value: int, run: int) -> int | None:
        """Return what a view made the value from."""
        at = self.writer.get(value)
        if at is None or self.uses[value] != 1 or value in self.kept:
            return None
        view = self.flow.operators[at]
        return view.inputs[0] if view.kind == "view" and view.run == run else None

    def views(self, position: int) -> None:
        """Take the views around a product that merge its leading dimensions, and take them apart again, into it."""
        operator = self.flow.operators[position]
        out = operator.outputs[0]
        after = self._only_reader(out, operator.run)
        if after is None or after.kind != "view":
            return
        sources = [self._unmerged(value, operator.run) for value in operator.inputs]
        found = [source for source in sources if source is not None]
        if len(found) < len(sources):
            return
        result, flat_out = self._dims(after.outputs[0]), self._dims(out)
        tail = len(flat_out) - 1
        lead = result[:-tail]
        same = result[-tail:] == flat_out[1:] and [a for dim in lead for a in dim] == flat_out[0]
        for source, value in zip(found, operator.inputs, strict=True):
            dims = self._dims(source)
            same = same and dims[:-tail] == lead and dims[-tail:] == self._dims(value)[1:]
        if not same:
            return
        self.gone |= {self.writer[value] for value in operator.inputs} | {self.reader[out]}
        operator.inputs = found
        operator.outputs = [after.outputs[0]]
        self.writer[after.outputs[0]] = position
        self.reader |= dict.fromkeys(found, position)

    def instances(self, position: int) -> None:
        """Recognise an instance norm: torch views the batch as channels, norms them, and views them back."""
        operator = self.flow.operators[position]
        out = operator.outputs[0]
        after, source = self._only_reader(out, operator.run), self._unmerged(operator.inputs[0], operator.run)
        if after is None or after.kind != "view" or source is None:
            return
        if self._dims(source) != self._dims(after.outputs[0]):
            return
        self.gone |= {self.writer[operator.inputs[0]], self.reader[out]}
        operator.kind, operator.inputs, operator.outputs = "instance_norm", [source], [after.outputs[0]]
        self.writer[after.outputs[0]] = position
        self.reader[source] = position

    def bias(self, position: int) -> None:
        """Take the addition of a bias vector that belongs to the same module into a linear layer."""
        operator = self.flow.operators[position]
        out = operator.outputs[0]
        add = self._only_reader(out, operator.run)
        if add is None or add.kind != "add" or add.settings or len(add.tensors) != 1 or add.inputs != [out]:
            return
        (name,) = add.tensors.values()
        owners = {tensor.rpartition(".")[0] for tensor in (name, operator.tensors["weight"])}
        if len(owners) > 1 or self._dims(add.outputs[0]) != self._dims(out):
            return
        operator.tensors = {**operator.tensors, "bias": name}
        operator.outputs = [add.outputs[0]]
        self.gone.add(self.reader[out])
        self.writer[add.outputs[0]] = position
