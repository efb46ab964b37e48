"""``redundant_units``: how many units say what another one says."""

import sys
from typing import TYPE_CHECKING, Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime
from surgery_dsl.vocabulary.quantities._watching import Watching
from surgery_dsl.vocabulary.quantities._worst import remark_on
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.seen import Wanted


@final
class RedundantUnits(Watching):
    """How many activation units are a multiple of another: min over α of ‖h_i − α h_j‖ / ‖h_i‖ < epsilon on the data.

    Arguments:
        data: A data block; the claim speaks of its examples alone.
        epsilon: How far from a multiple still counts as one; from 1e-6 (what products in float64 resolve) to 1.

    Runtime rule:
        h_i holds what unit i of an activation gives for every example and position. Unit i counts where some j before
        it, in the same run of the same activation, gives it, and j is not counted itself: what is counted can all be
        left to others. Units that are silent are left to :mod:`dead`. The minimum over α is √(1 − cos²) of the angle
        of h_i and h_j. In float64, eval mode; keeps units × units numbers for each activation.

    Source:
        Linear dependence of units as pruned by Srinivas and Babu 2015, Data-free parameter pruning (arXiv 1507.06149).
    """

    unit = "count"
    least = 0
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="Count the activation units that are multiples of others on the data",
        source="Srinivas and Babu 2015, Data-free parameter pruning (arXiv 1507.06149), measured on outputs.",
        example="redundant_units(test, epsilon = 0.7)",
        near_miss="redundant_units(test, epsilon = 0)",
        near_miss_code="SD112",
        needs=frozenset({"data"}),
    )

    data: Annotated[str, Names("data")]
    epsilon: Annotated[float, Field(ge=1e-6, le=1)] = 1e-3

    def wants(self, interface: Interface, runtime: Runtime) -> "Wanted":
        """Return the products of the units of activations."""
        from surgery_dsl.evidence.seen import of_activations

        return of_activations(interface, products=sys.maxsize)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the number of units that others give."""
        found = self.units(model, interface, runtime)
        counts = {units.label: int(units.redundant(self.epsilon).sum()) for units in found}
        remark_on(counts, runtime)
        return float(sum(counts.values()))
