"""``orthogonal()``: random weights that keep lengths."""

from typing import TYPE_CHECKING, Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.vocabulary.kinds import Initializer
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Orthogonal(Initializer):
    """Random weights with orthonormal rows, or columns where there are more rows than columns.

    Arguments:
        gain: Factor of all weights: every singular value is this.

    Runtime rule:
        The Q factor of a Gaussian matrix `(out, in · kernel)`, its signs made uniform, from the step's seed.

    Source:
        Saxe, McClelland and Ganguli, Exact solutions to the nonlinear dynamics of learning in deep linear neural
        networks, ICLR 2014, section 3.
    """

    card: ClassVar[Card] = Card(
        summary="Draw weights that keep lengths",
        source="Saxe, McClelland and Ganguli, ICLR 2014, section 3",
        example="orthogonal(gain = 1.4)",
        near_miss="orthogonal(gain = 0)",
        near_miss_code="SD112",
        needs=frozenset({"seed"}),
    )

    gain: Annotated[float, Field(gt=0)] = 1.0

    def fill(self, tensor: "torch.Tensor", generator: "torch.Generator") -> None:
        """Fill a weight of shape ``(out, in, …)`` in place."""
        from surgery_dsl.kernels.initializers import orthogonal_

        orthogonal_(tensor, generator, gain=self.gain)
