"""Bounds of every value of a network over a region.

Values are bounded in the order of the forward: affine ones at once from the bounds of what they read (interval
arithmetic around the middle), what a bending function reads once more by forms of its own carried back to the inputs,
since there intervals lose most.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds import scalar
from surgery_dsl.evidence.bounds.backward import Step, upper
from surgery_dsl.evidence.bounds.graph import Affine, Graph, Input, Largest, Lookup, Moved, Node, Pointwise, members_of
from surgery_dsl.evidence.bounds.known import Key, Known
from surgery_dsl.evidence.bounds.leading import Leading
from surgery_dsl.evidence.bounds.region import Region
from surgery_dsl.evidence.bounds.rounding import (
    ASSUMED_UNITS,
    OVERFLOW32,
    U32,
    U64,
    UNDERFLOW32,
    Unsound,
    finite,
    gamma,
)
from surgery_dsl.evidence.bounds.scalar import Band, Lines

MOST_BYTES = 256 << 20
"""Most memory for the rows of one value; more forms than fit go back in turns."""


@final
@dataclass(frozen=True)
class Arithmetic:
    """In which arithmetic the bounded networks run.

    Attributes:
        unit: Unit roundoff of theirs: 0 for real arithmetic, else every sum of theirs may err in any order.
        assumed: Of a function that no product makes, φ(z), how far the network's library is assumed to be from it at
            most: this many units of ``unit`` · max(1, |z|). Whoever claims a bound says so (``assumptions``).
    """

    unit: float = 0.0
    assumed: int = 0


REAL = Arithmetic()
FLOAT32 = Arithmetic(U32, ASSUMED_UNITS)


class Analysis:
    """What is found of one network, or of each of two, over a region.

    Args:
        graphs: One network or two.
        region: The inputs.
        arithmetic: In which the networks run.

    Attributes:
        known: Bounds of all values.
        leading: Where forms on single elements begin.
        alone: For each network, its values in order, to be gone through one by one.
        steps: How many values there are.
    """

    def __init__(self, graphs: Sequence[Graph], region: Region, arithmetic: Arithmetic = REAL) -> None:
        self.graphs = tuple(graphs)
        self.region = region
        self.known = Known()
        self.leading = Leading(self.graphs, self.known)
        self._arithmetic = arithmetic
        self._narrowed: set[Key] = set()
        for graph in self.graphs:
            if arithmetic.unit and graph.unit > arithmetic.unit:
                raise Unsound(
                    f"the network computes at a unit roundoff of {graph.unit:.2g}, not of {arithmetic.unit:.2g}"
                )
        self.alone: tuple[list[Step], ...] = tuple(
            [((side, at),) for at in range(len(graph.nodes))] for side, graph in enumerate(self.graphs)
        )
        self.steps = sum(len(graph.nodes) for graph in self.graphs)
        for side in range(len(self.graphs)):
            self._network(side)

    def apart(self) -> list[Step]:
        """Return an order in which both networks are gone through, each by its own lines."""
        return [step for steps in self.alone for step in steps]

    def _network(self, side: int) -> None:
        graph, known = self.graphs[side], self.known
        for at, node in enumerate(graph.nodes):
            key = (side, at)
            if isinstance(node, Input):
                self._input(key, at)
            elif isinstance(node, Lookup):
                self._lookup(key, node)
            elif isinstance(node, Affine):
                self._affine(key, node)
            elif isinstance(node, Moved):
                continue
            else:
                source = (side, node.sources[0])
                self._narrow(source)
                self._bend(key, node, source)
            if key in known.low:
                finite(known.low[key], "a bound")
                finite(known.high[key], "a bound")

    def _input(self, key: Key, number: int) -> None:
        box = self.region.boxes.get(number)
        if box is not None:
            self.known.low[key], self.known.high[key] = box.low, box.high
            if box.low.shape[1:] != self.graphs[key[0]].nodes[number].shape:
                raise Unsound(f"a box of shape {tuple(box.low.shape[1:])} for input {number} of another shape")
        elif number not in self.region.tokens:
            raise Unsound(f"the region says nothing of input {number}")

    def _lookup(self, key: Key, node: Lookup) -> None:
        allowed = self.region.tokens.get(node.sources[0])
        if allowed is None:
            raise Unsound(f"the region says nothing of the tokens of input {node.sources[0]}")
        self.known.low[key], self.known.high[key] = node.span(allowed)

    def _affine(self, key: Key, node: Affine) -> None:
        known, sources = self.known, [(key[0], source) for source in node.sources]
        for source in sources:
            if source not in known.low:
                raise Unsound(f"`{node.operator}` in `{node.module}` computes with tokens, which only look up rows")
        middles = [(known.low[s] + known.high[s]) / 2 for s in sources]
        # the middle is rounded, so the radius is taken to the farther end
        radii = [torch.maximum(known.high[s] - m, m - known.low[s]) for s, m in zip(sources, middles, strict=True)]
        size = node.magnitude(*(known.far(s) for s in sources))
        count = torch.as_tensor(node.terms, device=size.device)
        runs = self._runs(count, size)
        radius = node.spread(*radii)
        room = gamma(count + 8) * size * 2 + radius * (4 * U64) + gamma(count + 8) * radius + runs + scalar.FLOOR
        middle = node.apply(*middles)
        known.low[key], known.high[key] = middle - radius - room, middle + radius + room
        known.weight[key] = gamma(count + node.size + self.steps + 16) * size + runs * (1 + 1e-6) + scalar.FLOOR

    def _runs(self, count: Tensor, size: Tensor) -> Tensor:
        """Return what rounding adds to each sum as the network itself runs, products that underflow included."""
        if not self._arithmetic.unit:
            return torch.zeros_like(size)
        if not bool((size < OVERFLOW32).all()):
            raise Unsound("a sum may overflow in float32")
        return gamma(count, self._arithmetic.unit) * size + count * UNDERFLOW32

    def _bend(self, key: Key, node: Node, source: Key) -> None:
        known = self.known
        low, high = known.low[source], known.high[source]
        if isinstance(node, Pointwise):
            first, last = scalar.span(node.scalar, low, high)
            runs = self._function_runs(node, torch.maximum(first.abs(), last.abs()), known.far(source))
            known.low[key], known.high[key] = first - runs, last + runs
            known.lines[key] = lines = scalar.lines(node.scalar, low, high)
            known.bands[key] = band = scalar.band(node.scalar, low, high)
            far = known.far(source)
        else:
            assert isinstance(node, Largest)
            runs = torch.zeros(())
            known.lines[key], known.bands[key] = lines, band = self._largest(key, node, low, high)
            far = torch.maximum(known.low[key].abs(), known.high[key].abs())
        steep = torch.stack([lines.low_slope, lines.high_slope, band.slope]).abs().amax(0)
        offset = torch.stack([lines.low, lines.high, band.low, band.high]).abs().amax(0)
        size = steep * far + offset + known.far(key)
        known.weight[key] = gamma(node.size + self.steps + 16) * size + runs * (1 + 1e-6) + scalar.FLOOR

    def _function_runs(self, node: Pointwise, size: Tensor, far: Tensor) -> Tensor:
        """Return what rounding adds to a function, at most ``size``, of arguments ``far`` as the network runs it."""
        arithmetic = self._arithmetic
        if not arithmetic.unit or node.scalar.exact:
            return torch.zeros_like(size)
        if not bool((torch.maximum(size, far) < OVERFLOW32).all()):
            raise Unsound(f"`{node.operator}` in `{node.module}` may overflow in float32")
        if node.scalar.roundings:
            return gamma(node.scalar.roundings, arithmetic.unit) * size + UNDERFLOW32
        if not arithmetic.assumed:
            raise Unsound(f"`{node.operator}` in `{node.module}` is rounded in ways that are not bounded")
        return arithmetic.assumed * arithmetic.unit * far.clamp(min=1) * (1 + 1e-6)

    def _largest(self, key: Key, node: Largest, low: Tensor, high: Tensor) -> tuple[Lines, Band]:
        """Return lines for maxima, and a band.

        The element with the greatest lower bound is below; it is the maximum itself where no other can be greater.
        """
        known = self.known
        lows, highs = members_of(low, node, -torch.inf), members_of(high, node, -torch.inf)
        best = lows.argmax(-1, keepdim=True)
        known.picks[key] = node.members.expand_as(lows).gather(-1, best).squeeze(-1)
        others = highs.scatter(-1, best, -torch.inf).amax(-1)
        least, most = lows.amax(-1), highs.amax(-1)
        sure = least >= others
        known.low[key], known.high[key] = least, most
        one, zero = torch.ones_like(least), torch.zeros_like(least)
        slope = torch.where(sure, one, zero)
        band = Band(slope, torch.where(sure, zero, least), torch.where(sure, zero, most))
        return Lines(one, zero, slope, band.high), band

    def _narrow(self, key: Key) -> None:
        """Bound a value by forms of its own, once; what intervals show to be in one linear piece needs none."""
        if key in self._narrowed:
            return
        self._narrowed.add(key)
        graph = self.graphs[key[0]]
        readers = [graph.nodes[at] for at in graph.consumers[key[1]]]
        wanted = self._open(key, readers)
        if wanted.numel():
            self._bounded(self.alone[key[0]][: key[1] + 1], key, {key: 1.0}, wanted)

    def _open(self, key: Key, readers: list[Node]) -> Tensor:
        """Return the elements on which a reader bends, flat, for any of the regions."""
        low, high = self.known.low[key], self.known.high[key]
        bent = torch.zeros_like(low, dtype=torch.bool)
        for reader in readers:
            if isinstance(reader, Pointwise):
                least, most = scalar.slopes(reader.scalar, low, high)
                bent |= least < most
            elif isinstance(reader, Largest):
                bent |= torch.ones_like(bent)
        return bent.flatten(1).any(0).nonzero().flatten()

    def _bounded(self, order: Sequence[Step], key: Key, signs: dict[Key, float], wanted: Tensor) -> None:
        low, high = self.of_units(order, {k: (wanted, sign) for k, sign in signs.items()})
        first, last = self.known.low[key].flatten(1).clone(), self.known.high[key].flatten(1).clone()
        shape = self.known.low[key].shape
        first[:, wanted], last[:, wanted] = low, high
        self.known.narrow(key, first.reshape(shape), last.reshape(shape))

    def of_units(self, order: Sequence[Step], units: "dict[Key, tuple[Tensor, float]]") -> tuple[Tensor, Tensor]:
        """Return bounds [B, n] of Σ sign · element over the given values, n elements of each."""
        count = self.region.count
        total = next(iter(units.values()))[0].numel()
        widest = max(node.size for graph in self.graphs for node in graph.nodes)
        turn = max(1, MOST_BYTES // (8 * widest * count * 2))
        lows, highs = [], []
        for start in range(0, total, turn):
            part = {key: (elements[start : start + turn], sign) for key, (elements, sign) in units.items()}
            found = upper(self.graphs, self.known, order, self.leading.form(part).both(), self.region).bound
            middle = found.shape[1] // 2
            highs.append(found[:, :middle])
            lows.append(-found[:, middle:])
        return finite(torch.cat(lows, 1), "a bound"), finite(torch.cat(highs, 1), "a bound")
