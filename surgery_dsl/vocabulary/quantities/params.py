"""``params``: how many weights a network has."""

from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.quantities import _counting
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Params(Quantity):
    """Elements of parameters: Σ numel(θ), tied parameters once.

    Static rule:
        The polynomial Σ Π (axis sizes) over the interface, exact before and after. Integer-quantized weights count
        like the weights they replace; their scales, and the statistics of norms, do not.

    Runtime rule:
        An integer, counted on the live network; nothing is read but shapes.

    Source:
        The usual count; ties and quantized weights as docs/language.md, section 6, says.
    """

    unit = "count"
    least = 0
    static = True
    card: ClassVar[Card] = Card(
        summary="Count the elements of all parameters, tied ones once",
        source="The usual count; ties and quantized weights as docs/language.md, section 6, says.",
        example="params",
        near_miss="params(3)",
        near_miss_code="SD110",
    )

    def bounds(self, interface: Interface, context: Static) -> tuple[Polynomial, Polynomial]:
        """Return the count twice: it is exact."""
        count = _counting.parameters(interface)
        return count, count

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Count on the live network, any device; nothing is read but shapes."""
        from surgery_dsl.evidence import counts

        return float(counts.params(model))
