"""How much the loss would change without the weights, to second order."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.vocabulary.context import Runtime
from surgery_dsl.vocabulary.criteria._data import OverData
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch

    from surgery_dsl.vocabulary.criteria._elementwise import Arguments


@final
class Fisher(OverData):
    """Score by the second-order change of the loss if a weight became zero: w^2 E[g^2].

    Arguments:
        data: A data block; its targets choose the loss: cross-entropy for integer labels, else the mean squared error.
        batches: How many of its batches are used, at least 1; all where it is left out.

    Static rule:
        Fits weights, channels and modules. Labels must be classes of the network.

    Runtime rule:
        E[g^2] is the mean over examples of the squared gradient of each example's loss, the diagonal of the empirical
        Fisher information, in eval mode and float32; examples pass one by one, so this takes longer than `taylor`. A
        weight scores w^2 E[g^2]; a channel the sum over the entries of the site's weight that carry it, over all
        sites that share its axis.

    Source:
        Theis et al., "Faster gaze prediction with dense networks and Fisher pruning", arXiv:1801.05787, section 2.1,
        without the factor 1/2.
    """

    card: ClassVar[Card] = Card(
        summary="Score by the loss's second-order change without the weight",
        source="Theis et al., arXiv:1801.05787, section 2.1",
        example="fisher(train, batches = 1)",
        near_miss="fisher(train, batches = 0)",
        near_miss_code="SD112",
        needs=frozenset({"data", "gradients", "labels"}),
    )

    def arguments(self, tensors: Iterable[str], runtime: Runtime) -> "Arguments":
        """Return weights and mean squared gradients of single examples."""
        from surgery_dsl.kernels.scores import squared_gradient

        squares = self.gradients(tensors, runtime, squared_gradient, singly=True)
        return {name: (runtime.tensor(name), square) for name, square in squares.items()}

    def score(self) -> "Callable[..., torch.Tensor]":
        """Return w^2 E[g^2]."""
        from surgery_dsl.kernels import scores

        return scores.fisher
