"""``box``: every input near some examples."""

from typing import Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.vocabulary.kinds import Region
from surgery_dsl.vocabulary.values import Number
from surgery_dsl.vocabulary.word import Card, Names


@final
class Box(Region):
    """The inputs within ``eps`` of one of the first ``samples`` examples: {x : ‖x − x_i‖_∞ ≤ eps for some i}.

    Arguments:
        data: A data block.
        eps: Radius, in the units of the input; more than 0.
        samples: How many examples, from the first; at least 1.

    Source:
        The l-infinity ball of Szegedy et al. 2014, Intriguing properties of neural networks.
    """

    positional = ("data",)
    card: ClassVar[Card] = Card(
        summary="All inputs within a distance of some examples",
        source="The l-infinity ball of Szegedy et al. 2014 (arXiv 1312.6199) and its successors.",
        example="box(test, eps = 1/255, samples = 20)",
        near_miss="box(test, eps = 0)",
        near_miss_code="SD112",
        needs=frozenset({"data"}),
    )

    data: Annotated[str, Names("data")]
    eps: Annotated[Number, Field(gt=0)]
    samples: Annotated[int, Field(ge=1)] = 100
