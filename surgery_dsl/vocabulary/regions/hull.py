"""``hull``: the bounding box of a data set."""

from typing import TYPE_CHECKING, Annotated, ClassVar, final

from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Region
from surgery_dsl.vocabulary.regions._real import examples, one_real_input
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch


@final
class Hull(Region):
    """The bounding box of a data set: every input whose coordinates each lie between the least and the greatest there.

    It is where the examples were seen to lie, not where inputs may come from: for that, write ``domain(…)``.

    Arguments:
        data: A data block.

    Static rule:
        The network takes one input of real numbers.

    Runtime rule:
        One box: for each coordinate the least and the greatest value over all examples.

    Source:
        Interval hull; Moore, Kearfott and Cloud, Introduction to Interval Analysis (2009), section 2.1.
    """

    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="The bounding box of a data set",
        source="Interval hull; Moore, Kearfott and Cloud, Introduction to Interval Analysis (2009), section 2.1.",
        example="hull(test)",
        near_miss="hull(no_such_data)",
        near_miss_code="SD106",
        needs=frozenset({"data"}),
    )

    data: Annotated[str, Names("data")]

    def check(self, context: Static) -> None:
        """Report an input that is not one of real numbers."""
        one_real_input(self.span, context)

    def said(self) -> str:
        """Return whose bounding box it is."""
        return f"every input in the bounding box of the examples of `{self.data}` (no statement of the domain)"

    def corners(self, runtime: Runtime, inside: str = "") -> "torch.Tensor":
        """Return one box around all examples."""
        import torch

        found = examples(self.data, None, runtime, inside).double()
        return torch.stack([found.amin(0), found.amax(0)]).unsqueeze(1).unsqueeze(1)
