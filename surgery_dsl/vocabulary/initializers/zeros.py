"""``zeros()``: weights of zero."""

from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.vocabulary.kinds import Initializer
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Zeros(Initializer):
    """Weights of zero: a layer that gives its bias alone, until training moves it.

    Runtime rule:
        Every weight is 0.

    Source:
        torch.nn.init.zeros_.
    """

    card: ClassVar[Card] = Card(
        summary="Set weights to zero",
        source="torch.nn.init.zeros_",
        example="zeros()",
        near_miss="zeros(gain = 2)",
        near_miss_code="SD110",
    )

    def fill(self, tensor: "torch.Tensor", generator: "torch.Generator") -> None:
        """Fill a weight in place; nothing is drawn."""
        tensor.detach().zero_()
