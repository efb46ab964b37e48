"""Upper bounds of a mean by betting against it.

A gambler stakes a share of a capital on each example being below a supposed mean m. If m is at most the true mean the
capital is a nonnegative supermartingale, so that it ever reaches 1/δ with probability at most δ (Ville 1939). All m at
which it did can be excluded, and what is left ends at the bound. (Waudby-Smith and Ramdas, Estimating means of bounded
random variables by betting, JRSS-B 2024, arXiv 2010.09686, theorem 3 and section 4.1, one side.)

Values are taken to [0, 1] by the range that was stated before they were seen. The stake on example i depends on earlier
examples alone; the order of examples therefore matters, and must have been fixed before values were seen.
"""

import math

import torch
from torch import Tensor

MOST_STAKED = 0.75
"""Greatest share of the capital that one example can take away."""
HALVINGS = 60


def upper_mean(values: Tensor, low: float, high: float, risk: float, looks: bool = False) -> float:
    """Return an upper bound of the mean of the population, right with probability at least 1 − risk.

    Args:
        values: [n], in an order that was fixed before they were seen; clipped to the range.
        low: Least value possible.
        high: Greatest value possible.
        risk: δ.
        looks: Whether the bound may be asked for again and again while examples come in: it is right at all times at
            once then. Stakes that suit a fixed n are bolder.

    Returns:
        The bound, at most ``high``.
    """
    if not high > low:
        return high
    # bounding the mean from above is bounding that of the mirrored values from below
    mirrored = 1 - ((values.double().clamp(low, high) - low) / (high - low)).cpu()
    return high - (high - low) * _lower(mirrored, risk, looks)


def lower_mean(values: Tensor, low: float, high: float, risk: float, looks: bool = False) -> float:
    """Return a lower bound of the mean of the population, right with probability at least 1 − risk."""
    return -upper_mean(-values, -high, -low, risk, looks)


def _lower(values: Tensor, risk: float, looks: bool) -> float:
    """Return the greatest mean that is excluded from below, for values in [0, 1].

    The logarithm of the capital falls as the supposed mean grows, so that halving finds where it last reached 1/δ.
    """
    stakes = _stakes(values, risk, looks)
    wanted = math.log(1 / risk)
    excluded, kept = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (excluded + kept) / 2
        staked = stakes.clamp(max=MOST_STAKED / middle) if middle else stakes
        capital = torch.log1p(staked * (values - middle)).cumsum(0)
        if float(capital.max()) > wanted * (1 + 1e-12):
            excluded = middle
        else:
            kept = middle
    return excluded


def _stakes(values: Tensor, risk: float, looks: bool) -> Tensor:
    """Return √(2 ln(1/δ) / (n σ²)) for each example, σ² from those before it; n grows with them where one looks."""
    count = values.numel()
    number = torch.arange(1, count + 1, dtype=torch.float64)
    mean = (0.5 + values.cumsum(0)) / (number + 1)
    variance = (0.25 + (values - mean).square().cumsum(0)) / (number + 1)
    before = torch.cat([torch.tensor([0.25], dtype=torch.float64), variance[:-1]])
    pace = number * torch.log(number + 1) if looks else torch.full_like(number, float(count))
    return torch.sqrt(2 * math.log(1 / risk) / (pace * before))


def examples_needed(
    values: Tensor, low: float, high: float, risk: float, margin: float, most: int = 10**8
) -> int | None:
    """Return about how many examples like these would bring the bound to a margin; ``None`` where no number would.

    Found by repeating the values that are there: what is measured once more will differ.
    """
    if float(values.double().clamp(low, high).mean()) >= margin:
        return None
    least, count = values.numel(), values.numel()
    while count < most and _repeated(values, count, low, high, risk) > margin:
        least, count = count, count * 2
    if count >= most:
        return None
    while count - least > max(1, count // 50):
        middle = (least + count) // 2
        if _repeated(values, middle, low, high, risk) > margin:
            least = middle
        else:
            count = middle
    return count


def _repeated(values: Tensor, count: int, low: float, high: float, risk: float) -> float:
    """Bound the mean of values repeated up to a count; of very many, of every so-manieth with the risk to match."""
    thin = max(1, count // 1_000_000)
    some = values.repeat(-(-count // thin // values.numel()))[: count // thin]
    return upper_mean(some, low, high, risk ** (1 / thin))
