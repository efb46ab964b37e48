"""Its bounds are one more than what is measured."""

from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class CountsWrong(Quantity):
    """The number of modules.

    Static rule:
        One more than there are.

    Runtime rule:
        As many as there are.

    Source:
        This file.
    """

    unit = "count"
    least = 0
    static = True
    card: ClassVar[Card] = Card(
        summary="Count modules",
        source="this file",
        example="counts_wrong",
        near_miss="counts_wrong(3)",
        near_miss_code="SD110",
    )

    def bounds(self, interface: Interface, context: Static) -> tuple[Polynomial, Polynomial]:
        """Return one more."""
        count = Polynomial.constant(len(interface.modules) + 1)
        return count, count

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the count."""
        return float(len(list(model.modules())))
