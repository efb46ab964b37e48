"""The empirical Bernstein bound of a mean: wider than betting, but a closed form that anyone can check."""

import math

import torch
from torch import Tensor


def upper_mean(values: Tensor, low: float, high: float, risk: float) -> float:
    """Return an upper bound of the mean, right with probability at least 1 − risk.

    mean + √(2 V ln(2/δ) / n) + 7 R ln(2/δ) / (3 (n − 1)), with the sample variance V and the range R. (Maurer and
    Pontil, COLT 2009, arXiv 0907.3740, theorem 4.)

    Args:
        values: [n], n ≥ 2; clipped to the range.
        low: Least value possible.
        high: Greatest value possible.
        risk: δ.
    """
    count = values.numel()
    if count < 2:
        return high
    clipped = values.double().clamp(low, high)
    log = math.log(2 / risk)
    variance = float(torch.var(clipped))
    width = math.sqrt(2 * variance * log / count) + 7 * (high - low) * log / (3 * (count - 1))
    return min(high, float(clipped.mean()) + width)
