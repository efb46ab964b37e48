"""Verdicts on hundreds of drawn networks and plans, held against all outcomes of each.

``SURGERY_CASES`` draws more.
"""

import os
from collections import Counter

from tests.faults.judging import judged, report_on
from tests.faults.outcomes import Case, Step, cost

CASES = int(os.environ.get("SURGERY_CASES", "480"))
"""Drawn cases; those whose counts are refused, which have no outcome, are left out."""


def test_verdicts_are_those_of_all_outcomes() -> None:
    every = [found for found in map(judged, range(CASES)) if found is not None]
    assert len(every) >= 0.62 * CASES
    assert [found for found in every if found.status == "proved" and not found.holds] == []
    assert [found for found in every if found.status == "refuted" and found.holds] == []
    statuses = Counter(found.status for found in every)
    assert statuses["undecided"] <= 0.01 * len(every)
    assert min(statuses["proved"], statuses["refuted"]) >= 0.2 * len(every)
    assert len({(found.case.family, bool(step.ranked)) for found in every for step in found.case.steps}) >= 14
    assert sum(found.outcomes for found in every) >= 5 * len(every)


def test_what_no_ranking_gives_is_no_counterexample() -> None:
    """Of layers of 6 and 5 units, 4 of 11 go, and twos stay: (6, 2), (4, 4) or (2, 5), never (6, 4) nor (4, 5)."""
    ranked = Step((0, 1), "lowest", 34, True, 2, 1, None)
    case = Case("joined", (6, 5, 3, 5), (ranked,))
    assert case.outcomes() == {(6, 2, 3, 5), (4, 4, 3, 5), (2, 5, 3, 5)}
    most = max(cost("joined", widths) for widths in case.outcomes())
    beyond = cost("joined", (6, 4, 3, 5))
    assert beyond > most
    for limit, statuses in ((most - 1, {"refuted"}), (most, {"proved", "undecided"}), (beyond, {"proved"})):
        claims = [one for one in report_on(case, f"params <= {limit}").verdicts if one.verb == "prove"]
        assert {one.status for one in claims} <= statuses, limit
