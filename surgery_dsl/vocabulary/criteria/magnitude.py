"""How large the weights are."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.vocabulary.context import Runtime
from surgery_dsl.vocabulary.criteria._elementwise import Elementwise
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch

    from surgery_dsl.vocabulary.criteria._elementwise import Arguments


@final
class Magnitude(Elementwise):
    """Score by the size of weights: |w|^p.

    Arguments:
        p: The power, more than 0; 1 sums absolute values, 2 squares.

    Static rule:
        Fits weights, modules, and units along an axis: channels, heads, key/value groups, experts, groups.

    Runtime rule:
        A weight scores |w|^p; a channel the sum over all entries of the site's weight that carry it, over all sites
        that share its axis; a module the sum over its parameters. Biases and norms count for modules alone.

    Source:
        Han et al., NeurIPS 2015, section 3.1 (weights); Li et al., ICLR 2017, section 3.1 (channels, p = 1).
    """

    positional = ("p",)
    card: ClassVar[Card] = Card(
        summary="Score by the size of weights",
        source="Han et al., NeurIPS 2015, section 3.1; Li et al., ICLR 2017, section 3.1",
        example="magnitude(p = 1)",
        near_miss="magnitude(p = 0)",
        near_miss_code="SD112",
    )

    p: Annotated[float, Field(gt=0)] = 1.0

    def arguments(self, tensors: Iterable[str], runtime: Runtime) -> "Arguments":
        """Return the tensors themselves."""
        return {name: (runtime.tensor(name),) for name in tensors}

    def score(self) -> "Callable[..., torch.Tensor]":
        """Return |w|^p."""
        from surgery_dsl.kernels.scores import powered

        return powered(self.p)
