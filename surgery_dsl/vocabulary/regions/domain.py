"""``domain``: every input with numbers in a declared range."""

from typing import TYPE_CHECKING, ClassVar, Self, final

from pydantic import model_validator

from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Region
from surgery_dsl.vocabulary.regions._real import above, below, clip_ordered, input_sizes, one_real_input, say
from surgery_dsl.vocabulary.values import Number, number_text
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Domain(Region):
    """Every input whose numbers all lie between ``low`` and ``high``: a declared range, read off no data.

    Arguments:
        low: The least value of any coordinate.
        high: The greatest; above ``low``.

    Static rule:
        The network takes one input of real numbers, of exact sizes but for the batch.

    Runtime rule:
        One box, its corners in float64, rounded outward.

    Source:
        The input region of Albarghouthi, Introduction to Neural Network Verification (2021), chapter 4.
    """

    positional = ("low", "high")
    card: ClassVar[Card] = Card(
        summary="All inputs with numbers in a declared range",
        source="The input region of Albarghouthi, Introduction to Neural Network Verification (2021), chapter 4.",
        example="domain(0, 1)",
        near_miss="domain(1, 1)",
        near_miss_code="SD112",
    )

    low: Number
    high: Number

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        clip_ordered(self.low, self.high)
        return self

    def check(self, context: Static) -> None:
        """Report an input that is not one of real numbers, or has free sizes."""
        if one_real_input(self.span, context) and None in input_sizes(context.base):
            text = "the input has free sizes, and a domain speaks of inputs of one size"
            say(text, self.span, context, "state the sizes in `input = …`, or name examples: `box(data, eps = …)`")

    def said(self) -> str:
        """Return the declared range."""
        return f"every input with numbers from {number_text(self.low)} to {number_text(self.high)}"

    def corners(self, runtime: Runtime, inside: str = "") -> "torch.Tensor":
        """Return the one box."""
        import torch

        if inside:
            raise LookupError("a declared range says nothing of the sizes inside of a network")
        sizes = [size or 0 for size in input_sizes(runtime.interface)]
        ends = (below(self.low), above(self.high))
        return torch.stack([torch.full((1, 1, *sizes), end, dtype=torch.float64) for end in ends])
