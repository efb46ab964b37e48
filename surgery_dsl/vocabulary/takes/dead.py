"""Take units that never fire."""

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
class Dead(OnData):
    """Take the units that never fire: a finding, not a ranking.

    Arguments:
        data: A data block. All of it is run through the network.
        eps: How large an output may be and still count as none, in the activation's own measure; at least 0.

    Static rule:
        How many are dead is not known before weights are read: each pool may lose from none of its channels to all that
        `floor` and `cap` leave; at least one stays, even where all are dead. Every site needs an activation behind it,
        directly or through norms.

    Runtime rule:
        A channel is dead when the output of the first activation behind the site is at most `eps` in absolute value on
        every example (and at every position). Where several sites share an axis, a channel is dead when it is at each
        of them. In eval mode, in the network's own precision.

    Source:
        Lu et al., "Dying ReLU and initialization", Communications in Computational Physics 28(5), 2020, section 1.
    """

    positional = ("data", "eps")
    card: ClassVar[Card] = Card(
        summary="Take the units that never fire on a data set",
        source="Lu et al., Communications in Computational Physics 28(5), 2020, section 1",
        example="dead(train, eps = 1e-6)",
        near_miss="dead(train, eps = -1)",
        near_miss_code="SD112",
        needs=frozenset({"data"}),
        fixture="dead_mlp",
    )

    eps: Annotated[float, Field(ge=0)] = 1e-6

    @property
    def asked(self) -> str:
        """What is asked for, in words."""
        return f"dead on {self.data} (at most {self.eps:g})"

    def pick(
        self,
        selection: Selection,
        scores: "Mapping[str, torch.Tensor | Scores]",
        roundings: tuple[Rounding, ...],
        per: Literal["site", "global"],
        runtime: Runtime,
    ) -> Picked:
        """Run the data, and take the channels whose greatest output is within eps; the quietest first under a cap."""
        import math

        from surgery_dsl.vocabulary.takes import _picking

        loudest = activations_of(selection.pools, self.data, None, runtime, "maximum")
        # strictly below the next float after eps: at most eps
        bound = math.nextafter(self.eps, math.inf)
        return _picking.beyond(selection, loudest, bound, roundings, largest=False)
