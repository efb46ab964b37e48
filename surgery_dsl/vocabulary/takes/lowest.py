"""Take the units that matter least."""

from typing import ClassVar, final

from surgery_dsl.vocabulary.takes._ranked import Ranked
from surgery_dsl.vocabulary.word import Card


@final
class Lowest(Ranked):
    """Take the units of lowest score.

    Arguments:
        amount: A percentage (more than 0%, at most 100%), a count of units (at least 1), or an arrow `8 -> 4`:
            8 units are there, 4 stay. Counts and arrows count the site's own output units, so in a convolution of
            4 groups they go in fours.

    Static rule:
        A percentage counts the size of each pool and rounds half up to whole units. Then the kept count is brought to
        the nearest multiple of `round` (of two, the greater), not below `floor`, and not so low that more than `cap`
        go; at least one unit stays of what is excised. An arrow is exact: a left side that is not true, or a count
        which `round`, `floor` or `cap` forbid, is an error. With `per = global` the amount counts the units of all
        pools together; each pool may then lose anything that its floor and cap allow.

    Runtime rule:
        Each pool loses its lowest scores. With `per = global` one ranking spans all pools, and what a pool cannot
        give, the others do. Ties go to the earlier pool, then to the lower index. Exact: no score is rounded. What
        earlier steps hold at zero goes first, so that a share counts all zeros.

    Source:
        Selection by rank; streamed by radix (Knuth, The Art of Computer Programming, volume 3, section 5.2.5).
    """

    largest: ClassVar[bool] = False
    card: ClassVar[Card] = Card(
        summary="Take the units of lowest score",
        source="Han et al., NeurIPS 2015, section 3.1; Li et al., ICLR 2017, section 3.1",
        example="lowest(25%)",
        near_miss="lowest(140%)",
        near_miss_code="SD112",
    )
