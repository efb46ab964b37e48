"""``bonferroni()``: every candidate at its share of the risk; the last of the list that passes is taken."""

from typing import ClassVar, final

from surgery_dsl.vocabulary.searcher import Searcher
from surgery_dsl.vocabulary.word import Card


@final
class Bonferroni(Searcher):
    """Test every candidate, each at an equal share of the risk; of those that pass, the last of the list is taken.

    Static rule:
        One param with a list of values, of which the later is preferred; at least one `measure` line with `confidence`.

    Runtime rule:
        Each of m candidates is tested at risk / m, whatever became of the others: for candidates of which nobody can
        say beforehand which is safer.

    Source:
        Angelopoulos et al., Learn then Test, arXiv 2110.01052 (the Bonferroni correction).
    """

    card: ClassVar[Card] = Card(
        summary="Test every candidate at its share of the risk",
        source="Angelopoulos et al., Learn then Test, arXiv 2110.01052, the Bonferroni correction",
        example="bonferroni()",
        near_miss="bonferroni(share = 3)",
        near_miss_code="SD110",
        needs=frozenset({"data"}),
    )
    says: ClassVar[str] = "Bonferroni's correction"
    stops: ClassVar[bool] = False

    def sharing(self, candidates: int) -> int:
        """Return their number."""
        return candidates
