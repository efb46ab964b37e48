"""Verdicts on hundreds of drawn networks and plans, held against all outcomes of each.

``SURGERY_CASES`` draws more.
"""

import os
from collections import Counter

from tests.faults.judging import Judged, judged

CASES = int(os.environ.get("SURGERY_CASES", "480"))
"""Drawn cases; those whose counts are refused, which have no outcome, are left out."""


def is_exact(found: Judged) -> bool:
    """Whether the sum that a ranking fixes is one number: with ``round`` it lies between two (``takes/_counting``)."""
    return not any(step.ranked and step.multiple > 1 for step in found.case.steps)


def test_verdicts_are_those_of_all_outcomes() -> None:
    every = [found for found in map(judged, range(CASES)) if found is not None]
    assert len(every) >= 0.62 * CASES
    assert [found for found in every if found.status == "proved" and not found.holds] == []
    assert [found for found in every if found.status == "refuted" and found.holds and is_exact(found)] == []
    statuses = Counter(found.status for found in every)
    assert statuses["undecided"] <= 0.01 * len(every)
    assert min(statuses["proved"], statuses["refuted"]) >= 0.2 * len(every)
    assert len({(found.case.family, bool(step.ranked)) for found in every for step in found.case.steps}) >= 14
    assert sum(found.outcomes for found in every) >= 5 * len(every)
