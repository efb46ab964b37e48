"""From values of examples to bounds, and how many examples it would take: one computation for run and re-check."""

import math
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from surgery_dsl.evidence.statistics import bernstein, betting, binomial, largest
from surgery_dsl.evidence.statistics.order import order_of

Method = Literal["betting", "clopper-pearson", "order statistic"]


@dataclass(frozen=True)
class Sample:
    """The values of a line, and how they are read.

    Attributes:
        items: ``[terms, n]`` in float64, in the order of the data; losses not clipped.
        factors: What each term is multiplied with.
        clip: Where every term is cut; ``None`` where none is.
        low: Least value that the sum of an example can have.
        high: Greatest value that it can have.
        threshold: What the one term may not exceed, where a rate is asked for.
        counts: Whether an example counts or does not: a rate, and no mean.
        below: Whether the limit is an upper one.
        risk: δ of the bound, and of the bound from the other side.
        seed: What fixes the order.
    """

    items: Tensor
    factors: tuple[Fraction, ...]
    clip: float | None
    low: Fraction
    high: Fraction
    threshold: Fraction | None
    counts: bool
    below: bool
    risk: Fraction
    seed: str

    @property
    def finite(self) -> bool:
        """Whether every example has a value; one that is infinite exceeds every threshold."""
        return not bool(torch.isnan(self.items).any()) and bool(self.values().isfinite().all())

    def values(self) -> Tensor:
        """Return each example's sum, or 1 where it exceeds the threshold and 0 where not; ``[n]``."""
        if self.threshold is not None:
            limit = float(self.threshold)
            limit = math.nextafter(limit, -math.inf) if Fraction(limit) > self.threshold else limit
            return (~(self.items[0] <= limit)).double()
        items = self.items if self.clip is None else self.items.clamp(max=self.clip)
        factors = torch.tensor([float(factor) for factor in self.factors], dtype=torch.float64)
        return (items * factors[:, None]).sum(0)


@dataclass(frozen=True)
class Bounds:
    """What a sample shows of its population.

    Attributes:
        method: How.
        value: The sample's own mean, or rate.
        bound: The bound on the side of the limit.
        opposite: The bound from the other side.
        bernstein: The empirical Bernstein bound on the side of the limit; ``None`` for rates.
    """

    method: Method
    value: float
    bound: float
    opposite: float
    bernstein: float | None = None


def bounds(sample: Sample) -> Bounds:
    """Return what a sample shows, each bound right with probability at least 1 − risk."""
    values, risk = sample.values(), float(sample.risk)
    if sample.counts:
        return _rate(sample, values, risk)
    low, high = float(sample.low), float(sample.high)
    ordered = values[order_of(sample.seed, len(values))]
    upper, lower = (bound(ordered, low, high, risk) for bound in (betting.upper_mean, betting.lower_mean))
    closed = bernstein.upper_mean(values, low, high, risk)
    if not sample.below:
        closed = -bernstein.upper_mean(-values, -high, -low, risk)
        lower, upper = upper, lower
    return Bounds("betting", float(values.mean()), upper, lower, closed)


def _rate(sample: Sample, values: Tensor, risk: float) -> Bounds:
    """Bound a rate; a term with the factor −1 counts what does not happen, with the sign turned."""
    sign = -1 if sample.threshold is None and sample.factors[0] < 0 else 1
    hits, count = int((values != 0).sum()), len(values)
    upper, lower = binomial.upper_rate(hits, count, risk), binomial.lower_rate(hits, count, risk)
    method: Method = "clopper-pearson"
    if sample.threshold is not None and not hits:
        method, upper = "order statistic", largest.exceeded_at_most(count, risk)
    ends = sorted((sign * upper, sign * lower))
    if sample.below:
        ends.reverse()
    return Bounds(method, sign * hits / count, ends[0], ends[1])


def needed(sample: Sample, limit: Fraction) -> int | None:
    """Return about how many examples like these would show the limit to be kept; ``None`` where none would."""
    values, risk, wanted = sample.values(), float(sample.risk), float(limit)
    if not sample.counts:
        ordered = values[order_of(sample.seed, len(values))]
        low, high = float(sample.low), float(sample.high)
        if sample.below:
            return betting.examples_needed(ordered, low, high, risk, wanted)
        return betting.examples_needed(-ordered, -high, -low, risk, -wanted)
    rate, count = float(values.mean()), len(values)

    def shown(count: int) -> bool:
        hits = math.ceil(abs(rate) * count) if sample.below == (rate >= 0) else math.floor(abs(rate) * count)
        like = replace(sample, items=_counted(hits, count, sample))
        found = bounds(like).bound
        return found <= wanted if sample.below else found >= wanted

    if rate >= wanted if sample.below else rate <= wanted:
        return None
    least = count
    while not shown(count):
        least, count = count, count * 2
        if count > 10**7:
            return None
    while count - least > max(1, count // 100):
        middle = (least + count) // 2
        least, count = (least, middle) if shown(middle) else (middle, count)
    return count


def _counted(hits: int, count: int, sample: Sample) -> Tensor:
    """Return items of which so many count, as the sample reads them."""
    items = torch.zeros(1, count, dtype=torch.float64)
    items[0, :hits] = 1.0 if sample.threshold is None else math.inf
    return items if sample.threshold is None else items.where(items > 0, -math.inf)
