"""Take what scores above a bound."""

from typing import ClassVar, final

from surgery_dsl.vocabulary.takes._beyond import Beyond
from surgery_dsl.vocabulary.word import Card


@final
class Above(Beyond):
    """Take the units whose score is above a bound.

    Arguments:
        bound: A score, in the criterion's own measure.

    Static rule:
        As `below`: each pool may lose from none of its units to all that `floor` and `cap` leave; at least one stays.

    Runtime rule:
        Strict and exact. Where floor, cap or round keep some of the units, the highest go first, and none goes that is
        not above the bound.

    Source:
        A threshold on a ranking.
    """

    largest: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        summary="Take the units that score above a bound",
        source="a threshold on a ranking, the other side of `below`",
        example="above(0.5)",
        near_miss='above("high")',
        near_miss_code="SD107",
    )
