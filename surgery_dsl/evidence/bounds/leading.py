"""The affine operators that forms on the elements of a value go through first: the same whatever the region is.

The bounds of a unit, of its change, and of the length of a layer's changes begin with the same forms up to sign and
scale. They are carried back through what is affine once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.backward import Form, total, transposed
from surgery_dsl.evidence.bounds.graph import Affine, Graph
from surgery_dsl.evidence.bounds.known import Key, Known

MOST_BYTES = 256 << 20
"""Rows of all values up to which they are kept for the next who asks; others are made anew."""


@final
@dataclass(frozen=True)
class Led:
    """Forms on single elements of a value, carried back as far as everything is affine.

    Attributes:
        elements: [n], flat.
        rows: By the position of the values that they have come to, [n, *shape].
        constant: [n].
        error: [B, n]: what rounding may have added.
    """

    elements: Tensor
    rows: Mapping[int, Tensor]
    constant: Tensor
    error: Tensor

    def memory(self) -> int:
        """Return how many bytes the rows take."""
        return sum(rows.numel() * rows.element_size() for rows in self.rows.values())

    def of(self, elements: Tensor) -> "Led | None":
        """Return the forms on some of the elements, ``None`` where not all are there."""
        if torch.equal(elements, self.elements):
            return self
        at = torch.searchsorted(self.elements, elements).clamp(max=self.elements.numel() - 1)
        if not torch.equal(self.elements[at], elements):
            return None
        return Led(elements, {k: rows[at] for k, rows in self.rows.items()}, self.constant[at], self.error[:, at])


class Leading:
    """Carries forms back and keeps them, for the most elements of each value that were asked for, in ascending order.

    Args:
        graphs: One network or two.
        known: What is known of their values; rounding weighs on those that are gone through.
    """

    def __init__(self, graphs: tuple[Graph, ...], known: Known) -> None:
        self._graphs, self._known = graphs, known
        self._kept: dict[Key, Led] = {}
        self._room = MOST_BYTES

    def form(self, units: "Mapping[Key, tuple[Tensor, float]]", scale: Tensor | None = None) -> Form:
        """Return n forms Σ sign · element over the given values, n elements of each.

        Args:
            units: Elements and sign by value.
            scale: What each form is multiplied by, [B, n].
        """
        found: Form | None = None
        for key, (elements, sign) in units.items():
            led = self._led(key, elements)
            if found is None:
                found = Form({}, torch.zeros_like(led.error), torch.zeros_like(led.error))
            factor = led.error.new_tensor([[sign]]) if scale is None else sign * scale
            found.constant += led.constant * factor
            found.error += led.error * factor.abs()
            for at, rows in led.rows.items():
                scaled = rows * factor.reshape(*factor.shape, *[1] * (rows.dim() - 1))
                found.add((key[0], at), scaled.expand(len(led.error), *rows.shape))
        assert found is not None
        return found

    def _led(self, key: Key, elements: Tensor) -> Led:
        kept = self._kept.get(key)
        found = kept.of(elements) if kept is not None else None
        if found is None:
            found = self._carried(key, elements)
            more = found.memory() - (0 if kept is None else kept.memory())
            if (kept is None or more > 0) and more <= self._room:
                self._kept[key] = found
                self._room -= more
        return found

    def _carried(self, key: Key, elements: Tensor) -> Led:
        side, last = key
        graph = self._graphs[side]
        one = torch.zeros(elements.numel(), graph.nodes[last].size, dtype=torch.float64, device=elements.device)
        one[torch.arange(elements.numel(), device=elements.device), elements] = 1
        rows = {last: one.reshape(-1, *graph.nodes[last].shape)}
        constant = one.new_zeros(elements.numel())
        error = constant.expand(len(self._known.low[key]), -1)
        through: set[int] = set()
        for at in range(last, -1, -1):
            node = graph.nodes[at]
            if at not in rows or not isinstance(node, Affine) or not self._met(graph, at, last, through):
                continue
            here = rows.pop(at)
            through.add(at)
            error = error + total(here.abs().unsqueeze(0), self._known.weight[side, at])
            if node.offset is not None:
                constant = constant + total(here.unsqueeze(0), node.offset)[0]
            for source, back in zip(node.sources, transposed(node, here, graph), strict=True):
                rows[source] = rows[source] + back if source in rows else back
        return Led(elements, rows, constant, error)

    @staticmethod
    def _met(graph: Graph, at: int, last: int, through: set[int]) -> bool:
        """Whether all that reads a value on the way was gone through: what comes to it later would go twice."""
        return at == last or all(reader in through for reader in graph.consumers[at] if reader <= last)
