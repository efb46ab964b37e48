"""What no proof decides is decided for the chosen outcome, after ``identify`` and before a tensor is touched."""

from collections.abc import Callable
from pathlib import Path

import pytest

from surgery_dsl.certificate.verify import verify
from surgery_dsl.diagnostics.codes import budgets, runs
from surgery_dsl.proof import deciding
from surgery_dsl.proof.questions import Answer, BudgetQuestion
from surgery_dsl.proof.tiers import order
from surgery_dsl.run import session
from surgery_dsl.run.steps import Steps
from tests.certificates import statement_of
from tests.unit.run.test_apply import assert_nothing_happened, codes, go, sessions  # noqa: F401

RANKED = """
identify weak {
  in = linear("**", except = ["head"])
  unit = channels
  by = magnitude(p = 2)
  take = lowest(25%)
  per = global
}
excise weak { mode = remove }
control final {
  prove params <= LIMIT
}
"""
TWICE = RANKED.replace(
    "control final",
    """identify more {
  in = linear("second")
  unit = channels
  by = magnitude(p = 2)
  take = lowest(2)
}
excise more { mode = remove }
control final""",
)


@pytest.fixture(autouse=True)
def gives_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """No tier decides what is open; what is exact is decided as ever."""
    original = order.decide_budget

    def decide(question: BudgetQuestion) -> Answer:
        if question.slack.number is None:
            return Answer("undecided", "none", reason="the tiers were told to give up")
        return original(question)

    monkeypatch.setattr(deciding, "decide_budget", decide)


@pytest.mark.usefixtures("sessions")
def test_without_the_flag_an_undecided_plan_is_refused(plan: Callable[[str], Path], tmp_path: Path) -> None:
    outcome = go(plan(RANKED.replace("LIMIT", "base.params")), tmp_path / "out")
    assert codes(outcome) == [budgets.UNDECIDED.id]
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("sessions")
@pytest.mark.parametrize("text", [RANKED, TWICE])
def test_the_chosen_outcome_decides_before_the_excision(
    plan: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    seen: list[str] = []
    execute = Steps.execute

    def noted(self: Steps, run: object) -> None:
        execute(self, run)  # type: ignore[arg-type]
        decided = all(v.status != "undecided" for v in self.evidence.verdicts)
        seen.append(f"{run.step.block} {run.step.name} {decided}")  # type: ignore[attr-defined]

    monkeypatch.setattr(Steps, "execute", noted)
    out = tmp_path / "out"
    outcome = go(plan(text.replace("LIMIT", "base.params")), out, allow_undecided=True)
    assert codes(outcome) == []
    (note,) = [d for d in outcome.diagnostics if d.code is budgets.UNDECIDED]
    assert note.severity.value == "note"
    last = "more" if text is TWICE else "weak"
    assert f"identify {last} False" in seen  # it is decided right after, so before the excision
    assert f"excise {last} True" in seen
    (verdict,) = [v for v in outcome.verdicts if v.verb == "prove"]
    assert (verdict.status, verdict.tier) == ("passed", "assertion at apply")
    assert int(verdict.margin) > 0
    claims = statement_of(out)["predicate"]["claims"]
    (claim,) = [c for c in claims["measured"] if c["verb"] == "prove"]
    assert (claim["status"], claim["method"]) == ("passed", "assertion at apply")
    assert claim["note"] == "decided for the chosen outcome, not for every one"
    assert not [c for c in claims["proved"] if c["verb"] == "prove"]
    assert verify(out).diagnostics == ()


@pytest.mark.parametrize("text", [RANKED, TWICE])
def test_an_assertion_that_fails_refuses_and_touches_nothing(
    plan: Callable[[str], Path],
    tmp_path: Path,
    sessions: list[session.Session],  # noqa: F811
    text: str,
) -> None:
    outcome = go(plan(text.replace("LIMIT", "0.4 * base.params")), tmp_path / "out", allow_undecided=True)
    assert codes(outcome) == [runs.ASSERTION_FAILED.id]
    (found,) = [d for d in outcome.diagnostics if d.code is runs.ASSERTION_FAILED]
    assert "for what `identify` found" in found.message
    assert found.span is not None
    assert not outcome.accepted
    assert_nothing_happened(tmp_path / "out", sessions)


@pytest.mark.usefixtures("sessions")
def test_what_no_outcome_decides_stays_refused(plan: Callable[[str], Path], tmp_path: Path) -> None:
    text = RANKED.replace("params <= LIMIT", "macs / base.macs <= 1")
    outcome = go(plan(text), tmp_path / "out", allow_undecided=True)
    assert [d.severity.value for d in outcome.diagnostics if d.code is budgets.UNDECIDED] == ["note"]
    (found,) = [d for d in outcome.diagnostics if d.code is runs.ASSERTION_FAILED]
    assert "undecided even for the counts" in found.message
