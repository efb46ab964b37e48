"""``change``: how far the function moved from the base."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Runtime, Static
from surgery_dsl.vocabulary.kinds import NameOr, Quantity, Region
from surgery_dsl.vocabulary.quantities._fits import outputs_comparable
from surgery_dsl.vocabulary.values import Point
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Change(Quantity):
    """Distance between the outputs of the base, f, and of the network here, f′, over a data set X.

    Arguments:
        data: A data block; or a region (``box(…)``), where it is a bound for every input and belongs to ``certify``.
        norm: ``inf``, ``2`` or ``relative``.

    Static rule:
        The outputs have the sizes of the base's.

    Runtime rule:
        - ``inf``: max over x in X and over outputs k of |f′(x)_k − f(x)_k|
        - ``2``: max over x in X of ‖f′(x) − f(x)‖₂
        - ``relative``: √(Σ_x ‖f′(x) − f(x)‖₂² / Σ_x ‖f(x)‖₂²), a share; infinite where f is zero and f′ is not

        Both networks run in eval mode, in the batches of the data block, in their own dtype; differences are taken in
        float64.

    Source:
        Norms of Golub and Van Loan, Matrix Computations (2013), section 2.2.
    """

    unit = "number"
    least = 0
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

    def counts_in(self) -> Literal["count", "bytes", "share", "number"]:
        """Return ``share`` for the relative change, else ``number``."""
        return "share" if self.norm == "relative" else "number"

    def check(self, context: Static) -> None:
        """Report outputs that have other sizes than the base's: there is no difference to take then."""
        outputs_comparable(self.span, context)

    def measure(self, model: "torch.nn.Module", interface: Interface, runtime: Runtime) -> float:
        """Return the distance from the base over the data set; raise ``LookupError`` for a region."""
        from surgery_dsl.evidence import metrics

        if not isinstance(self.data, str):
            raise LookupError("a change over a region is bounded, not measured")
        base, _ = runtime.point(Point(at="base"))
        batches = runtime.data(self.data).batches()
        return metrics.change(base, model, batches, self.norm, runtime.outputs, self.data)
