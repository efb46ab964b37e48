"""Candidates that data may choose among, tested in an order that was fixed before the data were seen.

Testing each candidate at the full risk, in order, and stopping at the first that fails, keeps the chance of accepting
any bad one below that risk: for a bad one to be accepted, the first bad one of the order must be (fixed-sequence
testing; Angelopoulos et al., Learn then Test, arXiv 2110.01052). Testing all m of them costs each a share of the risk
(Bonferroni).
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Candidate = TypeVar("Candidate")


def tested(
    candidates: Iterable[Candidate], passes: Callable[[Candidate], bool], *, stops: bool
) -> Iterator[tuple[Candidate, bool]]:
    """Yield the candidates that are tested, each with whether it passes.

    Args:
        candidates: In the order of the plan, the safest first.
        passes: Whether a candidate passes at its risk.
        stops: Whether the first that does not pass is the last that is tested.
    """
    for candidate in candidates:
        passed = passes(candidate)
        yield candidate, passed
        if stops and not passed:
            return
