"""How much the loss would change without the weights, to first order."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ClassVar, final

from surgery_dsl.vocabulary.context import Runtime
from surgery_dsl.vocabulary.criteria._data import OverData
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch

    from surgery_dsl.vocabulary.criteria._elementwise import Arguments


@final
class Taylor(OverData):
    """Score by the first-order change of the loss if a weight became zero: |w g|.

    Arguments:
        data: A data block; its targets choose the loss: cross-entropy for integer labels, else the mean squared error.
        batches: How many of its batches are used, at least 1; all where it is left out.

    Static rule:
        Fits weights, channels and modules. Labels must be classes of the network.

    Runtime rule:
        g is the gradient of the mean loss over all examples, in eval mode, summed in float32. A weight scores |w g|;
        a channel the sum over the entries of the site's weight that carry it, over all sites that share its axis.
        Absolute values are taken before the sum, so that signs do not cancel.

    Source:
        Molchanov et al., "Pruning convolutional neural networks for resource efficient inference", ICLR 2017, section
        2.2; summed over a unit as in Molchanov et al., CVPR 2019, section 3.1.
    """

    card: ClassVar[Card] = Card(
        summary="Score by the loss's first-order change without the weight",
        source="Molchanov et al., ICLR 2017, section 2.2",
        example="taylor(train, batches = 2)",
        near_miss="taylor(train, batches = 0)",
        near_miss_code="SD112",
        needs=frozenset({"data", "gradients", "labels"}),
    )

    def arguments(self, tensors: Iterable[str], runtime: Runtime) -> "Arguments":
        """Return weights and mean gradients."""
        return {name: (runtime.tensor(name), g) for name, g in self.gradients(tensors, runtime).items()}

    def score(self) -> "Callable[..., torch.Tensor]":
        """Return |w g|."""
        from surgery_dsl.kernels import scores

        return scores.taylor
