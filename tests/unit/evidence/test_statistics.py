"""Statistical bounds: against closed forms and scipy, and as often right as they say."""

import math

import pytest
import torch
from scipy import stats  # type: ignore[import-untyped]

from surgery_dsl.evidence.statistics import bernstein, betting, binomial, choice, largest


@pytest.mark.parametrize(("hits", "count"), [(0, 1), (0, 1797), (13, 1797), (535, 1797), (3, 3), (7, 40)])
@pytest.mark.parametrize("risk", [0.05, 0.001])
def test_rates_are_those_of_scipy(hits: int, count: int, risk: float) -> None:
    high = stats.beta.ppf(1 - risk, hits + 1, count - hits) if hits < count else 1.0
    low = stats.beta.ppf(risk, hits, count - hits + 1) if hits else 0.0
    assert binomial.upper_rate(hits, count, risk) == pytest.approx(high, abs=1e-9)
    assert binomial.lower_rate(hits, count, risk) == pytest.approx(low, abs=1e-9)


def test_the_rule_of_three() -> None:
    assert binomial.upper_rate(0, 1797, 0.05) == pytest.approx(0.0016657, rel=1e-4)


def test_no_hits_in_no_examples() -> None:
    with pytest.raises(ValueError, match="1 hits of 0 examples"):
        binomial.upper_rate(1, 0, 0.05)


def test_how_often_a_maximum_is_exceeded() -> None:
    assert largest.examples_for(0.01, 0.05) == 299
    assert largest.examples_for(0.001, 0.05) == 2995
    assert largest.exceeded_at_most(299, 0.05) <= 0.01 < largest.exceeded_at_most(298, 0.05)


def capital(values: torch.Tensor, mean: float, risk: float) -> float:
    """The capital process from the paper's formulas, example by example."""
    total, squares, log, best = 0.0, 0.0, 0.0, -math.inf
    variance = 0.25
    for number, value in enumerate(values.tolist(), 1):
        stake = min(math.sqrt(2 * math.log(1 / risk) / (len(values) * variance)), betting.MOST_STAKED / mean)
        log += math.log1p(stake * (value - mean))
        best = max(best, log)
        total += value
        centre = (0.5 + total) / (number + 1)
        squares += (value - centre) ** 2
        variance = (0.25 + squares) / (number + 1)
    return best


def test_the_bound_is_where_the_capital_reaches_one_over_the_risk() -> None:
    values = torch.rand(200, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    bound = betting.lower_mean(values, 0.0, 1.0, 0.05)
    assert capital(values, bound, 0.05) == pytest.approx(math.log(20), abs=1e-6)
    assert capital(values, bound + 0.01, 0.05) < math.log(20) < capital(values, bound - 0.01, 0.05)


@pytest.mark.parametrize("looks", [False, True])
@pytest.mark.parametrize("rate", [0.5, 0.02])
def test_bounds_are_right_as_often_as_they_say(rate: float, looks: bool) -> None:
    generator = torch.Generator().manual_seed(7)
    wrong = 0
    for _ in range(200):
        values = (torch.rand(300, generator=generator) < rate).double()
        wrong += betting.upper_mean(values, 0.0, 1.0, 0.1, looks) < rate
        wrong += betting.lower_mean(values, 0.0, 1.0, 0.1, looks) > rate
    assert binomial.lower_rate(wrong, 400, 0.001) <= 0.1


def test_looking_at_every_size_is_paid_for() -> None:
    generator = torch.Generator().manual_seed(3)
    wrong = 0
    for _ in range(60):
        values = (torch.rand(400, generator=generator) < 0.3).double()
        wrong += any(betting.upper_mean(values[:n], 0.0, 1.0, 0.1, looks=True) < 0.3 for n in range(20, 401, 20))
    assert binomial.lower_rate(wrong, 60, 0.001) <= 0.1


def test_betting_is_tighter_than_bernstein() -> None:
    values = 0.02 * torch.randn(1800, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    tight = betting.upper_mean(values, -5.0, 5.0, 0.05)
    assert float(values.mean()) < tight < 0.03 < bernstein.upper_mean(values, -5.0, 5.0, 0.05)


def test_how_many_examples_a_margin_needs() -> None:
    values = 0.05 * torch.randn(400, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    mean, bound = float(values.mean()), betting.upper_mean(values, -1.0, 1.0, 0.05)
    margin = mean + (bound - mean) / 3
    needed = betting.examples_needed(values, -1.0, 1.0, 0.05, margin)
    assert needed is not None
    more = values.repeat(-(-needed // 400))[:needed]
    assert bound > margin >= betting.upper_mean(more, -1.0, 1.0, 0.05)
    assert betting.examples_needed(values, -1.0, 1.0, 0.05, mean - 0.001) is None


def test_candidates_after_the_first_that_fails_are_not_tested() -> None:
    asked = []

    def passes(candidate: int) -> bool:
        asked.append(candidate)
        return candidate != 30

    assert list(choice.tested([10, 20, 30, 40], passes, stops=True)) == [(10, True), (20, True), (30, False)]
    assert asked == [10, 20, 30]
    assert list(choice.tested([30, 40], passes, stops=False)) == [(30, False), (40, True)]


def accepts_a_bad_one(generator: torch.Generator, rates: list[float], limit: float, *, stops: bool, share: int) -> bool:
    """Draw one sample for all candidates, as one data set serves them all, and choose on it."""
    drawn = torch.rand(300, generator=generator)

    def passes(rate: float) -> bool:
        hits = int((drawn < rate).sum())
        return binomial.upper_rate(hits, 300, 0.05 / share) <= limit

    accepted = [rate for rate, passed in choice.tested(rates, passes, stops=stops) if passed]
    return any(rate > limit for rate in accepted)


@pytest.mark.parametrize(("stops", "share"), [(True, 1), (False, 9)])
def test_a_bad_candidate_is_accepted_no_more_often_than_the_risk(stops: bool, share: int) -> None:
    generator = torch.Generator().manual_seed(5)
    rates = [0.01, 0.02, 0.03, *(0.0501 + 0.001 * step for step in range(6))]
    wrong = sum(accepts_a_bad_one(generator, rates, 0.05, stops=stops, share=share) for _ in range(1000))
    assert 0 < wrong <= stats.binom.ppf(0.999, 1000, 0.05)
