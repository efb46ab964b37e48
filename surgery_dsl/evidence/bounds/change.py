"""How far apart the outputs of two networks can be over a region."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.analysis import REAL, Analysis, Arithmetic
from surgery_dsl.evidence.bounds.backward import Form, Step, Upper, upper
from surgery_dsl.evidence.bounds.changes import Match, together
from surgery_dsl.evidence.bounds.graph import Graph, Unbounded
from surgery_dsl.evidence.bounds.known import Known
from surgery_dsl.evidence.bounds.region import Region
from surgery_dsl.evidence.bounds.rounding import finite


@final
@dataclass(frozen=True)
class ChangeBound:
    """Upper bounds of linear forms on f′(x) − f(x), for every x of each region.

    Attributes:
        bound: [B, K]: the lesser of the two below.
        differential: By carrying the change through both networks.
        apart: By lines of each network alone (CROWN on the network f′ − f).
        slopes: Coefficients of the tighter form on the input, [B, K, *shape]: where the region is best split.
    """

    bound: Tensor
    differential: Tensor
    apart: Tensor
    slopes: Tensor | None


class Comparison:
    """Two networks over a region: analysed once, asked as often as one likes.

    Args:
        old: The network before.
        new: The network after.
        matches: Functions that both have (:func:`surgery_dsl.evidence.bounds.pairing.matches`).
        region: The inputs.
        arithmetic: In which both networks run.

    Raises:
        Unbounded: Their outputs have different shapes.

    Attributes:
        region: The inputs.
        widest: Elements of the largest value of either network.
    """

    def __init__(
        self, old: Graph, new: Graph, matches: Sequence[Match], region: Region, arithmetic: Arithmetic = REAL
    ) -> None:
        self.region = region
        if old.nodes[old.output].shape != new.nodes[new.output].shape:
            raise Unbounded("the outputs of the two networks have different shapes")
        self.widest = max(node.size for graph in (old, new) for node in graph.nodes)
        self._graphs = (old, new)
        self._analysis = Analysis(self._graphs, region, arithmetic)
        self._together = together(self._analysis, matches)

    @property
    def known(self) -> Known:
        """What was found of both networks."""
        return self._analysis.known

    def bound(self, forms: Tensor) -> ChangeBound:
        """Bound linear forms on the change of the outputs.

        Args:
            forms: [K, outputs], or [B, K, outputs] with forms of each region's own, float64: what is bounded from
                above is forms @ (f′(x) − f(x)).

        Returns:
            The bounds; each holds for every x of its region.
        """
        ends = [(side, graph.output) for side, graph in enumerate(self._graphs)]
        shape = self._graphs[0].nodes[self._graphs[0].output].shape
        rows = forms.expand(self.region.count, *forms.shape[-2:]).reshape(self.region.count, -1, *shape)
        start = {ends[0]: -rows, ends[1]: rows}
        found = [self._upper(order, start) for order in (self._together, self._analysis.apart())]
        differential, apart = (finite(one.bound, "a bound") for one in found)
        slopes = found[0].slopes.get(0)
        return ChangeBound(torch.minimum(differential, apart), differential, apart, slopes)

    def _upper(self, order: Sequence[Step], start: "dict[tuple[int, int], Tensor]") -> Upper:
        return upper(self._graphs, self._analysis.known, order, Form.of(start), self.region)


def largest_change(comparison: Comparison, outputs: int) -> Tensor:
    """Return, for each region, a bound of max_k |f′_k(x) − f_k(x)|: [B]."""
    one = torch.eye(outputs, dtype=torch.float64)
    return comparison.bound(torch.cat([one, -one])).bound.amax(1)
