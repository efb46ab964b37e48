"""``change``: how far the function moved from the base."""

from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field, field_validator

from surgery_dsl.diagnostics.codes import budgets
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import Region
from surgery_dsl.vocabulary.quantities._fits import arithmetic_of_bounds, outputs_comparable
from surgery_dsl.vocabulary.quantities._sampled import Sampled
from surgery_dsl.vocabulary.values import Percent, Point
from surgery_dsl.vocabulary.word import Card, NameOr

if TYPE_CHECKING:
    import torch

    from surgery_dsl.evidence.bounds.claimed import Claimed


@final
class Change(Sampled):
    """Distance between the outputs of the base, f, and of the network here, f′, over a data set X.

    Arguments:
        data: A data block; or a region (``box(…)``), where it is a bound for every input and belongs to ``certify``.
        norm: ``inf``, ``2`` or ``relative``.
        at: Of a bound: a module of the base; then inputs and outputs are the module's, and the region is one of what it
            is given in the base when the examples run. It says nothing of the network's outputs.
        arithmetic: Of a bound: ``real``, or ``float32``, which adds what rounding in any order of summation may do.
        confidence: With which the line holds for the population that the examples were drawn from; needs ``exceeded``.
        exceeded: The share of the population that may lie above the limit.

    Static rule:
        The outputs have the sizes of the base's.

    Runtime rule:
        - ``inf``: max over x in X and over outputs k of |f′(x)_k − f(x)_k|
        - ``2``: max over x in X of ‖f′(x) − f(x)‖₂
        - ``relative``: √(Σ_x ‖f′(x) − f(x)‖₂² / Σ_x ‖f(x)‖₂²), a share; infinite where f is zero and f′ is not

        Both networks run in eval mode, in the batches of the data block, in their own dtype; differences are taken in
        float64.

        With ``confidence`` the claim is P(‖f′(x) − f(x)‖ > limit) ≤ exceeded over the population, by Clopper and
        Pearson. The largest change of a sample bounds no largest change.

        Over a region R the maxima are over every x in R. ``inf`` is bounded by upper bounds of ±(f′(x)_k − f(x)_k), for
        each the lesser of a differential and a joint linear bound; ``2`` by the length of the vector of these bounds.

    Source:
        Norms of Golub and Van Loan, Matrix Computations (2013), section 2.2.
    """

    unit = "number"
    least = 0
    certifies = "itself"
    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="How far the outputs moved from the base's",
        source="Norms of Golub and Van Loan, Matrix Computations (2013), section 2.2, of the difference of outputs.",
        example="change(test, norm = inf)",
        near_miss="change(test, norm = 3)",
        near_miss_code="SD112",
        needs=frozenset({"data"}),
    )

    data: Annotated[str | Region, NameOr("data", "regions")]
    norm: Literal["inf", "relative"] | Annotated[int, Field(ge=2, le=2)] = "inf"
    at: str = ""
    arithmetic: Literal["real", "float32"] = "real"
    exceeded: Percent | None = None

    @field_validator("exceeded")
    @classmethod
    def _share(cls, exceeded: Percent | None) -> Percent | None:
        if exceeded is not None and not 0 < exceeded.value < 100:
            raise ValueError(f"{exceeded} is not above 0% and below 100%")
        return exceeded

    def counts_in(self) -> Literal["count", "bytes", "share", "number"]:
        """Return ``share`` for the relative change, else ``number``."""
        return "share" if self.norm == "relative" else "number"

    def check(self, context: Static) -> None:
        """Report outputs that have other sizes than the base's: there is no difference to take then."""
        arithmetic_of_bounds(self, context)
        if not self.at:
            outputs_comparable(self.span, context)
        if self.exceeded is not None and self.confidence is None:
            context.say(
                Diagnostic(
                    budgets.NO_STATISTICAL_FORM,
                    "`exceeded` is a share of the population, and the line does not say with which confidence",
                    file=context.file,
                    span=self.span,
                    help="add `confidence = 95%`",
                )
            )

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the distance from the base over the data set; raise ``LookupError`` for a region."""
        from surgery_dsl.evidence import metrics

        if not isinstance(self.data, str):
            raise LookupError("a change over a region is bounded, not measured")
        base, _ = runtime.point(Point(at="base"))
        before, after = (runtime.answers(network, self.data) for network in (base, model))
        return metrics.change_of(before, after, self.norm, self.data)

    def between(self) -> tuple[Fraction, Fraction] | None:
        """Return nothing: there is no greatest change."""
        return None

    def items(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> "torch.Tensor":
        """Return the norm of each example's difference."""
        from surgery_dsl.evidence import samples

        if not isinstance(self.data, str) or self.norm == "relative":
            raise LookupError("only the norms of single examples have values for each")
        base, _ = runtime.point(Point(at="base"))
        before, after = (runtime.answers(network, self.data) for network in (base, model))
        return samples.distances(before, after, self.norm, self.data)

    def claimed(self, runtime: Runtime) -> "Claimed":
        """Return the norm, as what is bounded over a region."""
        from surgery_dsl.evidence.bounds.claimed import Euclidean, Largest

        return Largest() if self.norm == "inf" else Euclidean()

    def plain(self) -> "Change":
        """Return the change without what the claim depends on."""
        return self.replaced(span=None, confidence=None, exceeded=None)
