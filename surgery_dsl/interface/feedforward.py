"""Multilayer perceptrons of blocks, found by what the forward does: up, an activation, and down to the same width.

Pointwise convolutions count as linear layers. Between linear layers a depthwise convolution may stand, as in
transformers over images.
"""

from dataclasses import dataclass
from typing import Final

from surgery_dsl.interface.flow import ACTIVATIONS, CHANNELS_SECOND, NORMS, Flow, unit_dim
from surgery_dsl.interface.model import Dim, Interface, Operator
from surgery_dsl.interface.paths import common

_BETWEEN: Final = (
    ACTIVATIONS
    | NORMS
    | frozenset({"mul", "add", "div", "pow", "tanh", "erf", "dropout", "cast", "split", "slice", "view", "clone"})
)


@dataclass(frozen=True)
class Feedforward:
    """One multilayer perceptron.

    Attributes:
        holder: Path of the smallest module that holds its layers.
        core: Path of the module that runs its activation.
        up: Positions of the layers that widen, the gate's among them.
        down: Position of the layer that narrows again.
        width: The dimension in between, as the first of ``up`` writes it.
    """

    holder: str
    core: str
    up: tuple[int, ...]
    down: int
    width: Dim


def feedforwards(flow: Flow) -> tuple[Feedforward, ...]:
    """Return the multilayer perceptrons of a network, in the order of the forward."""
    found = (_found(at, flow) for at, op in enumerate(flow.interface.operators) if op.inputs and _is_layer(op, flow))
    return tuple(one for one in found if one is not None)


def _is_layer(operator: Operator, flow: Flow) -> bool:
    """Whether an operator is a linear layer, or a convolution that reads single positions of a map and so is one."""
    if "weight" not in operator.tensors or operator.kind == "linear":
        return operator.kind == "linear"
    if operator.kind not in ("conv1d", "conv2d", "conv3d") or operator.settings.get("groups", 1) != 1:
        return False
    weight = flow.interface.tensor_by_name.get(operator.tensors["weight"])
    positions = flow.interface.values[operator.inputs[0]].dims[2:]
    return weight is not None and not any(weight.dims[2:]) and any(positions)


def _is_depthwise(operator: Operator, interface: Interface) -> bool:
    """Whether an operator is a convolution that keeps channels apart."""
    weight = interface.tensor_by_name.get(operator.tensors.get("weight", ""))
    if weight is None or not operator.kind.startswith("conv"):
        return False
    return not weight.dims[1] and operator.settings.get("groups", 1) != 1


def layers_at(path: str, flow: Flow) -> tuple[int, ...]:
    """Return the positions of the layers of the multilayer perceptron that goes by a path."""
    found = (one for one in feedforwards(flow) if one.holder == path)
    return tuple(sorted({at for one in found for at in (*one.up, one.down)}))


def _found(down: int, flow: Flow) -> Feedforward | None:
    interface = flow.interface
    last = interface.operators[down]
    up: dict[int, None] = {}
    core = ""
    active = False
    waiting, seen = [last.inputs[0]], {last.inputs[0]}
    while waiting:
        at = flow.writer.get(waiting.pop(0))
        if at is None:
            return None
        operator = interface.operators[at]
        if operator.kind == last.kind and "weight" in operator.tensors and _is_layer(operator, flow):
            up[at] = None
            continue
        # Between pointwise convolutions a depthwise one makes an inverted residual block, which is another thing.
        mixes = last.kind == "linear" and (operator.kind == "permute" or _is_depthwise(operator, interface))
        if operator.kind not in _BETWEEN and not mixes:
            return None
        if operator.kind in ACTIVATIONS or operator.kind in ("tanh", "erf"):
            core, active = core or operator.module, True
        fresh = [value for value in operator.inputs if value not in seen]
        seen.update(fresh)
        waiting += fresh
    if not active or not up:
        return None
    first = interface.operators[next(iter(up))]
    channels = 1 if last.kind in CHANNELS_SECOND else -1
    source = interface.values[first.inputs[0]].dims[channels]
    if source != unit_dim(interface, last) or not source:
        return None
    modules = [last.module, *(interface.operators[at].module for at in up)]
    return Feedforward(
        holder=common(modules),
        core=core,
        up=tuple(sorted(up)),
        down=down,
        width=unit_dim(interface, interface.operators[min(up)]),
    )
