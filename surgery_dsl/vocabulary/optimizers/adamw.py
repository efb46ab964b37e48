"""``adamw(lr = 1e-3)``: Adam with decoupled weight decay."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, final

from pydantic import Field

from surgery_dsl.vocabulary.kinds import Optimizer, RateOrNumber
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Adamw(Optimizer):
    """Adam with decoupled weight decay.

    Arguments:
        lr: Learning rate: a number, a schedule, or rates by layer.
        betas: Decay of the averages of the gradient and of its square, each from 0 to below 1.
        decay: Weight decay, as a share of the learning rate per step, at least 0.
        eps: Added to the root of the second average, above 0.

    Runtime rule:
        ``torch.optim.AdamW``, built after surgery, so that no state belongs to a tensor that is gone.

    Source:
        Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization, algorithm 2.
    """

    card: ClassVar[Card] = Card(
        summary="Adam with decoupled weight decay",
        source="Loshchilov and Hutter 2019, Decoupled Weight Decay Regularization; torch.optim.AdamW",
        example="adamw(lr = 1e-3, decay = 1e-2)",
        near_miss="adamw(lr = 1e-3, decay = -1)",
        near_miss_code="SD112",
        needs=frozenset({"gradients"}),
    )
    positional: ClassVar[tuple[str, ...]] = ()

    lr: RateOrNumber = 1e-3
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.999)
    decay: Annotated[float, Field(ge=0)] = 0.01
    eps: Annotated[float, Field(gt=0)] = 1e-8

    def build(self, groups: list[dict[str, Any]]) -> "torch.optim.Optimizer":
        """Build it; every group brings its ``lr``."""
        from torch.optim import AdamW

        return AdamW(groups, betas=self.betas, weight_decay=self.decay, eps=self.eps)
