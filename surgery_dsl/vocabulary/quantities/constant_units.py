"""``constant_units``: how many units say nothing about the input."""

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
class ConstantUnits(Watching):
    """How many activation units have no variance on the data: Var(h_j) ≤ epsilon.

    Arguments:
        data: A data block; the claim speaks of its examples alone.
        epsilon: The greatest variance that counts as none, at least 0.

    Runtime rule:
        The variance is taken over all examples and positions, divided by their number, in float64. Units are those of
        :mod:`dead`, which is the case of a constant zero; a saturated sigmoid is constant and not silent. Eval mode.

    Source:
        Poole et al. 2016, Exponential expressivity (arXiv 1606.05340); variances as Chan, Golub and LeVeque 1983.
    """

    unit = "count"
    least = 0
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="Count the activation units that do not vary on the data",
        source="Var(h) < epsilon: saturated and silent units; variances as Chan, Golub and LeVeque 1983.",
        example="constant_units(test)",
        near_miss="constant_units(test, epsilon = -1)",
        near_miss_code="SD112",
        needs=frozenset({"data"}),
    )

    data: Annotated[str, Names("data")]
    epsilon: Annotated[float, Field(ge=0)] = 1e-12

    def wants(self, interface: Interface, runtime: Runtime) -> "Wanted":
        """Return the units of activations."""
        from surgery_dsl.evidence.seen import of_activations

        return of_activations(interface)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the number of units without variance."""
        found = self.units(model, interface, runtime)
        counts = {units.label: int(units.constant(self.epsilon).sum()) for units in found}
        remark_on(counts, runtime)
        return float(sum(counts.values()))
