"""Plans that contradict themselves are never proved: a core by plan line, with the arithmetic."""

from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgery_dsl.proof.amount import Domain
from surgery_dsl.proof.blame import MOST_GROUPS, no_outcome
from surgery_dsl.proof.questions import Sum
from tests.unit.proof.builders import checked, codes, finding, line_of

RANKED = """
identify weak {
  in = linear("hidden.*")
  unit = channels
  by = magnitude(p = 1)
  take = lowest(40%)
  per = global
  cap = 30%
}
excise weak
control final {
  prove params <= base.params
  measure loss(test) <= 2
}
"""
SITES = RANKED.replace("  per = global\n  cap = 30%\n", "").replace("40%", "25%")


def test_caps_that_allow_less_than_the_ranking_needs() -> None:
    wide = (8, *[20] * 500, 4)
    report = checked(RANKED, wide)
    found = finding(report, "contradictory")
    assert found.span is not None
    assert found.span.line == line_of(RANKED, "take =")
    assert [label.span.line for label in found.labels] == [line_of(RANKED, "cap =")]
    assert found.facts == {"asked": 4000, "allowed": 3000, "short": 1000, "units": 10000, "layers": 500}
    assert found.notes[0] == f"`cap = 30%` (line {line_of(RANKED, 'cap =')}) lets 500 layers lose at most 3,000 of " + (
        "10,000 units"
    )
    assert "needs 4,000 of 10,000 units (40 %)" in found.message
    assert "allows at most 3,000 (30 %)" in found.message
    (verdict,) = [v for v in report.verdicts if v.verb == "prove"]
    assert verdict.status == "vacuous"
    assert not verdict.holds
    assert found.help.startswith("write `take = lowest(30%)`")
    mended = checked(RANKED.replace("lowest(40%)", "lowest(30%)"), wide)
    assert "contradictory" not in codes(mended)


def test_the_core_is_grouped_by_the_rule_that_binds() -> None:
    body = RANKED.replace("40%", "60%").replace("cap = 30%", "floor = 6\n  cap = 50%")
    found = finding(checked(body, (8, *[8] * 5, *[40] * 3, 4)), "contradictory")
    assert len(found.notes) <= MOST_GROUPS + 1
    assert found.notes[0].startswith("`cap = 50%`")
    assert "3 layers lose at most 60 of 120" in found.notes[0]
    assert found.notes[1].startswith("`floor = 6`")
    assert "5 layers lose at most 10 of 40" in found.notes[1]
    assert found.facts["allowed"] == 70


def test_a_total_that_rounding_alone_moves_is_no_contradiction() -> None:
    body = RANKED.replace("40%", "50%").replace("cap = 30%", "round = 8")
    assert "contradictory" not in codes(checked(body, (8, 16, 16, 4)))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (SITES.replace('linear("hidden.*")', 'linear("hidden.*")\n  expect = 3'), "expect-mismatch"),
        (SITES.replace("lowest(25%)", "lowest(15 -> 8)"), "untrue-arrow"),
        (
            SITES.replace("lowest(25%)", "lowest(16 -> 6)\n  floor = 8").replace("hidden.*", "hidden.0"),
            "count-forbidden",
        ),
        (SITES.replace("lowest(25%)", "lowest(100%)"), "emptied-site"),
        (SITES.replace("lowest(25%)", "lowest(2%)"), "rounds-to-nothing"),
        (SITES.replace("excise weak", "excise weak {\n  schedule = cubic(0% -> 50%, steps = 2)\n}"), "two-amounts"),
    ],
)
def test_every_contradiction_makes_what_depends_on_it_vacuous(body: str, code: str) -> None:
    report = checked(body)
    assert code in codes(report)
    (verdict,) = [v for v in report.verdicts if v.verb == "prove"]
    assert verdict.status == "vacuous"
    assert "contradicts itself" in verdict.reason
    base = report.verdicts[0]
    assert (base.text, base.status) == ("sizes fit in the network as loaded", "proved")


@pytest.mark.parametrize(
    ("first", "second", "apart"),
    [
        (
            "prove params <= 0.80 * base.params",
            "prove params >= 0.90 * base.params",
            "320, the other asks for at least 360",
        ),
        ("prove params < 300", "prove params >= 300", "neither end counts"),
        ("prove params == 265", "prove params >= 266", "1 more"),
        ("measure accuracy(test) >= 95%", "measure accuracy(test) <= 90%", "0.9, the other asks for at least 0.95"),
        (
            "measure loss(test) <= base.loss(test)",
            "measure loss(test) >= base.loss(test) + 0.1",
            "whatever is measured",
        ),
    ],
)
def test_limits_that_exclude_each_other(first: str, second: str, apart: str) -> None:
    body = SITES.replace("  prove params <= base.params\n  measure loss(test) <= 2", f"  {first}\n  {second}")
    report = checked(body)
    found = finding(report, "contradictory")
    assert codes(report) == ["contradictory"]
    assert found.span is not None
    assert found.span.line == line_of(body, second)
    assert found.labels[0].span.line == line_of(body, first)
    assert apart in found.notes[0]
    assert {v.status for v in report.verdicts if v.verb != "always"} == {"vacuous"}


def test_limits_that_leave_one_number_between_them_are_fine() -> None:
    both = "  prove params <= 265\n  prove params >= 265"
    assert codes(checked(SITES.replace("  prove params <= base.params\n  measure loss(test) <= 2", both))) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 3), st.integers(1, 2)), min_size=1, max_size=3
    ),
    st.integers(-2, 14),
    st.integers(0, 3),
)
def test_a_sum_without_an_outcome_is_found(parts: list[tuple[int, int, int, int]], least: int, more: int) -> None:
    domains = {str(i): Domain(low, low + extra, step) for i, (low, extra, step, _) in enumerate(parts)}
    fixed = Sum(tuple((str(i), 8, Fraction(weight)) for i, (*_, weight) in enumerate(parts)), least, least + more)
    grids = [range(d.least, (d.most or 0) + 1, d.step) for d in domains.values()]
    some = any(
        fixed.least <= fixed.removed(dict(zip(domains, sizes, strict=True))) <= fixed.most for sizes in product(*grids)
    )
    found = no_outcome((fixed,), domains)
    if found:
        assert not some
    elif len({(d.step * w) for d, (*_, w) in zip(domains.values(), parts, strict=True)}) == 1 and len(parts) == 1:
        assert some
