"""Take the units that say what another unit says."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, final

from pydantic import Field

from surgery_dsl.vocabulary.context import Runtime
from surgery_dsl.vocabulary.selection import Picked, Rounding, Selection
from surgery_dsl.vocabulary.takes._beyond import OnData
from surgery_dsl.vocabulary.units._watch import activations_of
from surgery_dsl.vocabulary.word import Card

if TYPE_CHECKING:
    import torch

    from surgery_dsl.kernels.thresholds import Scores


@final
class Redundant(OnData):
    """Take the units whose activations point where those of an earlier unit point: a finding, not a ranking.

    Arguments:
        data: A data block. All of it is run through the network.
        cosine: From which cosine on two units are alike, more than 0 and at most 1.

    Static rule:
        How many are redundant is not known before weights are read: each pool may lose from none of its channels to all
        that `floor` and `cap` leave. At least one stays, because the first of any that are alike does. Every site needs
        an activation behind it, directly or through norms.

    Runtime rule:
        With a_i all outputs of unit i over examples and positions, cos(i, j) = ⟨a_i, a_j⟩ / (‖a_i‖ ‖a_j‖) in float64.
        Units are read in order: one that has a cosine of at least `cosine` with an earlier unit that stays is
        redundant, any other stays. Units that never fire are like nothing (`dead` finds them). Where floor, cap or
        round keep some of the found, the most alike go first. Where several sites share an axis, their outputs are read
        as one. What is redundant on data need not be on other inputs, and readers of the unit do not take over by
        themselves: recover afterwards.

    Source:
        Srinivas and Babu, Data-free parameter pruning for deep neural networks, BMVC 2015, arXiv:1507.06149, section 3,
        read off activations.
    """

    positional = ("data", "cosine")
    card: ClassVar[Card] = Card(
        summary="Take the units whose activations another unit repeats on a data set",
        source="Srinivas and Babu, BMVC 2015, arXiv:1507.06149, section 3, read off activations",
        example="redundant(train, cosine = 0.9)",
        near_miss="redundant(train, cosine = 1.5)",
        near_miss_code="SD112",
        needs=frozenset({"data"}),
    )

    cosine: Annotated[float, Field(gt=0, le=1)] = 0.99

    @property
    def asked(self) -> str:
        """What is asked for, in words."""
        return f"redundant on {self.data} (cosine at least {self.cosine:g})"

    def pick(
        self,
        selection: Selection,
        scores: "Mapping[str, torch.Tensor | Scores]",
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        runtime: Runtime,
    ) -> Picked:
        """Run the data, and take the channels that repeat an earlier one; the most alike first under a cap."""
        import math

        from surgery_dsl.vocabulary.takes import _picking

        products = activations_of(selection.pools, self.data, None, runtime, "products")
        alike = {key: self._likeness(product) for key, product in products.items()}
        # strictly above the next float below: at least the cosine
        return _picking.beyond(selection, alike, math.nextafter(self.cosine, -math.inf), roundings, largest=True)

    def _likeness(self, products: "torch.Tensor") -> "torch.Tensor":
        """Return, for a redundant unit, its greatest cosine with an earlier unit that stays, for others −1."""
        import torch

        squares = products.diagonal()
        lengths = (squares[:, None] * squares[None, :]).sqrt()  # of equal units exactly their product
        cosines = products / lengths.clamp_min(torch.finfo(torch.float64).tiny)
        likeness = torch.full_like(squares, -1.0)
        stays: list[int] = []
        for unit in range(len(squares)):
            nearest = float(cosines[unit, stays].max()) if stays else -1.0
            if nearest >= self.cosine:
                likeness[unit] = min(nearest, 1.0)
            else:
                stays.append(unit)
        return likeness
