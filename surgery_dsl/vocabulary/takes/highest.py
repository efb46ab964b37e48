"""Take the units that matter most."""

from typing import ClassVar, final

from surgery_dsl.vocabulary.takes._ranked import Ranked
from surgery_dsl.vocabulary.word import Card


@final
class Highest(Ranked):
    """Take the units of highest score.

    Arguments:
        amount: A percentage (more than 0%, at most 100%), a count of units (at least 1), or an arrow `8 -> 4`:
            8 units are there, 4 stay.

    Static rule:
        As `lowest`: percentages round half up, the kept count goes to the nearest multiple of `round` within `floor`
        and `cap`, arrows are exact.

    Runtime rule:
        Each pool loses its highest scores; ties go to the earlier pool, then to the lower index.

    Source:
        Selection by rank.
    """

    largest: ClassVar[bool] = True
    card: ClassVar[Card] = Card(
        summary="Take the units of highest score",
        source="selection by rank, the other end of `lowest`",
        example="highest(2)",
        near_miss="highest(0)",
        near_miss_code="SD112",
    )
