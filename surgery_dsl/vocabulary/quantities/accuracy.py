"""``accuracy``: the share of examples whose class is found."""

from typing import TYPE_CHECKING, Annotated, ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.quantities._fits import targets_fit
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch


@final
class Accuracy(Quantity):
    """Share of examples whose label is the class with the greatest output; of equal outputs the first counts.

    Arguments:
        data: A data block with class numbers.

    Static rule:
        The labels are class numbers that the outputs have.

    Runtime rule:
        accuracy = |{i : argmax_k f(x_i)_k = y_i}| / n, over all examples, eval mode. For outputs ``[N, K, …]`` and
        labels ``[N, …]`` every position is an example. A difference of accuracies is in percentage points (``1pp``).

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

        return metrics.accuracy(model, runtime.data(self.data).batches(), runtime.outputs, self.data)
