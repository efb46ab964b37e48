"""Units that never fire."""

import torch
from torch import Tensor, nn

from surgery_dsl.evidence.metrics import Batches, Forward, evaluating
from surgery_dsl.evidence.watching import watch
from surgery_dsl.interface.flow import ACTIVATIONS
from surgery_dsl.interface.model import Interface, Operator


def dead_units(model: nn.Module, interface: Interface, batches: Batches, eps: float, forward: Forward) -> int:
    """Count the activation units whose output is within ``eps`` of zero on every example and position.

    A unit is an index of the dimension of an activation's result that weights carry (channels), for each run of the
    activation in the forward. Activations that are not modules are watched at the level of ATen, as the tracer saw
    them. A unit that is ever NaN is not silent.

    Raises:
        LookupError: An activation of the interface did not run: the network is not what the interface says.
    """
    places: dict[str, list[int]] = {}
    for operator in interface.operators:
        if operator.kind in ACTIVATIONS:
            places.setdefault(operator.path, []).append(unit_position(interface, operator))
    loudest: dict[tuple[str, int], Tensor] = {}
    runs = dict.fromkeys(places, 0)

    def note(path: str, output: Tensor) -> None:
        run = runs[path] % len(places[path])
        runs[path] += 1
        position = places[path][run]
        others = [dim for dim in range(output.dim()) if dim != position]
        most = output.abs().amax(dim=others) if others else output.abs()
        known = loudest.get((path, run))
        loudest[path, run] = most if known is None else torch.maximum(known, most)

    with evaluating(model):
        watch(model, tuple(places), batches, note, lambda inputs: forward(model, inputs))
    return sum(int((most <= eps).sum()) for most in loudest.values())


def unit_position(interface: Interface, operator: Operator) -> int:
    """Return which dimension of an activation's result its units lie along: the last that some tensor carries.

    Where no tensor carries any, it is the second of four dimensions or more (images), else the last.
    """
    dims = interface.values[operator.outputs[0]].dims
    carried = [
        position
        for position, dim in enumerate(dims)
        if position and any(axis in interface.carriers for axis in interface.leaves(dim))
    ]
    if carried:
        return carried[-1]
    return 1 if len(dims) >= 4 else len(dims) - 1
