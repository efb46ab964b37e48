"""Multilayer perceptrons of blocks, found by what the forward does: up, an activation, and down to the same width."""

from dataclasses import dataclass
from typing import Final

from surgery_dsl.interface.flow import ACTIVATIONS, NORMS, Flow, unit_dim
from surgery_dsl.interface.model import Dim

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
    found = (_found(at, flow) for at, op in enumerate(flow.interface.operators) if op.kind == "linear" and op.inputs)
    return tuple(one for one in found if one is not None)


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
        if operator.kind == "linear" and "weight" in operator.tensors:
            up[at] = None
            continue
        if operator.kind not in _BETWEEN:
            return None
        if operator.kind in ACTIVATIONS or operator.kind in ("tanh", "erf"):
            core, active = core or operator.module, True
        fresh = [value for value in operator.inputs if value not in seen]
        seen.update(fresh)
        waiting += fresh
    if not active or not up:
        return None
    source = interface.values[interface.operators[next(iter(up))].inputs[0]].dims[-1]
    if source != interface.values[last.outputs[0]].dims[-1] or not source:
        return None
    modules = [last.module, *(interface.operators[at].module for at in up)]
    return Feedforward(
        holder=_common(modules, flow),
        core=core,
        up=tuple(sorted(up)),
        down=down,
        width=unit_dim(interface, interface.operators[min(up)]),
    )


def _common(paths: list[str], flow: Flow) -> str:
    shared: list[str] = []
    for level in zip(*(path.split(".") if path else [] for path in paths), strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return ".".join(shared)
