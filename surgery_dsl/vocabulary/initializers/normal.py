"""``normal(0.02)``: weights from one normal distribution, whatever the layer's size."""

from typing import TYPE_CHECKING, Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.vocabulary.kinds import Initializer
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch


@final
class Normal(Initializer):
    """Normal random weights of one standard deviation, whatever the layer's size, as transformers start.

    Arguments:
        std: Standard deviation.

    Runtime rule:
        Mean 0, drawn in float32 (float64 for float64) on the CPU from the step's seed.

    Source:
        Devlin et al., BERT, NAACL 2019, appendix A.2 (0.02).
    """

    card: ClassVar[Card] = Card(
        summary="Draw weights of one standard deviation",
        source="Devlin et al., NAACL 2019, appendix A.2",
        example="normal(0.02)",
        near_miss="normal(-0.02)",
        near_miss_code="SD112",
        needs=frozenset({"seed"}),
    )
    positional: ClassVar[tuple[str, ...]] = ("std",)

    std: Annotated[float, Field(gt=0)]

    def fill(self, tensor: "torch.Tensor", generator: "torch.Generator") -> None:
        """Fill a tensor of any shape in place."""
        import torch

        dtype = torch.float64 if tensor.dtype is torch.float64 else torch.float32
        drawn = torch.empty(tensor.shape, dtype=dtype).normal_(0.0, self.std, generator=generator)
        tensor.detach().copy_(drawn)
