"""Where the constants of dead units go: from the layers that write them to the layers that read them.

A unit whose incoming weights are all zero, or whose batch norm has a scale of zero, still gives something: its bias,
shifted by the norm, sent through the activation. That constant is part of what its readers compute. :func:`trail`
follows it, operator by operator; what the numbers are is for run time.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final, Literal

from surgery_dsl.interface.flow import ACTIVATIONS, Flow, unit_dim
from surgery_dsl.interface.model import Dim, Interface, Operator

LAYERS: Final = frozenset({"linear", "conv1d", "conv2d", "conv3d"})
_POOLS = frozenset(f"{name}{rank}d" for name in ("max_pool", "avg_pool", "adaptive_avg_pool") for rank in "123")
_SAME = _POOLS | {"dropout", "contiguous", "clone", "upsample_nearest2d", "upsample_nearest1d", "upsample_bilinear2d"}
_OVER_UNITS = frozenset({"layer_norm", "rms_norm", "group_norm"})
"""What averages over units: that fewer are there is said of the step, and is no constant that leaks."""

Action = Literal["layer", "norm", "function", "same", "spread", "join", "add", "scalar", "stop"]


@dataclass(frozen=True)
class Leg:
    """One operator on the way of a constant.

    Attributes:
        at: Its position among the operators.
        action: What it does to constants.
        read: Which dimension of its first input the units lie along; -1 where it reads no constant.
        written: Which dimension of its result they lie along; -1 where the way ends.
    """

    at: int
    action: Action
    read: int = -1
    written: int = -1


def trail(axes: Collection[int], flow: Flow) -> tuple[Leg, ...]:
    """Return what constants of the units along some axes meet, in the order of the forward."""
    interface = flow.interface
    live: dict[int, int] = {}
    legs: list[Leg] = []
    for at, operator in enumerate(interface.operators):
        leg = _layer(at, operator, axes, live, interface) if _is_layer(operator) else _other(at, operator, live, flow)
        if leg is not None:
            legs.append(leg)
            if leg.written >= 0:
                live[operator.outputs[0]] = leg.written
    return tuple(legs)


def targets(legs: Collection[Leg], flow: Flow) -> dict[int, str]:
    """Return, for each layer that reads constants, the tensor that can hold them: its bias, or its norm's mean.

    A batch norm right behind a layer without bias takes its running mean off what it reads, as a bias would.
    """
    found: dict[int, str] = {}
    for leg in legs:
        operator = flow.interface.operators[leg.at]
        if leg.action != "layer" or leg.read < 0:
            continue
        if "bias" in operator.tensors:
            found[leg.at] = operator.tensors["bias"]
            continue
        readers = flow.readers.get(operator.outputs[0], ())
        after = [flow.interface.operators[reader] for reader in readers]
        if len(after) == 1 and after[0].kind == "batch_norm" and "running_mean" in after[0].tensors:
            found[leg.at] = after[0].tensors["running_mean"]
    return found


def _is_layer(operator: Operator) -> bool:
    return operator.kind in LAYERS and "weight" in operator.tensors and len(operator.inputs) == 1


def channel(operator: Operator, dims: tuple[Dim, ...]) -> int:
    """Return which dimension of what a layer reads and writes its units lie along."""
    return 1 if operator.kind.startswith("conv") else len(dims) - 1


def _layer(
    at: int, operator: Operator, axes: Collection[int], live: dict[int, int], interface: Interface
) -> Leg | None:
    source, result = interface.values[operator.inputs[0]].dims, interface.values[operator.outputs[0]].dims
    read = live.get(operator.inputs[0], -1)
    if read >= 0 and read != channel(operator, source):
        return Leg(at, "stop", read)
    writes = not set(axes).isdisjoint(interface.leaves(unit_dim(interface, operator)))
    if read < 0 and not writes:
        return None
    return Leg(at, "layer", read, channel(operator, result) if writes else -1)


def _other(at: int, operator: Operator, live: dict[int, int], flow: Flow) -> Leg | None:
    interface = flow.interface
    read = [value for value in operator.inputs if value in live]
    if not read or not operator.outputs:
        return None
    first = live[read[0]]
    source, result = interface.values[read[0]].dims, interface.values[operator.outputs[0]].dims
    kind, alone = operator.kind, len(operator.inputs) == 1
    if kind == "batch_norm" and first == 1 and alone:
        return Leg(at, "norm", 1, 1)
    if (kind in ACTIVATIONS or kind == "prelu") and alone:
        return Leg(at, "function", first, first)
    if kind in _SAME and alone and len(source) == len(result) and (kind not in _POOLS or first == 1):
        return Leg(at, "same", first, first)
    if kind in _OVER_UNITS:
        return None
    if kind in ("view", "permute", "mean"):
        return _moved(at, operator, source, result, first)
    if kind == "cat" and operator.settings.get("dim") == first and not operator.tensors:
        return Leg(at, "join", first, first)
    if kind in ("add", "sub"):
        if alone and not operator.tensors:
            return Leg(at, "scalar", first, first)
        both = len(read) == 2 and len({len(interface.values[value].dims) for value in read}) == 1
        return Leg(at, "add", first, first) if both and kind == "add" and live[read[1]] == first else None
    if kind in ("mul", "div") and alone and not operator.tensors:
        return Leg(at, "scalar", first, first)
    return Leg(at, "stop", first)


def _moved(at: int, operator: Operator, source: tuple[Dim, ...], result: tuple[Dim, ...], first: int) -> Leg | None:
    """Follow units through what moves dimensions about, or averages over others."""
    if operator.kind == "permute":
        order = operator.settings.get("dims")
        if isinstance(order, tuple) and first in order:
            return Leg(at, "same", first, order.index(first))
        return Leg(at, "stop", first)
    if operator.kind == "mean":
        over = operator.settings.get("dim")
        if not isinstance(over, tuple):
            return None if over is None else Leg(at, "stop", first)
        if first in over:
            return None  # an average over units, as a norm takes it
        kept = bool(operator.settings.get("keepdim"))
        return Leg(at, "same", first, first if kept else first - sum(one < first for one in over))
    own = source[first]
    for position, dim in enumerate(result):
        if own and any(dim[start : start + len(own)] == own for start in range(len(dim))):
            return Leg(at, "spread", first, position)
    return Leg(at, "stop", first)
