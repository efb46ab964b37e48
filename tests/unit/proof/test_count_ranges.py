"""The range of a count over all outcomes of a global ranking, against counting every outcome."""

import itertools
import random

import pytest

from surgery_dsl.proof.count_ranges import count_range
from surgery_dsl.vocabulary.quantities.macs import Macs
from surgery_dsl.vocabulary.quantities.params import Params
from tests.unit.proof.builders import checked

BODY = """
identify weak {{
  in = linear("hidden.*")
  unit = channels
  by = magnitude(p = 1)
  take = lowest({take})
  per = {per}
  floor = {floor}
}}
excise weak {{ mode = remove }}
"""


def parameters(widths: tuple[int, ...]) -> int:
    return sum(out * into + out for into, out in itertools.pairwise(widths))


def products(widths: tuple[int, ...]) -> int:
    return sum(out * into for into, out in itertools.pairwise(widths))


@pytest.mark.parametrize("seed", range(12))
def test_the_range_holds_every_outcome_and_little_more(seed: int) -> None:
    draw = random.Random(seed)
    hidden = [draw.randint(3, 7) for _ in range(draw.randint(2, 4))]
    floor, take = draw.randint(1, 2), draw.randint(2, sum(hidden) // 2)
    take = min(take, sum(hidden) - floor * len(hidden))
    report = checked(BODY.format(take=take, per="global", floor=floor), (5, *hidden, 4))
    assert not report.failed, report.diagnostics
    choices = itertools.product(*(range(floor, width + 1) for width in hidden))
    outcomes = [kept for kept in choices if sum(hidden) - sum(kept) == take]
    for word, count in ((Params(), parameters), (Macs(), products)):
        true = [count((5, *kept, 4)) for kept in outcomes]
        found = count_range(word, report.end)
        assert found.least <= min(true)
        assert max(true) <= found.most
        corner = count((5, *hidden, 4)) - count((5, *([floor] * len(hidden)), 4))
        assert found.most - found.least < corner, "the sum was not made use of"


def test_exact_counts_and_independent_choices_are_the_corners() -> None:
    fixed = checked(BODY.format(take="25%", per="site", floor=1), (5, 8, 4, 4))
    assert count_range(Params(), fixed.end).exact
    assert count_range(Params(), fixed.end).least == parameters((5, 6, 3, 4))
