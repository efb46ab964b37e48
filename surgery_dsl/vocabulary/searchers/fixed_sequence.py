"""``fixed_sequence()``: candidates in the order of the plan, each at the full risk, until one does not pass."""

from typing import ClassVar, final

from surgery_dsl.vocabulary.searcher import Searcher
from surgery_dsl.vocabulary.word import Card


@final
class FixedSequence(Searcher):
    """Test candidates in their declared order, the safest first; the last that passes before one fails is taken.

    Static rule:
        One param with a list of values; at least one `measure` line with `confidence`.

    Runtime rule:
        Every candidate is tested at the full risk. Some bad candidate can be accepted only where the first bad one of
        the order is, since one that fails ends the search: that happens with at most the risk of one test.

    Source:
        Angelopoulos et al., Learn then Test, arXiv 2110.01052 (fixed sequence testing); Bauer, Multiple
        testing in clinical trials, Statistics in Medicine 10 (1991).
    """

    card: ClassVar[Card] = Card(
        summary="Test candidates in order at the full risk, up to the first that fails",
        source="Angelopoulos et al., Learn then Test, arXiv 2110.01052, fixed sequence testing; Bauer 1991",
        example="fixed_sequence()",
        near_miss="fixed_sequence(order = 3)",
        near_miss_code="SD110",
        needs=frozenset({"data"}),
    )
    says: ClassVar[str] = "fixed-sequence testing"
    stops: ClassVar[bool] = True

    def sharing(self, candidates: int) -> int:
        """Return 1: every candidate has the full risk."""
        return 1
