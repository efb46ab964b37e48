"""Take what scores below a bound."""

from typing import ClassVar, final

from surgery_dsl.vocabulary.takes._beyond import Beyond
from surgery_dsl.vocabulary.word import Card


@final
class Below(Beyond):
    """Take the units whose score is below a bound.

    Arguments:
        bound: A score, in the criterion's own measure.

    Static rule:
        How many lie below is not known before weights are read: each pool may lose from none of its units to all that
        `floor` and `cap` leave, of which at least one stays, and every proof holds for each of these outcomes.

    Runtime rule:
        The comparison is strict and exact: scores are not rounded, nor is the bound. Where floor, cap or round keep
        some of the units, the lowest go first, and none goes that is not below the bound.

    Source:
        A threshold on a ranking, as in Han et al., NeurIPS 2015, section 3.1.
    """

    largest: ClassVar[bool] = False
    card: ClassVar[Card] = Card(
        summary="Take the units that score below a bound",
        source="Han et al., NeurIPS 2015, section 3.1",
        example="below(0.5)",
        near_miss='below("low")',
        near_miss_code="SD107",
    )
