"""How often a value greater than the largest of a sample can occur (order statistics; Wilks, Annals 1941)."""

import math


def exceeded_at_most(count: int, risk: float) -> float:
    """Return the share of the population that exceeds the largest of a sample, right with probability 1 − risk.

    A share η of the population lies above the sample's largest with probability at most (1 − η)^n, so that
    η = 1 − δ^(1/n). It says nothing of how far above: a maximum of examples is no bound of a maximum.
    """
    return -math.expm1(math.log(risk) / count)


def examples_for(share: float, risk: float) -> int:
    """Return how many examples it takes for that share to be at most ``share``: 299 for 1 % at 95 %."""
    return math.ceil(math.log(risk) / math.log1p(-share))
