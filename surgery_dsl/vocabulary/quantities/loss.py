"""``loss``: the mean loss over a data set."""

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Region
from surgery_dsl.vocabulary.quantities._fits import arithmetic_of_bounds, classes_fit, targets_fit
from surgery_dsl.vocabulary.quantities._sampled import Sampled
from surgery_dsl.vocabulary.word import Card, NameOr

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.bounds.claimed import Claimed


@final
class Loss(Sampled):
    """Mean loss over all examples: cross-entropy for class labels, squared error for real targets.

    Arguments:
        data: A data block with targets; or a region (``box(…)``), where the increase over the base is bounded for every
            input and belongs to ``certify``.
        arithmetic: Of a bound: ``real``, or ``float32``, which adds what rounding in any order of summation may do.
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

        Over a region it is the cross-entropy of single inputs: ``certify loss(REGION) <= base.loss(REGION) + ε`` says
        CE(f′(x), y) ≤ CE(f(x), y) + ε for every x, and for the label y of the example that a box stands around, else
        for every y. With Δ = f′(x) − f(x) and p = softmax(f(x)), CE(f′) − CE(f) = ln Σ_j p_j exp(Δ_j − Δ_y), which is
        at most max_j (Δ_j − Δ_y), and so at most 2‖Δ‖_∞; the rows e_j − e_y are bounded.

    Source:
        Goodfellow et al., Deep Learning (2016), sections 5.5 and 6.2.
    """

    unit = "number"
    least = 0
    certifies = "increase"
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="The mean loss: cross-entropy for labels, squared error for real targets",
        source="Goodfellow et al., Deep Learning (2016), sections 5.5 and 6.2.",
        example="loss(test, clip = 5)",
        near_miss="loss(no_such_data)",
        near_miss_code="SD106",
        needs=frozenset({"data", "labels"}),
    )

    data: Annotated[str | Region, NameOr("data", "regions")]
    arithmetic: Literal["real", "float32"] = "real"
    clip: Annotated[float, Field(gt=0)] | None = None

    def check(self, context: Static) -> None:
        """Report targets that fit no loss on the network's outputs."""
        arithmetic_of_bounds(self, context)
        if isinstance(self.data, str):
            targets_fit(self.data, self.span, context, labels=False)
        else:
            classes_fit(self.data, self.span, context)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the mean over the data set."""
        from surgery_dsl.evidence import metrics, tokens

        if self.clip is not None:
            return float(self.items(model, interface, runtime).clamp(max=self.clip).mean())
        if runtime.data(self._named()).facts.tokens:
            return tokens.likelihood_of(runtime.answers(model, self._named()), self._named())
        return metrics.loss_of(runtime.answers(model, self._named()), self._named())

    def between(self) -> tuple[Fraction, Fraction] | None:
        """Return 0 and the clip, where there is one."""
        return None if self.clip is None else (Fraction(0), Fraction(str(self.clip)))

    def items(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> "torch.Tensor":
        """Return the loss of each example, not clipped."""
        from surgery_dsl.evidence import samples

        return samples.losses(
            runtime.answers(model, self._named()), self._named(), runtime.data(self._named()).facts.tokens
        )

    def claimed(self, runtime: Runtime) -> "Claimed":
        """Return the increase of the cross-entropy, for the labels of the region's examples or for every label."""
        from surgery_dsl.evidence.bounds.claimed import CrossEntropy

        if isinstance(self.data, str):
            raise LookupError("a loss on examples is measured, not bounded")
        return CrossEntropy(self.data.labels(runtime))

    def _named(self) -> str:
        if not isinstance(self.data, str):
            raise LookupError("a loss over a region is bounded, not measured")
        return self.data

    def plain(self) -> "Loss":
        """Return the loss without confidence and clip: its items are not clipped."""
        return self.replaced(span=None, confidence=None, clip=None)
