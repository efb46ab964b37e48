"""How steeply the loss changes with the weights."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.vocabulary.context import Runtime
from surgery_dsl.vocabulary.criteria._data import OverData
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch

    from surgery_dsl.vocabulary.criteria._elementwise import Arguments


@final
class Gradient(OverData):
    """Score by the gradient of the loss: |g|.

    Arguments:
        data: A data block; its targets choose the loss: cross-entropy for integer labels, else the mean squared error.
        batches: How many of its batches are used, at least 1; all where it is left out.

    Static rule:
        Fits weights, channels and modules. Labels must be classes of the network.

    Runtime rule:
        g is the gradient of the mean loss over all examples, in eval mode, summed in float32. A weight scores |g|; a
        channel the sum over the entries of the site's weight that carry it, over all sites that share its axis.

    Source:
        The first derivative of the loss; as a criterion in LeCun et al., "Optimal brain damage", NeurIPS 1989,
        section 2, equation 1, first term.
    """

    card: ClassVar[Card] = Card(
        summary="Score by the gradient of the loss",
        source="LeCun et al., NeurIPS 1989, equation 1, first term",
        example="gradient(train, batches = 2)",
        near_miss="gradient(train, batches = 0)",
        near_miss_code="SD112",
        needs=frozenset({"data", "gradients", "labels"}),
    )

    def arguments(self, tensors: Iterable[str], runtime: Runtime) -> "Arguments":
        """Return the mean gradients."""
        return {name: (gradient,) for name, gradient in self.gradients(tensors, runtime).items()}

    def score(self) -> "Callable[..., torch.Tensor]":
        """Return |g|."""
        from surgery_dsl.kernels import scores

        return scores.gradient
