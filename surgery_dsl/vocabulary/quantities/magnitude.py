"""``magnitude``: how large the operation was."""

from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.values import Point
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Magnitude(Quantity):
    """Relative change of the base's parameters: ‖θ − θ₀‖₂ / ‖θ₀‖₂ over the parameters θ₀ of the base.

    Runtime rule:
        Entries that were removed count as changed to zero. Duplicated entries (widening) are compared with the entry
        that they were copied from, once: the first copy stands for it. A layer in another form (factored, quantized)
        is compared by the weight that it stands for. New parameters are left out. Summed in float64.

    Source:
        Relative Frobenius distance; removed entries are zeros, as in Han et al. 2015 (arXiv 1506.02626).
    """

    unit = "share"
    least = 0
    card: ClassVar[Card] = Card(
        summary="Relative change of the base's parameters",
        source="Relative Frobenius distance; removed entries are zeros, as in Han et al. 2015 (arXiv 1506.02626).",
        example="magnitude",
        near_miss="magnitude(3)",
        near_miss_code="SD110",
    )

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the share; 0 where nothing changed, infinite where the base is all zeros and something did."""
        from surgery_dsl.evidence import distance

        base, _ = runtime.point(Point(at="base"))
        return distance.magnitude(base, model, runtime.edits)
