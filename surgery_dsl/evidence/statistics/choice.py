"""Candidates that data may choose among, tested in an order that was fixed before the data were seen.

Testing each candidate at the full risk, in order, and stopping at the first that fails, keeps the chance of accepting
any bad one below that risk (fixed-sequence testing; Angelopoulos et al., Learn then Test, arXiv 2110.01052, section
3.2). Testing m candidates in no order costs each a share of the risk (Bonferroni).
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

Candidate = TypeVar("Candidate")


def accepted(
    candidates: Sequence[Candidate], passes: Callable[[Candidate, float], bool], risk: float
) -> list[Candidate]:
    """Return the candidates that pass before the first that fails, each tested at the full risk.

    Args:
        candidates: In the order of the plan, the safest first.
        passes: Whether a candidate passes at a risk.
        risk: δ for all of them together.
    """
    found: list[Candidate] = []
    for candidate in candidates:
        if not passes(candidate, risk):
            break
        found.append(candidate)
    return found


def shared(risk: float, claims: int) -> float:
    """Return the risk of each of several claims that are to be right together (Bonferroni)."""
    return risk / max(1, claims)
