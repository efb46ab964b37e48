"""Minimising a polynomial of degree two over the vertices of the unit cube, one variable at a time.

A variable with at most two neighbours goes first: its best value is a function of theirs, which is again a
polynomial of degree two. On chains and trees this is Viterbi's algorithm; on graphs of tree width two, such as
residual networks with bottlenecks, it is nonserial dynamic programming (Bertelè & Brioschi, 1972). Either way it is
exact and linear in the graph. What is left, if anything, goes to :mod:`min_cut`. The order depends on the graph alone
and is found once; multipliers change linear coefficients only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from surgery_dsl.proof.tiers.chords import UnitBox
from surgery_dsl.proof.tiers.min_cut import Kernel

Step = tuple[int, int, int, int, int, int]
"""Variable, neighbour, slot of their pair, other neighbour, slot, and slot of the pair of both neighbours."""


@dataclass(frozen=True, slots=True)
class Lowest:
    """A least value and where it is: two vertices whose mean is the solution of the linear relaxation.

    Both are the same vertex where the value is that of a vertex.
    """

    value: int
    vertex: list[int]
    other: list[int]


class Elimination:
    """The order in which the variables of a polynomial go; see the module."""

    def __init__(self, box: UnitBox) -> None:
        count = len(box.linear)
        self._constant = box.constant
        self._linear = box.linear
        self._pairs = [value for value in box.pairs.values() if value] + [0]
        edges = [key for key, value in box.pairs.items() if value]
        neighbours: list[dict[int, int]] = [{} for _ in range(count)]
        for slot, (i, j) in enumerate(edges):
            neighbours[i][j] = slot
            neighbours[j][i] = slot
        none, empty = count, len(edges)
        self._leaves: list[tuple[int, int, int]] = []
        self._steps: list[Step] = []
        gone = [False] * count
        waiting = [i for i in range(count) if len(neighbours[i]) <= 1]
        waiting.reverse()
        self._eliminate_leaves(neighbours, waiting, gone, none, empty)
        fill = self._eliminate_pairs(neighbours, gone, none, empty)
        self._pairs += [0] * fill
        left = [i for i in range(count) if not gone[i]]
        self.triangles = [(step[0], step[1], step[3]) for step in self._steps if step[3] != none]
        self._kernel = Kernel(left, neighbours) if left else None
        self.nested = self._kernel is not None and all(value <= 0 for value in self._pairs)

    def _eliminate_leaves(
        self, neighbours: list[dict[int, int]], waiting: list[int], gone: list[bool], none: int, empty: int
    ) -> None:
        while waiting:
            variable = waiting.pop()
            if gone[variable]:
                continue
            gone[variable] = True
            around = neighbours[variable]
            if not around:
                self._leaves.append((variable, none, empty))
                continue
            ((other, slot),) = around.items()
            self._leaves.append((variable, other, slot))
            del neighbours[other][variable]
            if len(neighbours[other]) <= 1:
                waiting.append(other)

    def _eliminate_pairs(self, neighbours: list[dict[int, int]], gone: list[bool], none: int, empty: int) -> int:
        """Eliminate variables of two neighbours; return how many pairs are new."""
        waiting = [i for i in range(len(gone)) if not gone[i] and len(neighbours[i]) <= 2]
        waiting.reverse()
        fill = 0
        while waiting:
            variable = waiting.pop()
            if gone[variable]:
                continue
            gone[variable] = True
            around = list(neighbours[variable].items())
            for other, _ in around:
                del neighbours[other][variable]
            if len(around) == 2:
                (first, slot), (second, slot_) = around
                if second not in neighbours[first]:
                    fill += 1
                    neighbours[first][second] = neighbours[second][first] = empty + fill
                self._steps.append((variable, first, slot, second, slot_, neighbours[first][second]))
            elif around:
                self._steps.append((variable, *around[0], none, empty, empty))
            else:
                self._steps.append((variable, none, empty, none, empty, empty))
            waiting += [other for other, _ in around if len(neighbours[other]) <= 2]
        return fill

    def lowest(self, prices: Sequence[tuple[int, int]], denominator: int) -> Lowest:
        """Return the least value of ``denominator`` · polynomial + Σ price · variable.

        Args:
            prices: Variables and what is added to their coefficients.
            denominator: What the polynomial is multiplied by.
        """
        linear = self._linear.copy() if denominator == 1 else [value * denominator for value in self._linear]
        pairs = self._pairs.copy() if denominator == 1 else [value * denominator for value in self._pairs]
        for variable, price in prices:
            linear[variable] += price
        linear.append(0)
        total = self._constant * denominator
        for variable, other, slot in self._leaves:
            alone = linear[variable]
            both = alone + pairs[slot]
            if alone < 0:
                total += alone
                linear[other] += both - alone if both < 0 else -alone
            elif both < 0:
                linear[other] += both
        for variable, first, slot, second, slot_, between in self._steps:
            alone, with_first, with_second = linear[variable], pairs[slot], pairs[slot_]
            both = alone + with_first + with_second
            with_first += alone
            with_second += alone
            alone, both = min(alone, 0), min(both, 0)
            with_first, with_second = min(with_first, 0), min(with_second, 0)
            total += alone
            linear[first] += with_first - alone
            linear[second] += with_second - alone
            pairs[between] += both - with_first - with_second + alone
        if self._kernel is None:
            vertex = self._back([0] * len(linear), linear, pairs)
            return Lowest(total, vertex, vertex)
        twice, labels, others = self._kernel.lowest(linear, pairs)
        vertices = []
        for chosen in (labels,) if labels == others else (labels, others):
            vertex = [0] * len(linear)
            for variable, label in zip(self._kernel.variables, chosen, strict=True):
                vertex[variable] = label
            vertices.append(self._back(vertex, linear, pairs))
        # Half a unit is lost where the relaxation is not at a vertex: rounding down is sound.
        return Lowest(total + (twice >> 1), vertices[0], vertices[-1])

    def _back(self, vertex: list[int], linear: list[int], pairs: list[int]) -> list[int]:
        """Give the variables that went first their values, last to first; ``vertex`` has those of the others."""
        for variable, first, slot, second, slot_, _ in reversed(self._steps):
            if linear[variable] + pairs[slot] * vertex[first] + pairs[slot_] * vertex[second] < 0:
                vertex[variable] = 1
        for variable, other, slot in reversed(self._leaves):
            alone = linear[variable]
            if (alone + pairs[slot] if vertex[other] else alone) < 0:
                vertex[variable] = 1
        vertex.pop()
        return vertex
