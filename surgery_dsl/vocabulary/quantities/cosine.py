"""``cosine``: how much outputs still point where the base's do."""

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.quantities._fits import outputs_comparable
from surgery_dsl.vocabulary.quantities._sampled import Sampled
from surgery_dsl.vocabulary.values import Point
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch


@final
class Cosine(Sampled):
    """Cosine similarity of the outputs of the base, f, and of the network here, f′: 1 where they point the same way.

    Arguments:
        data: A data block; its targets are not used.
        over: ``mean`` over all vectors of the data set, or ``min``, the least of them.
        confidence: With which the line holds for the population that the examples were drawn from.

    Static rule:
        The outputs have the sizes of the base's.

    Runtime rule:
        cos(f, f′) = ⟨f, f′⟩ / (‖f‖ ‖f′‖) along the last dimension of the output, one vector for each example and
        position; 0 where one of both is zero. Both networks run in eval mode, in the batches of the data block, in
        their own dtype; the similarity is taken in float64. With ``confidence`` it is the mean over the population, of
        each example's mean where it has positions, bounded by betting.

    Source:
        Manning, Raghavan and Schütze, Introduction to Information Retrieval (2008), section 6.3.1.
    """

    unit = "number"
    least = -1
    most = 1
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="How much the outputs point where the base's do",
        source="Manning, Raghavan and Schütze, Introduction to Information Retrieval (2008), section 6.3.1.",
        example="cosine(test)",
        near_miss="cosine(test, over = median)",
        near_miss_code="SD107",
        needs=frozenset({"data"}),
    )

    data: Annotated[str, Names("data")]
    over: Literal["mean", "min"] = "mean"

    def check(self, context: Static) -> None:
        """Report outputs that have other sizes than the base's."""
        outputs_comparable(self.span, context)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the similarity to the base over the data set."""
        from surgery_dsl.evidence import metrics

        base, _ = runtime.point(Point(at="base"))
        before, after = (runtime.answers(network, self.data) for network in (base, model))
        found = metrics.cosines_of(before, after, self.data)
        return float(found.mean() if self.over == "mean" else found.min())

    def between(self) -> tuple[Fraction, Fraction]:
        """Return −1 and 1."""
        return Fraction(-1), Fraction(1)

    def items(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> "torch.Tensor":
        """Return the mean similarity of each example's vectors."""
        from surgery_dsl.evidence import samples

        base, _ = runtime.point(Point(at="base"))
        before, after = (runtime.answers(network, self.data) for network in (base, model))
        return samples.cosines(before, after, self.data)
