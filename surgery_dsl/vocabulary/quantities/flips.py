"""``flips``: how many examples the base had right, and the network here has wrong."""

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar, final

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.quantities._fits import outputs_comparable, targets_fit
from surgery_dsl.vocabulary.quantities._sampled import Sampled
from surgery_dsl.vocabulary.values import Point
from surgery_dsl.vocabulary.word import Card, Names

if TYPE_CHECKING:
    import torch


@final
class Flips(Sampled):
    """Share of examples whose class the base finds and the network here does not: negative flips.

    An accuracy that stays can hide them: as many examples may have gone from wrong to right.

    Arguments:
        data: A data block with class numbers.
        confidence: With which the line holds for the population that the examples were drawn from.

    Static rule:
        The labels are class numbers that the outputs have, and the outputs have the sizes of the base's.

    Runtime rule:
        flips = |{i : argmax_k f(x_i)_k = y_i ≠ argmax_k f′(x_i)_k}| / n, in eval mode; of equal outputs the first
        counts. For outputs ``[N, K, …]`` and labels ``[N, …]`` every position is an example.

        With ``confidence`` it is the share of the population, bounded by Clopper and Pearson; where examples have
        positions, the mean share of an example's positions, by betting.

    Source:
        Yan et al. 2021, Positive-Congruent Training: Towards Regression-Free Model Updates (arXiv 2011.09161).
    """

    unit = "share"
    least = 0
    most = 1
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="The share of examples that went from right to wrong",
        source="Yan et al. 2021, Positive-Congruent Training (arXiv 2011.09161), section 3.",
        example="flips(test)",
        near_miss="flips(test, confidence = 100%)",
        near_miss_code="SD112",
        needs=frozenset({"data", "labels"}),
    )

    data: Annotated[str, Names("data")]

    def check(self, context: Static) -> None:
        """Report targets that are no class numbers, and outputs that have other sizes than the base's."""
        targets_fit(self.data, self.span, context, labels=True)
        outputs_comparable(self.span, context)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the share over the data set."""
        return float(self.items(model, interface, runtime).mean())

    def between(self) -> tuple[Fraction, Fraction]:
        """Return 0 and 1."""
        return Fraction(0), Fraction(1)

    def items(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> "torch.Tensor":
        """Return 1 where an example went from right to wrong, 0 elsewhere."""
        from surgery_dsl.evidence import samples

        base, _ = runtime.point(Point(at="base"))
        before, after = (runtime.answers(network, self.data) for network in (base, model))
        return samples.flips(before, after, self.data)
