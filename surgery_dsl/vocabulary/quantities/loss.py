"""``loss``: the mean loss over a data set."""

from typing import TYPE_CHECKING, Annotated, ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.quantities._fits import targets_fit
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch


@final
class Loss(Quantity):
    """Mean loss over all examples: cross-entropy for class labels, squared error for real targets.

    Arguments:
        data: A data block with targets.

    Static rule:
        Targets are class numbers that the outputs have, or numbers of the outputs' shape.

    Runtime rule:
        Class labels are targets of an integer dtype: −log softmax(f(x))_y, natural logarithm, classes along dimension
        1. Of texts (``text``, ``jsonl``) it is the loss of the next token, each token weighing the same. Real targets:
        the mean of (f(x) − y)² over all elements. It is what the network is judged by, whatever a ``recover`` trained
        it with. Eval mode, in the batches of the data block, summed in float64.

    Source:
        Goodfellow et al., Deep Learning (2016), sections 5.5 and 6.2.
    """

    unit = "number"
    least = 0
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="The mean loss: cross-entropy for labels, squared error for real targets",
        source="Goodfellow et al., Deep Learning (2016), sections 5.5 and 6.2.",
        example="loss(test)",
        near_miss="loss(no_such_data)",
        near_miss_code="SD106",
        needs=frozenset({"data", "labels"}),
    )

    data: Annotated[str, Names("data")]

    def check(self, context: Static) -> None:
        """Report targets that fit no loss on the network's outputs."""
        targets_fit(self.data, self.span, context, labels=False)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the mean over the data set."""
        from surgery_dsl.evidence import metrics, tokens

        loaded = runtime.data(self.data)
        if loaded.facts.tokens:
            return tokens.likelihood(model, loaded.batches(), runtime.outputs, self.data)
        return metrics.loss(model, loaded.batches(), runtime.outputs, self.data)
