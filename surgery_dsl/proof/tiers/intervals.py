"""Tier 0: intervals. Cheap, and enough for most sizes; also where gates that cannot fail are found.

Interval arithmetic is the usual one of Moore, Interval Analysis (1966), chapter 2, in exact integers.
"""

from collections.abc import Mapping
from fractions import Fraction

from surgery_dsl.interface.expression import Bounds, add, bounds, multiply
from surgery_dsl.proof.amount import Amount, Domain
from surgery_dsl.proof.questions import Answer, BudgetQuestion, SizeQuestion
from surgery_dsl.proof.tiers.normal_forms import positive_divisors

TIER = "intervals"
Interval = tuple[Fraction | None, Fraction | None]
"""Least and greatest value; ``None`` where there is none."""


def sizes(question: SizeQuestion) -> Answer | None:
    """Decide a relation of sizes from the ranges of its two sides."""
    ranges: dict[str, Bounds] = {name: (least, most) for name, least, most in question.ranges}
    if not (positive_divisors(question.left, ranges) and positive_divisors(question.right, ranges)):
        return None
    if question.relation == "divides":
        return Answer("proved", TIER, reason="1 divides every number") if question.left == 1 else None
    low, high = bounds(add(question.left, multiply(-1, question.right)), ranges)
    if question.relation == "at_least":
        if low is not None and low >= 0:
            return Answer("proved", TIER)
        if high is not None and high < 0:
            return _at_the_least(question)
        return None
    if low == high == 0:
        return Answer("proved", TIER)
    if (low is not None and low > 0) or (high is not None and high < 0):
        return _at_the_least(question)
    return None


def _at_the_least(question: SizeQuestion) -> Answer:
    return Answer("refuted", TIER, witness={name: least for name, least, _ in question.ranges})


def budget(question: BudgetQuestion) -> Answer | None:
    """Decide a budget in which nothing is open."""
    slack, reached = question.slack.number, question.reached.number
    if slack is not None and not question.breaks(slack):
        return Answer("proved", TIER, least=reached, bound=slack, reason="every count is one number")
    if reached is not None and question.breaks(reached):
        return Answer("refuted", TIER, least=reached, bound=slack, reason="every count is one number")
    return None


def span_of(amount: Amount, domains: Mapping[str, Domain]) -> Interval:
    """Return the range of an amount, each monomial taken alone. Sound, not always tight."""
    low: Fraction | None = Fraction(0)
    high: Fraction | None = Fraction(0)
    for monomial, coefficient in amount.terms.items():
        least, most = 1, 1
        unbounded = False
        for name in monomial:
            least *= domains[name].least
            greatest = domains[name].most
            if greatest is None:
                unbounded = True
            else:
                most *= greatest
        ends: Interval = (coefficient * least, None if unbounded else coefficient * most)
        if coefficient < 0:
            ends = (ends[1], ends[0])
        low = None if low is None or ends[0] is None else low + ends[0]
        high = None if high is None or ends[1] is None else high + ends[1]
    return low, high


def scaled(interval: Interval, factor: Fraction) -> Interval:
    """Multiply an interval by a number."""
    low = None if interval[0] is None else interval[0] * factor
    high = None if interval[1] is None else interval[1] * factor
    if factor == 0:
        return Fraction(0), Fraction(0)
    return (low, high) if factor > 0 else (high, low)


def summed(intervals: list[Interval]) -> Interval:
    """Add intervals."""
    lows, highs = [i[0] for i in intervals], [i[1] for i in intervals]
    return (
        None if None in lows else sum((x for x in lows if x is not None), Fraction(0)),
        None if None in highs else sum((x for x in highs if x is not None), Fraction(0)),
    )
