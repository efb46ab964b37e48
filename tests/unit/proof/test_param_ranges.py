"""Whether a proof covers the range of a param."""

from surgery_dsl.proof.param_ranges import covers
from tests.unit.proof.builders import chain, full, lock, plan

BODY = """
identify weak {{
  in = linear("hidden.*")
  unit = channels
  by = magnitude(p = 1)
  take = lowest({share}%)
}}
excise weak
control final {{
  prove {obligation}
}}
"""
NETWORK = chain((8, 16, 12, 4))
LOCK = lock(NETWORK, nonzero=full(NETWORK))


def at(share: int, obligation: str = "params <= 0.80 * base.params"):  # type: ignore[no-untyped-def]
    return plan(BODY.format(share=share, obligation=obligation))


def test_both_ends_proved_is_all_of_it() -> None:
    assert covers(at(20), at(60), LOCK).covers
    assert covers(at(10, "params >= 0.2 * base.params"), at(60, "params >= 0.2 * base.params"), LOCK).covers


def test_an_end_that_fails_is_named() -> None:
    found = covers(at(10), at(60), LOCK)
    assert not found.covers
    assert "low end" in found.reason
    high = covers(at(10, "params >= 0.5 * base.params"), at(90, "params >= 0.5 * base.params"), LOCK)
    assert "high end" in high.reason


def test_other_differences_are_not_covered() -> None:
    assert not covers(at(20), at(20, "params <= 0.90 * base.params"), LOCK).covers
    assert not covers(at(60), at(20), LOCK).covers
    between = "base.params - params <= 0.9 * base.params"
    assert "need not lie between" in covers(at(20, between), at(60, between), LOCK).reason


def test_everything_between_is_proved_indeed() -> None:
    from surgery_dsl.proof.check import check

    assert covers(at(20), at(60), LOCK).covers
    for share in range(20, 61):
        report = check(at(share), LOCK)
        assert not report.failed, share
