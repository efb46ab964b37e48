"""Gates: which of them can fail, and what becomes of them."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgery_dsl.language.plan import Comparison, Control, Obligation
from surgery_dsl.proof.gates import decide, foregone
from tests.unit.proof.builders import plan


def gate(text: str) -> Obligation:
    block = plan(f"control final {{\n  measure {text}\n}}\n").steps[0]
    assert isinstance(block, Control)
    return block.obligations[0]


def read_as(**values: float):  # type: ignore[no-untyped-def]
    """Return readings by ``base_accuracy`` or ``accuracy``."""

    def read(reading):  # type: ignore[no-untyped-def]
        prefix = "" if reading.point.at == "now" else f"{reading.point.at}_"
        return values[prefix + reading.word.name]

    return read


@pytest.mark.parametrize(
    ("text", "values", "status", "margin"),
    [
        ("accuracy(test) >= base.accuracy(test) - 1pp", {"accuracy": 0.97, "base_accuracy": 0.98}, "passed", "0"),
        ("accuracy(test) >= base.accuracy(test) - 1pp", {"accuracy": 0.9699, "base_accuracy": 0.98}, "failed", None),
        ("accuracy(test) > base.accuracy(test) - 1pp", {"accuracy": 0.97, "base_accuracy": 0.98}, "failed", "0"),
        ("loss(test) <= 1.1 * base.loss(test)", {"loss": 1.0, "base_loss": 1.0}, "passed", "0.1"),
        ("change(test) == 0", {"change": 0.0}, "passed", "0"),
        ("change(test) == 0", {"change": 1e-30}, "failed", None),
        ("grad_flow(train) > 0", {"grad_flow": 1e-13}, "passed", None),
        ("change(test) <= 3", {"change": math.inf}, "failed", ""),
        ("change(test) <= 3", {"change": math.nan}, "failed", ""),
        ("grad_flow(train) > 0", {"grad_flow": math.inf}, "passed", ""),
        ("dead(test) <= 0.5 * base.dead(test)", {"dead": 2.0, "base_dead": 4.0}, "passed", "0"),
        ("max(loss(test), loss(train)) <= 2", {"loss": 1.5}, "passed", "0.5"),
    ],
)
def test_decisions(text: str, values: dict[str, float], status: str, margin: str | None) -> None:
    verdict, found = decide(gate(text), "final", read_as(**values))
    assert verdict.status == status
    assert [d.code.name for d in found] == ([] if status == "passed" else ["gate-failed"])
    if margin is not None:
        assert verdict.margin == margin


def test_half_of_zero_is_no_limit() -> None:
    verdict, found = decide(gate("dead(test) <= 0.5 * base.dead(test)"), "final", read_as(dead=0.0, base_dead=0.0))
    assert verdict.status == "failed"
    assert [d.code.name for d in found] == ["zero-baseline"]
    assert decide(gate("dead(test) <= base.dead(test)"), "final", read_as(dead=0.0, base_dead=0.0))[1] == ()


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        ("accuracy(test) >= 0%", "always"),
        ("accuracy(test) > 0%", None),
        ("accuracy(test) > -1%", "always"),
        ("2 * accuracy(test) <= 200%", "always"),
        ("accuracy(test) / 2 <= 40%", None),
        ("accuracy(test) >= 101%", "never"),
        ("accuracy(test) == 101%", "never"),
        ("accuracy(test) - accuracy(test) == 0pp", "always"),
        ("base.accuracy(test) - accuracy(test) <= 100pp", "always"),
        ("loss(test) + loss(train) >= 0", "always"),
        ("loss(test) <= base.loss(test)", None),
        ("loss(test) * loss(test) >= 0", None),
        ("loss(test) < 0", "never"),
        ("dead(test) == 0", None),
    ],
)
def test_gates_that_cannot_fail_or_pass(text: str, fate: str | None) -> None:
    statement = gate(text.replace("loss(test) * loss(test)", "max(loss(test), 1)")).statement
    assert isinstance(statement, Comparison)
    assert foregone(statement) == fate


@given(st.integers(0, 100), st.integers(0, 100), st.integers(-200, 200), st.sampled_from(["<=", ">=", "<", ">", "=="]))
def test_no_outcome_contradicts_what_is_foregone(now: int, base: int, limit: int, relation: str) -> None:
    obligation = gate(f"accuracy(test) - base.accuracy(test) {relation} {limit}pp")
    statement = obligation.statement
    assert isinstance(statement, Comparison)
    verdict, _ = decide(obligation, "final", read_as(accuracy=now / 100, base_accuracy=base / 100))
    fate = foregone(statement)
    if fate is not None:
        assert verdict.status == ("passed" if fate == "always" else "failed")
    difference = Fraction(now - base, 100) - Fraction(limit, 100)
    holds = {"<=": difference <= 0, ">=": difference >= 0, "<": difference < 0, ">": difference > 0}
    assert (verdict.status == "passed") == holds.get(relation, difference == 0)
