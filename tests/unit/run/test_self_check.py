"""An axis that the network's own weights deny is not cut, and asking leaves no trace."""

from pathlib import Path

import pytest
import torch

from surgery_dsl.run import self_check
from surgery_dsl.run.apply import Outcome, apply
from surgery_dsl.run.session import Session
from tests.certificates import statement_of

NETWORK = """
import torch
from torch import nn

def build():
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))
"""

PLAN = """surg 1

model net {
  load = python("small:build")
  input = x("f32", [N, 6])
}

identify weak {
  in = linear("0")
  unit = channels
  by = magnitude
  take = lowest(25%)
}
excise weak
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    (tmp_path / "small.py").write_text(NETWORK)
    (tmp_path / "plan.surg").write_text(PLAN)
    return tmp_path / "plan.surg"


def run(plan: Path) -> Outcome:
    return apply(plan, plan.parent / "out", allow_code=("small:*",))


def test_a_right_axis_passes_and_is_told(plan: Path) -> None:
    outcome = run(plan)
    assert outcome.accepted, outcome.diagnostics
    assert "another order of what is cut changes no output" in str(statement_of(plan.parent / "out"))


def test_an_axis_that_misses_a_carrier_is_refused(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = self_check._orders

    def short(session: object, axes: object) -> object:
        found = list(orders(session, axes))  # type: ignore[arg-type]
        return iter(found[1:])

    monkeypatch.setattr(self_check, "_orders", short)
    outcome = run(plan)
    assert not outcome.accepted
    assert [found.code.id for found in outcome.diagnostics] == ["SD906"]
    assert not (plan.parent / "out").exists()


def test_asking_changes_no_bit(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bool] = []
    check = self_check.refuse_other

    def watched(session: Session, *rest: object) -> None:
        before = {name: tensor.clone() for name, tensor in session.model.state_dict().items()}
        check(session, *rest)  # type: ignore[arg-type]
        now = session.model.state_dict()
        seen.append(all(torch.equal(tensor, now[name]) for name, tensor in before.items()))

    monkeypatch.setattr(self_check, "refuse_other", watched)
    assert run(plan).accepted
    assert seen == [True]


def test_limits_grow_with_coarser_dtypes() -> None:
    fine, coarse = torch.nn.Linear(2, 2).double(), torch.nn.Linear(2, 2).bfloat16()
    assert self_check.limit(fine) < 1e-11
    assert self_check.limit(coarse) == self_check.MOST
