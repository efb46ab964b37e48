"""``accuracy``: the share of examples whose class is found."""

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.quantities._fits import targets_fit
from surgery_dsl.vocabulary.quantities._sampled import Sampled
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch


@final
class Accuracy(Sampled):
    """Share of examples whose label is the class with the greatest output; of equal outputs the first counts.

    Arguments:
        data: A data block with class numbers.
        confidence: With which the line holds for the population that the examples were drawn from.

    Static rule:
        The labels are class numbers that the outputs have.

    Runtime rule:
        accuracy = |{i : argmax_k f(x_i)_k = y_i}| / n, over all examples, eval mode. For outputs ``[N, K, …]`` and
        labels ``[N, …]`` every position is an example. A difference of accuracies is in percentage points (``1pp``).

        With ``confidence`` it is the accuracy on the population: of one network bounded by Clopper and Pearson, and
        the difference of two, on the same examples, by betting on its values −1, 0 and 1.

    Source:
        Hastie et al., The Elements of Statistical Learning (2009), section 7.2: one minus the 0-1 loss.
    """

    unit = "share"
    least = 0
    most = 1
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="The share of examples whose class is found (top 1)",
        source="Hastie et al., The Elements of Statistical Learning (2009), section 7.2 (one minus the 0-1 loss).",
        example="accuracy(test)",
        near_miss="accuracy(no_such_data)",
        near_miss_code="SD106",
        needs=frozenset({"data", "labels"}),
    )

    data: Annotated[str, Names("data")]

    def check(self, context: Static) -> None:
        """Report targets that are no class numbers, or that the outputs have no class for."""
        targets_fit(self.data, self.span, context, labels=True)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the share over the data set; raise ``Refused`` where the targets are no class labels."""
        from surgery_dsl.evidence import metrics

        return metrics.accuracy_of(runtime.answers(model, self.data), self.data)

    def between(self) -> tuple[Fraction, Fraction]:
        """Return 0 and 1: a class is found or not."""
        return Fraction(0), Fraction(1)

    def items(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> "torch.Tensor":
        """Return 1 where the class of an example is found, 0 where not."""
        from surgery_dsl.evidence import samples

        return samples.hits(runtime.answers(model, self.data), self.data)
