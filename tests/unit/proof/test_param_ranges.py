"""For how much of a param's range a plan is proved."""

from fractions import Fraction

import pytest

from surgery_dsl.language.plan import Plan
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.check import check
from surgery_dsl.proof.param_ranges import Covered, covered
from tests.unit.proof.builders import chain, full, lock

NETWORK = chain((8, 16, 12, 4))
LOCK = lock(NETWORK, nonzero=full(NETWORK))
HEAD = """surg 1
model net {
  load = python("nets:build")
  input = x("f32", [N, 8])
}
"""
SLIM = """
identify weak {{
  in = linear("hidden.*")
  unit = channels
  by = magnitude(p = 1)
  take = lowest({take})
}}
excise weak
control final {{
  prove {obligation}
}}
"""


def text_of(param: str, take: str = "knob", obligation: str = "params <= 0.80 * base.params") -> str:
    return f"{HEAD}param knob {{\n  {param}\n}}\n" + SLIM.format(take=take, obligation=obligation)


def plan_at(text: str, value: str = "") -> Plan:
    found, diagnostics = read_plan(text, "t.surg", {"knob": value} if value else {})
    assert found is not None, diagnostics
    return found


def found_of(text: str) -> Covered:
    from surgery_dsl.language.params import value_text

    result = covered(plan_at(text).params[0], lambda value: plan_at(text, value_text(value)), LOCK)
    assert result is not None
    return result


def is_proved(text: str, value: str) -> bool:
    report = check(plan_at(text, value), LOCK)
    return not report.failed and all(v.status == "proved" for v in report.verdicts if v.verb in ("prove", "always"))


def test_both_ends_proved_is_all_of_it() -> None:
    text = text_of("default = 40%\n  in = 20%..60%")
    found = found_of(text)
    assert found.covers
    assert found.shown == "20%..60%"
    assert all(is_proved(text, f"{share}%") for share in range(20, 61))


def test_the_largest_part_is_found_below_and_above() -> None:
    text = text_of("default = 40%\n  in = 5%..90%", obligation="params <= 0.80 * base.params\n  prove params >= 80")
    found = found_of(text)
    assert not found.covers
    low, high = (int(end.rstrip("%")) for end in found.shown.split(".."))
    proved = [share for share in range(5, 91) if is_proved(text, f"{share}%")]
    assert proved == list(range(low, high + 1))
    assert f"at {low - 1}%" in found.reason
    assert f"at {high + 1}%" in found.reason


def test_a_limit_is_followed_evenly() -> None:
    text = text_of("default = 80%\n  in = 20%..95%", take="40%", obligation="params <= knob * base.params")
    found = found_of(text)
    assert not found.covers
    assert found.shown.endswith("..95%")
    low = int(found.shown.split("%")[0])
    assert is_proved(text, f"{low}%")
    assert not is_proved(text, f"{low - 1}%")


def test_an_amount_and_a_limit_together_are_not_covered() -> None:
    found = found_of(text_of("default = 50%\n  in = 45%..55%", obligation="params <= (150% - knob) * base.params"))
    assert not found.covers
    assert found.shown == "50%"
    assert "both an amount and a limit" in found.reason


def test_whole_numbers_are_proved_one_by_one() -> None:
    text = text_of("default = 2\n  in = 1..40", take="40%").replace("  take", "  round = knob\n  take")
    found = found_of(text)
    low, high = (int(end) for end in found.shown.split(".."))
    assert all(is_proved(text, str(n)) for n in range(low, high + 1))
    assert high == 40 or not is_proved(text, str(high + 1))
    assert low == 1 or not is_proved(text, str(low - 1))


def test_what_need_not_lie_between_is_said() -> None:
    found = found_of(text_of("default = 40%\n  in = 20%..60%", obligation="base.params - params <= 0.9 * base.params"))
    assert not found.covers
    assert "need not lie between" in found.reason


def test_every_choice_is_proved() -> None:
    takes = "pick(knob, some = lowest(40%), none = lowest(1))"
    text = text_of('default = "some"\n  in = ["some", "none"]').replace("lowest(knob)", takes)
    found = found_of(text)
    assert found.shown == '"some"'
    assert 'at "none"' in found.reason
    good = text.replace("lowest(1)", "lowest(50%)")
    assert found_of(good).covers


def test_a_value_in_force_that_is_not_proved_covers_nothing() -> None:
    found = found_of(text_of("default = 10%\n  in = 5%..60%"))
    assert (found.covers, found.shown) == (False, "no value")


@pytest.mark.parametrize("least", [Fraction(3, 10), Fraction(4, 10)])
def test_a_param_that_nothing_uses_is_covered(least: Fraction) -> None:
    found = found_of(text_of(f"default = 0.5\n  in = {float(least)}..0.9", take="40%"))
    assert found.covers
    assert "nothing in the plan uses it" in found.reason
