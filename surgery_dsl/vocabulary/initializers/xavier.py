"""``xavier()``: random weights for layers that are nearly linear."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from surgery_dsl.vocabulary.kinds import Initializer
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Xavier(Initializer):
    """Random weights that keep the variance both ways through layers that are nearly linear: heads, tanh.

    Arguments:
        gain: Factor of all weights.
        distribution: `uniform` or `normal`.

    Runtime rule:
        Standard deviation gain · √(2 / (fan_in + fan_out)), from the step's seed.

    Source:
        Glorot and Bengio, Understanding the difficulty of training deep feedforward neural networks, AISTATS 2010,
        equation 16.
    """

    card: ClassVar[Card] = Card(
        summary="Draw weights that keep the variance both ways",
        source="Glorot and Bengio, AISTATS 2010, equation 16",
        example="xavier(gain = 0.5)",
        near_miss="xavier(gain = -1)",
        near_miss_code="SD112",
        needs=frozenset({"seed"}),
    )

    gain: Annotated[float, Field(gt=0)] = 1.0
    distribution: Literal["uniform", "normal"] = "uniform"

    def fill(self, tensor: "torch.Tensor", generator: "torch.Generator") -> None:
        """Fill a weight of shape ``(out, in, …)`` in place."""
        from surgery_dsl.kernels.initializers import xavier_

        xavier_(tensor, generator, gain=self.gain, distribution=self.distribution)
