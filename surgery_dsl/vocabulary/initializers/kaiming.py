"""``kaiming()``: random weights for layers with ReLU."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from surgery_dsl.vocabulary.kinds import Initializer
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Kaiming(Initializer):
    """Random weights that keep the variance of activations through layers with ReLU.

    Arguments:
        mode: `fan_in` keeps the variance of activations on the way forward, `fan_out` that of gradients on the way
            back.
        slope: Slope of a leaky ReLU on its negative side; 0 for ReLU.
        distribution: `normal` or `uniform`.

    Runtime rule:
        Standard deviation √(2 / (1 + slope²)) / √fan, from the step's seed; fans are those of the whole weight.

    Source:
        He et al., Delving deep into rectifiers, ICCV 2015, section 2.2.
    """

    card: ClassVar[Card] = Card(
        summary="Draw weights that keep the variance through ReLU",
        source="He et al., ICCV 2015, section 2.2",
        example="kaiming()",
        near_miss='kaiming(mode = "fan_up")',
        near_miss_code="SD107",
        needs=frozenset({"seed"}),
    )

    mode: Literal["fan_in", "fan_out"] = "fan_in"
    slope: Annotated[float, Field(ge=0)] = 0.0
    distribution: Literal["normal", "uniform"] = "normal"

    def fill(self, tensor: "torch.Tensor", generator: "torch.Generator") -> None:
        """Fill a weight of shape ``(out, in, …)`` in place."""
        from surgery_dsl.kernels.initializers import kaiming_

        gain = (2.0 / (1.0 + self.slope**2)) ** 0.5
        kaiming_(tensor, generator, mode=self.mode, gain=gain, distribution=self.distribution)
