"""Recognising modules that write out what torch has one operator for: GELU by tanh, layer norms, plain RMS norms."""

from collections import Counter
from collections.abc import Sequence
from math import pi, sqrt
from typing import Final, final

from surgery_dsl.interface.model import Setting
from surgery_dsl.trace.atoms import flat
from surgery_dsl.trace.propagate import Flow, OperatorDraft
from surgery_dsl.trace.recorder import Record

_LONGEST: Final = 16
"""Steps of the longest chain that is recognised, with casts."""

_GELU: Final = f"mul(add(1,tanh(mul({sqrt(2 / pi):.5f},add(mul(0.04471,pow(x,3)),x)))),mul(0.5,x))"
_CENTRED: Final = "sub(x,mean(x))"
_NORMS: Final = {
    kind: (f"div({top},sqrt(add(eps,mean(pow({top},2)))))", f"mul(rsqrt(add(eps,mean(pow({top},2)))),{top})")
    for kind, top in (("layer_norm", _CENTRED), ("rms_norm", "x"))
}


def fold_written(flow: Flow, kept: set[int], records: Sequence[Record]) -> None:
    """Put one operator in the place of all that a module does, where that is one of torch's operators written out.

    Sources: Hendrycks and Gimpel, arXiv:1606.08415, section 2 (GELU by tanh); Ba et al., arXiv:1607.06450, equation 4
    (layer norm); Zhang and Sennrich 2019, equation 4 (RMS norm).

    Args:
        flow: What following the axes gave; changed in place.
        kept: Values that must stay.
        records: The recorded calls.
    """
    runs: dict[int, list[int]] = {}
    for position, operator in enumerate(flow.operators):
        runs.setdefault(operator.run, []).append(position)
    readers = Counter(value for operator in flow.operators for value in set(operator.inputs))
    gone: set[int] = set()
    for positions in runs.values():
        steps = [flow.operators[position] for position in positions]
        if 4 < len(steps) <= _LONGEST and positions[-1] - positions[0] == len(steps) - 1:
            written = _Written(steps, flow, records)
            if written.closed(kept, readers) and written.fold():
                gone.update(positions[:-1])
    flow.operators = [operator for i, operator in enumerate(flow.operators) if i not in gone]


@final
class _Written:
    """What one run of a module does, as a formula of its only input ``x``."""

    def __init__(self, steps: list[OperatorDraft], flow: Flow, records: Sequence[Record]) -> None:
        self.steps = steps
        self.flow = flow
        self.records = records
        self.writer = {value: step for step in steps for value in step.outputs}
        self.sources = {value for step in steps for value in step.inputs if value not in self.writer}
        self.eps = 0.0

    def closed(self, kept: set[int], readers: Counter[int]) -> bool:
        """Say whether all steps serve the last one alone, and start from one value."""
        own = Counter(value for step in self.steps for value in set(step.inputs))
        inner = [value for step in self.steps[:-1] for value in step.outputs]
        return len(self.sources) == 1 and all(value not in kept and readers[value] == own[value] > 0 for value in inner)

    def fold(self) -> bool:
        """Make the last step the whole, where its formula is known."""
        (source,) = self.sources
        last = self.steps[-1]
        scaled = self._scaled(last)
        if scaled is None:
            return False
        value, tensors = scaled
        formula = self._formula(value)
        kind = next((kind for kind, known in _NORMS.items() if formula in known), "")
        settings: dict[str, Setting] = {"eps": self.eps, "rank": 1}
        if formula == _GELU and not tensors:
            kind, settings = "gelu", {"approximate": "tanh"}
        if not kind or (kind == "rms_norm" and "bias" in tensors):
            return False
        last.kind, last.inputs, last.tensors, last.settings = kind, [source], tensors, settings
        return True

    def _scaled(self, last: OperatorDraft) -> tuple[int, dict[str, str]] | None:
        """Return what a weight and a bias are put on at the end, and their names."""
        value, tensors = last.outputs[0], dict[str, str]()
        for role, kind in (("bias", "add"), ("weight", "mul")):
            value = self._uncast(value)
            step = self.writer.get(value)
            if step is None or step.kind != kind or len(step.tensors) != 1 or len(step.inputs) != 1 or step.settings:
                continue
            ((argument, name),) = step.tensors.items()
            reference = self.records[step.record].arguments.get(argument)
            state = None if reference is None else self.flow.states[reference]
            along = [id(atom) for atom in flat(self.flow.values[step.outputs[0]].dims[-1])]
            if state is None or len(state.dims) != 1 or [id(atom) for atom in flat(state.dims[0])] != along:
                return None
            tensors[role if state.order is not None else f"computed_{role}"] = name
            value = step.inputs[0]
        return None if "computed_bias" in tensors else (value, tensors)

    def _uncast(self, value: int) -> int:
        while (step := self.writer.get(value)) is not None and step.kind == "cast":
            value = step.inputs[0]
        return value

    def _formula(self, value: int) -> str:
        value = self._uncast(value)
        step = self.writer.get(value)
        if step is None:
            return "x"
        if step.tensors:
            return "?"
        parts = [self._formula(one) for one in step.inputs]
        if step.kind == "mean":
            rank = len(self.flow.values[step.inputs[0]].dims)
            last = step.settings.get("dim") == (rank - 1,) and step.settings.get("keepdim")
            return f"mean({parts[0]})" if last else "?"
        if len(step.settings) > 1 or step.settings.keys() - {"other", "exponent"}:
            return "?"
        parts += [self._number(number, step.kind) for number in step.settings.values()]
        if step.kind == "mul" and len(parts) == 1:
            parts *= 2
        if step.kind == "square" or (step.kind == "mul" and len(parts) == 2 and parts[0] == parts[1]):
            return f"pow({parts[0]},2)"
        ordered = sorted(parts) if step.kind in ("add", "mul") else parts
        return f"{step.kind}({','.join(ordered)})"

    def _number(self, number: object, kind: str) -> str:
        if not isinstance(number, int | float):
            return "?"
        if kind == "add" and 0 < number < 0.01:
            self.eps = float(number)
            return "eps"
        return str(int(number)) if float(number).is_integer() else f"{number:.5f}".rstrip("0")
