"""Bounds of a rate from a count (Clopper and Pearson, Biometrika 1934): exact for every n."""

import math

import torch

HALVINGS = 60


def upper_rate(hits: int, count: int, risk: float) -> float:
    """Return an upper bound of the rate of hits in the population, right with probability at least 1 − risk.

    Args:
        hits: Hits among the examples.
        count: How many examples; at least 1.
        risk: δ.
    """
    if not 0 <= hits <= count or count < 1:
        raise ValueError(f"{hits} hits of {count} examples")
    if hits == count:
        return 1.0
    low, high = hits / count, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if at_most(hits, count, middle) > risk else (low, middle)
    return high


def lower_rate(hits: int, count: int, risk: float) -> float:
    """Return a lower bound of the rate of hits in the population, right with probability at least 1 − risk."""
    return 1 - upper_rate(count - hits, count, risk)


def at_most(hits: int, count: int, rate: float) -> float:
    """Return the probability of at most so many hits: Σ_{i ≤ hits} C(n, i) p^i (1−p)^{n−i}."""
    if rate <= 0:
        return 1.0
    if rate >= 1:
        return float(hits >= count)
    number = torch.arange(hits + 1, dtype=torch.float64)
    whole = torch.tensor(float(count), dtype=torch.float64)
    ways = torch.lgamma(whole + 1) - torch.lgamma(number + 1) - torch.lgamma(whole - number + 1)
    terms = ways + number * math.log(rate) + (count - number) * math.log1p(-rate)
    return min(1.0, math.exp(float(torch.logsumexp(terms, 0))))
