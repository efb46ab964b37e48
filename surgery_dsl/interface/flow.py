"""How values flow between operators: who writes, who reads, what follows a layer.

The names of operators here are those that the tracer gives (torch's own, without trailing underscores).
"""

from collections.abc import Iterator
from functools import cached_property
from typing import final

from surgery_dsl.interface.model import Dim, Interface, Operator

WEIGHTED = frozenset(
    {
        "linear",
        "embedding",
        "conv1d",
        "conv2d",
        "conv3d",
        "conv_transpose1d",
        "conv_transpose2d",
        "conv_transpose3d",
    }
)
"""Operators that make units out of weights."""

NORMS = frozenset({"batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm"})

ACTIVATIONS = frozenset(
    {
        "relu",
        "relu6",
        "hardtanh",
        "threshold",
        "clamp",
        "clamp_min",
        "gelu",
        "silu",
        "mish",
        "leaky_relu",
        "prelu",
        "rrelu",
        "elu",
        "celu",
        "selu",
        "sigmoid",
        "log_sigmoid_forward",
        "tanh",
        "softplus",
        "softsign",
        "hardswish",
        "hardsigmoid",
        "hardshrink",
        "softshrink",
    }
)
"""Pointwise functions of one tensor, as they follow layers."""

CHANNELS_SECOND = frozenset(kind for kind in WEIGHTED if kind.startswith("conv")) | {
    "batch_norm",
    "group_norm",
    "instance_norm",
}
"""Operators whose units lie along the second dimension of what they write; for all others it is the last."""


def unit_dim(interface: Interface, operator: Operator) -> Dim:
    """Return the dimension of an operator's result that its units lie along; empty where it has none."""
    dims = interface.values[operator.outputs[0]].dims
    position = 1 if operator.kind in CHANNELS_SECOND else len(dims) - 1
    return dims[position] if 0 <= position < len(dims) else ()


def weight_position(operator: Operator) -> int:
    """Return which dimension of a layer's weight its units lie along."""
    if operator.kind.startswith("conv_transpose") or operator.kind == "embedding":
        return 1
    return 1 if operator.settings.get("input_dim") == 0 else 0


@final
class Flow:
    """Readers and writers of the values of one interface."""

    def __init__(self, interface: Interface) -> None:
        self.interface = interface

    @cached_property
    def writer(self) -> dict[int, int]:
        """Position of the operator that writes each value."""
        return {value: at for at, operator in enumerate(self.interface.operators) for value in operator.outputs}

    @cached_property
    def readers(self) -> dict[int, tuple[int, ...]]:
        """Positions of the operators that read each value, in order."""
        found: dict[int, list[int]] = {}
        for at, operator in enumerate(self.interface.operators):
            for value in dict.fromkeys(operator.inputs):
                found.setdefault(value, []).append(at)
        return {value: tuple(at) for value, at in found.items()}

    def activation_after(self, at: int) -> int | None:
        """Return the first activation that reads what operator ``at`` writes, directly or through norms and dropout."""
        return self._first_after(at, ACTIVATIONS, NORMS | {"dropout"})

    def norm_after(self, at: int) -> int | None:
        """Return the first norm that reads what operator ``at`` writes."""
        return self._first_after(at, NORMS, frozenset({"dropout"}))

    def _first_after(self, at: int, wanted: frozenset[str], through: frozenset[str]) -> int | None:
        waiting = [at]
        while waiting:
            value = self.interface.operators[waiting.pop(0)].outputs[0]
            for reader in self.readers.get(value, ()):
                kind = self.interface.operators[reader].kind
                if kind in wanted:
                    return reader
                if kind in through:
                    waiting.append(reader)
        return None

    def layers_behind(self, value: int) -> Iterator[int]:
        """Yield the operators with weights that a value is made from, up to the first on each way back."""
        seen: set[int] = set()
        waiting = [value]
        while waiting:
            current = waiting.pop(0)
            at = self.writer.get(current)
            if at is None or at in seen:
                continue
            seen.add(at)
            operator = self.interface.operators[at]
            if operator.kind in WEIGHTED:
                yield at
            else:
                waiting.extend(operator.inputs)
