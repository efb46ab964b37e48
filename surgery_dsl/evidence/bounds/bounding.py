"""A claimed quantity bounded over many regions, in turns that fit into memory."""

from collections.abc import Sequence

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.analysis import REAL, Arithmetic
from surgery_dsl.evidence.bounds.change import ChangeBound, Comparison
from surgery_dsl.evidence.bounds.changes import Match
from surgery_dsl.evidence.bounds.claimed import Claimed
from surgery_dsl.evidence.bounds.graph import Graph
from surgery_dsl.evidence.bounds.region import Region

MOST_ELEMENTS = 1 << 20
"""Elements of the largest value, over all regions that are bounded side by side."""


class Bounding:
    """Two networks, what their functions share, and what is claimed of their change.

    Args:
        old: The network before.
        new: The network after.
        matches: Functions that both have.
        claimed: The quantity.
        arithmetic: In which both networks run.
    """

    def __init__(
        self, old: Graph, new: Graph, matches: Sequence[Match], claimed: Claimed, arithmetic: Arithmetic = REAL
    ) -> None:
        self.old, self.new, self.matches, self.claimed, self.arithmetic = old, new, matches, claimed, arithmetic
        self._widest = max(node.size for graph in (old, new) for node in graph.nodes)

    def one(self, region: Region, labels: Tensor | None) -> ChangeBound:
        """Bound the quantity over regions side by side; the bounds are [B, 1]."""
        comparison = Comparison(self.old, self.new, self.matches, region, self.arithmetic)
        return self.claimed.bound(comparison, self.new.nodes[self.new.output].shape, labels)

    def over(self, region: Region, labels: Tensor | None) -> Tensor:
        """Return the bound of each of the regions side by side, [B]."""
        turn = max(1, min(64, MOST_ELEMENTS // self._widest))
        found = []
        for part in torch.split(torch.arange(region.count), turn):
            found.append(self.one(region.part(part), None if labels is None else labels[part]).bound[:, 0])
        return torch.cat(found)

    def values(self, *points: Tensor) -> Tensor:
        """Return the quantity at one input of each region, [B], in float64."""
        return self.claimed.value(self.old.run(*points), self.new.run(*points), self.claimed.labels)
