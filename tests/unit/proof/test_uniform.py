"""The gap between the worst outcome of a global ranking and the uniform one, against sharing out by hand."""

import random
from fractions import Fraction
from itertools import product

import pytest

from surgery_dsl.proof.amount import Domain
from surgery_dsl.proof.questions import Sum
from surgery_dsl.proof.uniform import uniform_sizes
from surgery_dsl.proof.verdict import Verdict
from tests.unit.proof.builders import chain, checked

BODY = """
identify weak {
  in = linear("hidden.*")
  unit = channels
  by = magnitude(p = 1)
  take = lowest(TAKE)
  per = PER
  floor = FLOOR
}
excise weak { mode = remove }
control c {
  prove LIMIT
}
"""


def verdict(widths: tuple[int, ...], take: str, limit: str, per: str = "global", floor: str = "1") -> Verdict:
    written = {"TAKE": take, "PER": per, "FLOOR": floor, "LIMIT": limit}
    body = BODY
    for name, value in written.items():
        body = body.replace(name, value)
    (found,) = [v for v in checked(body, widths).verdicts if v.verb == "prove"]
    return found


def params(widths: tuple[int, ...]) -> int:
    interface = chain(widths)
    sizes = [interface.numel(tensor).substitute(interface.exact_size).value or 0 for tensor in interface.tensors]
    return sum(sizes)


def test_the_verdict_says_how_far_the_worst_lies_above_the_uniform_outcome() -> None:
    hidden = (12, 3, 12, 8)
    found = verdict((1, *hidden, 1), "30%", "params <= base.params")
    gone = 11  # 30 % of 35 are 10.5, rounded half up
    even = params((1, 8, 2, 8, 5, 1))
    assert [round(n * (1 - gone / sum(hidden))) for n in hidden] == [8, 2, 8, 5]
    kept = [k for k in product(*(range(1, n + 1) for n in hidden)) if sum(k) == sum(hidden) - gone]
    worst = max(params((1, *k, 1)) for k in kept)
    assert found.status == "proved"
    assert found.value == str(worst)
    above = round(100 * (worst / even - 1))
    assert found.facts == {"uniform": str(even), "above_uniform": above}
    assert found.reason.endswith(f"; the worst outcome is {above} % above the uniform one ({worst} against {even})")


def test_the_worst_is_never_said_to_be_more_than_it_is() -> None:
    said = 0
    for seed in range(40):
        draw = random.Random(seed)
        hidden = [draw.choice((2, 3, 10)) for _ in range(4)]
        taken = draw.randint(1, sum(hidden) // 2)
        found = verdict((1, *hidden, 1), str(taken), "params <= 2 * base.params")
        assert found.status == "proved"
        kept = [k for k in product(*(range(1, n + 1) for n in hidden)) if sum(k) == sum(hidden) - taken]
        worst = max(params((1, *k, 1)) for k in kept)
        if "above_uniform" in found.facts:
            said += 1
            above = Fraction(worst, int(found.facts["uniform"])) - 1
            assert above > Fraction(1, 4)
            shown = Fraction(int(found.facts["above_uniform"]), 100)
            assert shown >= above - Fraction(1, 100) if "at most" in found.reason else abs(shown - above) < 0.01
    assert said >= 5


@pytest.mark.parametrize(
    ("per", "limit"),
    [("site", "params <= base.params"), ("global", "params >= 10"), ("global", "params <= 100")],
)
def test_what_is_exact_or_bounded_from_below_or_refuted_has_no_gap(per: str, limit: str) -> None:
    assert verdict((8, 16, 16, 4), "50%", limit, per).facts == {}


def test_a_gap_of_a_quarter_or_less_is_not_worth_a_word() -> None:
    assert verdict((8, 16, 16, 4), "50%", "params <= base.params", floor="45%").facts == {}


def test_uniform_sizes_are_legal_and_nearest() -> None:
    domains = {"a": Domain(8, 64, 8), "b": Domain(1, 30), "c": Domain(20, 32, 4)}
    fixed = Sum((("a", 64, Fraction(1)), ("b", 30, Fraction(1)), ("c", 32, Fraction(1))), 63, 63)
    assert uniform_sizes([fixed], domains) == {"a": 32, "b": 15, "c": 20}
    none = Sum((("a", 64, Fraction(1)), ("b", 30, Fraction(1)), ("c", 32, Fraction(1))), 0, 0)
    assert uniform_sizes([none], domains) == {"a": 64, "b": 30, "c": 32}
