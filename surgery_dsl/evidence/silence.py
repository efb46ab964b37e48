"""Units that are zero for every input of a region, proved; and units that fire on an example, witnessed."""

from collections import defaultdict
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from surgery_dsl.evidence.activity import unit_position
from surgery_dsl.evidence.bounds.analysis import Analysis
from surgery_dsl.evidence.bounds.graph import Affine, Graph, Pointwise, Unbounded
from surgery_dsl.evidence.bounds.record import record
from surgery_dsl.evidence.bounds.region import Box, Region
from surgery_dsl.interface.model import Interface

TOGETHER = 16
"""Boxes that are bounded side by side."""
RELU = "relu"


@final
@dataclass(frozen=True)
class Silence:
    """What is known of the units of one ReLU over a region.

    Attributes:
        path: Its path.
        units: How many units it has.
        dead: Units of which the greatest input is at most 0 over all boxes, ``(units,)``: they give 0 for every input.
        alive: Units of which the input is above 0 at the middle of a box, rounding included.
    """

    path: str
    units: int
    dead: Tensor
    alive: Tensor

    @property
    def open(self) -> int:
        """How many units are neither proved dead nor seen alive."""
        return self.units - int((self.dead | self.alive).sum())


@final
@dataclass(frozen=True)
class Proof:
    """What shows the silence of units: others can compute it again without the network.

    Attributes:
        graph: The network as it was recorded.
        corners: ``[2, B, 1, *shape]`` in float64, the lower corners first.
        places: Of each ReLU: its node in the graph, its path, and the dimension that its units lie along.
        found: What is known of each.
        most: Over the units that are proved dead, the greatest upper bound of their input: at most 0.
        seen: What their input reaches at the middle of a box.
    """

    graph: Graph
    corners: Tensor
    places: tuple[tuple[int, str, int], ...]
    found: tuple[Silence, ...]
    most: float
    seen: float

    @property
    def count(self) -> int:
        """How many units are proved dead."""
        return sum(int(one.dead.sum()) for one in self.found)


def silence(model: nn.Module, interface: Interface, corners: Tensor) -> tuple[Silence, ...]:
    """Return what :func:`proved_silence` finds, without what proves it."""
    return proved_silence(model, interface, corners).found


def proved_silence(model: nn.Module, interface: Interface, corners: Tensor) -> Proof:
    """Bound what every ReLU of a network is given over boxes of its input, in the order of the forward.

    A unit is dead where CROWN's upper bound of its input z is at most 0 in every box and at every position; that holds
    in real arithmetic, the rounding of the bound's own computation included. Alive is what one point of a box shows, in
    the same arithmetic: the lower bound of z over that point alone is above 0.

    Args:
        model: In eval mode; nothing of it is changed.
        interface: Its interface.
        corners: ``[2, B, 1, *shape]`` in float64, the lower corners first.

    Raises:
        Unbounded: An operator has no rule, or a ReLU is none of the interface's.
        Unsound: No bound holds: too many roundings, or numbers that are not finite.
    """
    example = ((corners[0, 0] + corners[1, 0]) / 2).to(next(model.parameters()).dtype)
    graph = record(model, [example])
    nodes = [at for at, node in enumerate(graph.nodes) if isinstance(node, Pointwise) and node.scalar.name == RELU]
    placed = _places(graph, nodes, interface)
    return proof(graph, tuple((node, *placed[node]) for node in nodes), corners)


def proof(graph: Graph, places: tuple[tuple[int, str, int], ...], corners: Tensor) -> Proof:
    """Bound what ReLUs of a recorded network are given, as :func:`silence`; raises what that raises."""
    nodes = [node for node, _, _ in places]
    lies = {node: position for node, _, position in places}
    most_of: dict[int, Tensor] = {}
    seen_of: dict[int, Tensor] = {}
    nothing = {node: _nothing(graph, graph.nodes[node].sources[0], corners.device) for node in nodes}
    dead: dict[int, Tensor] = {}
    alive: dict[int, Tensor] = {}
    for low, high in zip(*(torch.split(ends, TOGETHER) for ends in corners), strict=True):
        over = Analysis([graph], Region({0: Box(low, high)})).known
        middle = torch.minimum(torch.maximum((low + high) / 2, low), high)
        at_middle = Analysis([graph], Region({0: Box(middle, middle)})).known
        for node in nodes:
            source = (0, graph.nodes[node].sources[0])
            position = lies[node]
            most = _by_unit(torch.where(nothing[node], 0.0, over.high[source]), position).amax(0)
            seen = _by_unit(at_middle.low[source], position).amax(0)
            dead[node] = (most <= 0) & dead.get(node, torch.ones_like(most, dtype=torch.bool))
            most_of[node] = torch.maximum(most, most_of.get(node, most))
            seen_of[node] = torch.maximum(seen, seen_of.get(node, seen))
            alive[node] = (seen > 0) | alive.get(node, torch.zeros_like(seen, dtype=torch.bool))
    found = tuple(Silence(path, len(dead[node]), dead[node], alive[node] & ~dead[node]) for node, path, _ in places)
    greatest = [
        max((float(values[node][dead[node]].max()) for node in nodes if bool(dead[node].any())), default=0.0)
        for values in (most_of, seen_of)
    ]
    return Proof(graph, corners, places, found, greatest[0], greatest[1])


def _nothing(graph: Graph, value: int, device: torch.device) -> Tensor:
    """Return which elements of a value are zero whatever is put in: every coefficient is.

    What a bound grants to products that underflow would hide these.
    """
    node = graph.nodes[value]
    if not isinstance(node, Affine):
        return torch.zeros(1, *node.shape, dtype=torch.bool, device=device)
    shapes = [(1, *graph.nodes[source].shape) for source in node.sources]
    return node.magnitude(*(torch.ones(shape, dtype=torch.float64, device=device) for shape in shapes)) == 0


def _by_unit(bounds: Tensor, position: int) -> Tensor:
    """Return bounds ``[B, 1, …]`` as ``[rows, units]``."""
    moved = bounds.flatten(0, 1).movedim(position, -1)  # one example in each box
    return moved.reshape(-1, moved.shape[-1])


def _places(graph: Graph, nodes: list[int], interface: Interface) -> dict[int, tuple[str, int]]:
    """Return the path of each ReLU and where its units lie: the n-th of a module is its n-th in the interface."""
    known: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for operator in interface.operators:
        if operator.kind == RELU:
            known[operator.module].append((operator.path, unit_position(interface, operator)))
    found: dict[int, tuple[str, int]] = {}
    seen: dict[str, int] = defaultdict(int)
    for node in nodes:
        module = graph.nodes[node].module
        number = seen[module]
        seen[module] += 1
        if number >= len(known[module]):
            raise Unbounded(f"the forward of `{module}` runs more activations than were traced")
        found[node] = known[module][number]
    return found
