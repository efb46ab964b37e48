"""What is known of the values of one network, or of two, over a region."""

from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.difference import Centre, Interval, Planes
from surgery_dsl.evidence.bounds.graph import Graph, Largest
from surgery_dsl.evidence.bounds.scalar import Band, Lines

Key = tuple[int, int]
"""(0 for the first network, 1 for the second; position of the value in its graph)."""


@final
@dataclass(frozen=True)
class Change:
    """How a function's value changes from one network to the other, for the units that both have.

    Attributes:
        old: [n] positions of the units in the first network's value, flat.
        new: [n] the same in the second's.
        planes: Enclosures of a′ − a in z and δ, [B, n].
        centre: One enclosure by a middle and a distance from it, [B, n].
        middle: Of the ranges of z and δ, [B, n].
        weight: What rounding adds for each unit, [B, n].
        length: Bound of the length of the vector of all |δ| / far, [B]; ``None`` for no more than what follows from
            each of them being at most one.
        whole: Whether the units are all of both values, in order.
    """

    old: Tensor
    new: Tensor
    planes: Planes
    centre: Centre
    middle: Interval
    weight: Tensor
    length: Tensor | None = None
    whole: bool = False


@dataclass
class Known:
    """Grows while the networks are analysed, in the order of their values.

    Attributes:
        low: Lower bounds, [B, *shape].
        high: Upper bounds.
        weight: What rounding adds for each element that a form reads, [B, *shape].
        lines: Enclosures of functions that bend.
        bands: The same with two lines of one slope.
        picks: For maxima: the element whose lines stand for the maximum, [B, *shape], flat positions in the source.
        changes: Of functions that both networks have.
    """

    low: dict[Key, Tensor] = field(default_factory=dict)
    high: dict[Key, Tensor] = field(default_factory=dict)
    weight: dict[Key, Tensor] = field(default_factory=dict)
    lines: dict[Key, Lines] = field(default_factory=dict)
    bands: dict[Key, Band] = field(default_factory=dict)
    picks: dict[Key, Tensor] = field(default_factory=dict)
    changes: dict[tuple[Key, Key], Change] = field(default_factory=dict)

    def far(self, key: Key) -> Tensor:
        """Return the greatest magnitude of each element."""
        return torch.maximum(self.low[key].abs(), self.high[key].abs())

    def narrow(self, key: Key, low: Tensor, high: Tensor) -> None:
        """Intersect what is known of a value with other bounds of it.

        Both are bounds of the same nonempty set; where rounding makes them cross by a hair, both ends are kept.
        """
        first, last = torch.maximum(self.low[key], low), torch.minimum(self.high[key], high)
        self.low[key], self.high[key] = torch.minimum(first, last), torch.maximum(first, last)

    def to_source(self, key: Key, rows: Tensor, graph: Graph) -> Tensor:
        """Move rows on what a function reads, one element each, [B, K, n], to its source: [B, K, *shape]."""
        node = graph.nodes[key[1]]
        shape = graph.nodes[node.sources[0]].shape
        if not isinstance(node, Largest):
            return rows.reshape(*rows.shape[:2], *shape)
        picks = self.picks[key].flatten(1).unsqueeze(1).expand_as(rows)
        source = rows.new_zeros(*rows.shape[:2], graph.nodes[node.sources[0]].size)
        return source.scatter_add(2, picks, rows).reshape(*rows.shape[:2], *shape)
