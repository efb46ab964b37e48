"""Schedules against their formulas."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from surgery_dsl.proof.sequence import stage_shares
from surgery_dsl.vocabulary.schedules.constant import Constant
from surgery_dsl.vocabulary.schedules.cosine import Cosine
from surgery_dsl.vocabulary.schedules.cubic import Cubic
from surgery_dsl.vocabulary.schedules.linear import Linear
from surgery_dsl.vocabulary.schedules.warmup import Warmup
from surgery_dsl.vocabulary.values import NumberArrow
from tests.unit.selection.bench import percent, percents


def test_cubic_stages_are_those_of_the_paper() -> None:
    # Zhu and Gupta, arXiv:1710.01878, equation 1: s_t = s_f + (s_i - s_f)(1 - t/n)^3
    stages = Cubic(range=percents(10, 80), steps=7).stages()
    for t, share in enumerate(stages, 1):
        assert share == Fraction(8, 10) + (Fraction(1, 10) - Fraction(8, 10)) * (1 - Fraction(t, 7)) ** 3
    assert stages[-1] == Fraction(4, 5)
    assert list(stages) == sorted(stages)


def test_linear_and_constant_stages() -> None:
    assert Linear(range=percents(0, 60), steps=3).stages() == (Fraction(1, 5), Fraction(2, 5), Fraction(3, 5))
    assert Constant(value=percent(40)).stages() == (Fraction(2, 5),)
    assert Constant().stages() == ()
    assert Linear(range=percents(0, 60)).stages() == ()
    assert Linear(range=NumberArrow(left=Fraction(0), right=Fraction(4)), steps=3).stages() == ()


@given(st.integers(0, 99), st.integers(1, 100), st.integers(1, 40))
def test_the_order_of_runs_follows_the_stages(first: int, last: int, steps: int) -> None:
    for word in (Cubic, Linear):
        schedule = word(range=percents(first, last), steps=steps)
        assert stage_shares(schedule) == pytest.approx(schedule.stages(), abs=1e-9)
        assert len(stage_shares(schedule)) == steps
    assert stage_shares(Constant(value=percent(last))) == (Fraction(last, 100),)


def test_ramps_as_numbers_start_left_and_end_right() -> None:
    ramp = Linear(range=NumberArrow(left=Fraction(0), right=Fraction(4)), steps=100)
    assert [ramp.at(t, 1000, 7.0) for t in (0, 25, 100, 999)] == [0.0, 1.0, 4.0, 4.0]
    whole = Linear(range=NumberArrow(left=Fraction(2), right=Fraction(1)))
    assert [whole.at(t, 11, 7.0) for t in (0, 5, 10)] == [2.0, 1.5, 1.0]
    assert whole.at(0, 1, 7.0) == 1.0
    assert Cubic(range=percents(0, 80), steps=2).at(1, 2, 0.0) == pytest.approx(0.7)


def test_cosine_is_torchs_after_the_warm_up() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50, eta_min=0.01)
    schedule = Cosine(warmup=5, floor=0.01)
    for t in range(50):
        assert schedule.at(t + 5, 55, 0.1) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    assert [schedule.at(t, 55, 0.1) for t in range(5)] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])


def test_cosine_between_two_values_and_in_cycles() -> None:
    schedule = Cosine(range=NumberArrow(left=Fraction(1, 1000), right=Fraction(0)))
    assert schedule.at(0, 100, 5.0) == pytest.approx(1e-3)
    assert schedule.at(50, 100, 5.0) == pytest.approx(5e-4)
    cycles = Cosine(cycles=4)
    assert [cycles.at(t, 100, 1.0) for t in (0, 25, 50, 75)] == pytest.approx([1.0] * 4)
    assert cycles.at(24, 100, 1.0) == pytest.approx((1 + math.cos(math.pi * 0.96)) / 2)
    assert Cosine(warmup=10).at(9, 5, 1.0) == 1.0


def test_warm_up_rises_and_stays() -> None:
    schedule = Warmup(steps=4)
    assert [schedule.at(t, 100, 2.0) for t in (0, 1, 3, 4, 99)] == [0.5, 1.0, 2.0, 2.0, 2.0]


def test_constant_is_constant() -> None:
    assert Constant().at(3, 10, 0.3) == 0.3
    assert Constant(value=0.5).at(3, 10, 0.3) == 0.5
    assert Constant(value=percent(40)).at(3, 10, 0.3) == 0.4


@pytest.mark.parametrize(
    "build",
    [
        lambda: Cubic(range=percents(0, 80), steps=0),
        lambda: Cubic(range=percents(0, 120), steps=3),
        lambda: Linear(range=percents(-5, 20), steps=3),
        lambda: Constant(value=percent(140)),
        lambda: Cosine(warmup=-1),
        lambda: Cosine(cycles=0),
        lambda: Warmup(steps=0),
    ],
)
def test_numbers_out_of_range_cannot_be_built(build: object) -> None:
    with pytest.raises(ValidationError):
        build()


@pytest.mark.parametrize(
    "word",
    [
        Cubic(range=percents(0, 80), steps=10),
        Linear(range=percents(0, 60)),
        Constant(value=percent(40)),
        Constant(value=0.5),
        Cosine(warmup=3, floor=0.1),
        Warmup(steps=3),
    ],
)
def test_schedules_survive_json(word: object) -> None:
    assert type(word).model_validate_json(word.model_dump_json()) == word
