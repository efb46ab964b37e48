"""``loss``: the mean loss over a data set."""

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.quantities._fits import targets_fit
from surgery_dsl.vocabulary.quantities._sampled import Sampled
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch


@final
class Loss(Sampled):
    """Mean loss over all examples: cross-entropy for class labels, squared error for real targets.

    Arguments:
        data: A data block with targets.
        confidence: With which the line holds for the population that the examples were drawn from; needs ``clip``.
        clip: What the loss of one example counts at most: the mean of min(loss, clip).

    Static rule:
        Targets are class numbers that the outputs have, or numbers of the outputs' shape.

    Runtime rule:
        Class labels are targets of an integer dtype: −log softmax(f(x))_y, natural logarithm, classes along dimension
        1. Of texts (``text``, ``jsonl``) it is the loss of the next token, each token weighing the same. Real targets:
        the mean of (f(x) − y)² over all elements. It is what the network is judged by, whatever a ``recover`` trained
        it with. Eval mode, in the batches of the data block, summed in float64.

        With ``confidence`` it is the mean over the population, bounded by betting on the differences of the examples'
        clipped losses; every loss of the line is clipped alike. A mean without a greatest value has no such bound.

    Source:
        Goodfellow et al., Deep Learning (2016), sections 5.5 and 6.2.
    """

    unit = "number"
    least = 0
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="The mean loss: cross-entropy for labels, squared error for real targets",
        source="Goodfellow et al., Deep Learning (2016), sections 5.5 and 6.2.",
        example="loss(test, confidence = 95%, clip = 5)",
        near_miss="loss(no_such_data)",
        near_miss_code="SD106",
        needs=frozenset({"data", "labels"}),
    )

    data: Annotated[str, Names("data")]
    clip: Annotated[float, Field(gt=0)] | None = None

    def check(self, context: Static) -> None:
        """Report targets that fit no loss on the network's outputs."""
        targets_fit(self.data, self.span, context, labels=False)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the mean over the data set."""
        from surgery_dsl.evidence import metrics, tokens

        if self.clip is not None:
            return float(self.items(model, interface, runtime).clamp(max=self.clip).mean())
        if runtime.data(self.data).facts.tokens:
            return tokens.likelihood_of(runtime.answers(model, self.data), self.data)
        return metrics.loss_of(runtime.answers(model, self.data), self.data)

    def between(self) -> tuple[Fraction, Fraction] | None:
        """Return 0 and the clip, where there is one."""
        return None if self.clip is None else (Fraction(0), Fraction(str(self.clip)))

    def items(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> "torch.Tensor":
        """Return the loss of each example, not clipped."""
        from surgery_dsl.evidence import samples

        return samples.losses(runtime.answers(model, self.data), self.data, runtime.data(self.data).facts.tokens)

    def plain(self) -> "Loss":
        """Return the loss without confidence and clip: its items are not clipped."""
        return self.replaced(span=None, confidence=None, clip=None)
