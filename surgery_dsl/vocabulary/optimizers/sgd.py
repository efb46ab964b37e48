"""``sgd(lr = 0.05, momentum = 0.9)``: stochastic gradient descent."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, final

from pydantic import Field, model_validator

from surgery_dsl.vocabulary.kinds import Optimizer, RateOrNumber
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Sgd(Optimizer):
    """Stochastic gradient descent.

    Arguments:
        lr: Learning rate: a number, a schedule, or rates by layer.
        momentum: Decay of the running sum of gradients, from 0 to below 1.
        decay: Weight decay, added to the gradient, at least 0.
        nesterov: Whether the gradient is taken ahead; needs momentum.

    Runtime rule:
        ``torch.optim.SGD``, built after surgery, so that no state belongs to a tensor that is gone.

    Source:
        Sutskever et al. 2013, On the importance of initialization and momentum in deep learning, section 2.
    """

    card: ClassVar[Card] = Card(
        summary="Stochastic gradient descent, with momentum where asked",
        source="torch.optim.SGD; Sutskever et al. 2013",
        example="sgd(lr = 0.05, momentum = 0.9)",
        near_miss="sgd(lr = 0.05, momentum = 1.5)",
        near_miss_code="SD112",
        needs=frozenset({"gradients"}),
    )
    positional: ClassVar[tuple[str, ...]] = ()

    lr: RateOrNumber
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    decay: Annotated[float, Field(ge=0)] = 0.0
    nesterov: bool = False

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        return self

    def build(self, groups: list[dict[str, Any]]) -> "torch.optim.Optimizer":
        """Build it; every group brings its ``lr``."""
        from torch.optim import SGD

        return SGD(groups, lr=0.0, momentum=self.momentum, weight_decay=self.decay, nesterov=self.nesterov)
