"""``hull``: the bounding box of a data set."""

from typing import TYPE_CHECKING, Annotated, ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Region
from surgery_dsl.vocabulary.regions._inputs import dtypes, input_sets, same_sizes
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.bounds.input_sets import InputSet


@final
class Hull(Region):
    """The bounding box of a data set: every input whose coordinates each lie between the least and the greatest there.

    Of tokens: every input that has at each place a token which some example has there.

    It is where the examples were seen to lie, not where inputs may come from: for that, write ``domain(…)``.

    Arguments:
        data: A data block.

    Static rule:
        Of several inputs the data give each by its name.

    Runtime rule:
        One box: for each coordinate the least and the greatest value over all examples; for each place of tokens the
        set of those that occur. What is not a real number and the same in every example is a constant; booleans that
        differ are refused.

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
        """Report inputs that are other than the base's."""
        same_sizes(self.span, context)

    def constants(self, interface: Interface) -> frozenset[str]:
        """Return the booleans."""
        return frozenset(name for name, dtype in dtypes(interface).items() if dtype == "bool")

    def said(self) -> str:
        """Return whose bounding box it is."""
        return f"every input in the bounding box of the examples of `{self.data}` (no statement of the domain)"

    def input_sets(self, runtime: Runtime, inside: str = "") -> "dict[str, InputSet]":
        """Return one box around all examples, and the tokens that occur."""
        from surgery_dsl.evidence.bounds.region import Box

        def box(values: "torch.Tensor") -> Box:
            ends = (values.double().amin(0), values.double().amax(0))
            return Box(*(end.unsqueeze(0).unsqueeze(0) for end in ends))

        return input_sets(self.data, None, runtime, inside, box, together=True)
