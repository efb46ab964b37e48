"""Lines with confidence decided by a run: verdicts, evidence in the result, and data that made the network."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from surgery_dsl.certificate.integrity import read_statement
from surgery_dsl.evidence.answers import Kept, answers
from surgery_dsl.evidence.statistics.recheck import recheck
from surgery_dsl.run.apply import apply
from surgery_dsl.run.outcome import Outcome
from surgery_dsl.run.touched import rows_of
from tests.conformance.workbench import Workbench

PLAN = """surg 1

model net {{
  load = {load}
  input = x("f32", [N, 64])
}}
data train {{ load = digits(split = "train", flat = true) }}
data test {{ load = digits(split = "test", flat = true) }}
data whole {{ load = digits(split = "all", flat = true) }}

identify weak {{
  in = linear("hidden.*")
  unit = channels
  by = {by}
  take = lowest(10%)
}}
excise weak {{ mode = remove }}
control final {{
  {lines}
}}
"""
NUMBERS = count()
LOAD = 'python("networks:digits")\n  weights = "digits.safetensors"'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Workbench(tmp_path_factory.mktemp("statistical")).folder


def ran(folder: Path, *lines: str, out: str = "", load: str = LOAD, by: str = "magnitude(p = 1)") -> Outcome:
    body = "\n  ".join(f"measure {line}" for line in lines)
    path = folder / f"{out or f'plan{next(NUMBERS)}'}.surg"
    path.write_text(PLAN.format(load=load, by=by, lines=body), encoding="utf-8")
    place = folder / out if out else None
    return apply(path, place, allow_code=["*"], device="cpu", force=True)


def statuses(outcome: Outcome) -> list[str]:
    return [verdict.status for verdict in outcome.verdicts if verdict.verb == "measure"]


def codes(outcome: Outcome) -> list[str]:
    return [finding.code.id for finding in outcome.diagnostics]


def test_three_verdicts(folder: Path) -> None:
    loose = "loss(test, confidence = 95%, clip = 2) <= base.loss(test) + 1.5"
    tight = "loss(test, confidence = 95%, clip = 2) <= base.loss(test) + 0.001"
    never = "change(test, norm = inf, confidence = 95%, exceeded = 5%) <= 0.00001"
    assert (ran(folder, loose).accepted, codes(ran(folder, loose))) == (True, [])
    assert codes(ran(folder, tight)) == ["SD511"]
    assert codes(ran(folder, never)) == ["SD510"]
    both = ran(folder, tight, never)
    assert (statuses(both), both.accepted) == (["too weak", "failed"], False)
    weak = ran(folder, tight).diagnostics[0]
    assert "examples" in weak.facts
    assert "the limit 0.001" in weak.message


def test_a_result_holds_what_shows_its_claims(folder: Path) -> None:
    line = "accuracy(test, confidence = 95%) >= base.accuracy(test) - 60pp"
    other = "flips(test, confidence = 95%) <= 60%"
    outcome = ran(folder, line, other, out="shown", by="taylor(train, batches = 2)")
    assert outcome.accepted, outcome.diagnostics
    predicate = read_statement(folder / "shown").predicate
    claims = {claim.statement: claim for claim in predicate.claims.measured if claim.evidence is not None}
    assert claims.keys() == {line, other}
    for claim in claims.values():
        assert recheck(folder / "shown", claim) == ""
        evidence: Any = claim.evidence
        assert (evidence.joint, evidence.risk, evidence.count) == (2, "1/40", 355)
        assert [(one.name, one.steps) for one in evidence.touched] == [("train", ("weak",))]
        assert (
            evidence.says.startswith("STATISTICAL 95% (joint over 2 claims): at ") or " the mean of " in evidence.says
        )
    assert predicate.touched == evidence.touched
    rows = load_file(folder / "shown" / "evidence" / "touched.safetensors")
    assert [len(tensor) for tensor in rows.values()] == [1442]


def test_examples_that_a_step_read_are_found_in_another_set(folder: Path) -> None:
    outcome = ran(folder, "flips(test, confidence = 95%) <= 60%", by="taylor(whole, batches = 2)")
    assert (outcome.accepted, codes(outcome)) == (False, ["SD531"])
    assert outcome.diagnostics[0].facts == {"shared": 355, "examples": 355}


def test_what_made_an_earlier_result_is_no_evidence(folder: Path) -> None:
    assert ran(folder, "flips(test) <= 90%", out="first", by="taylor(whole, batches = 2)").accepted
    load = 'result("first")\n  weights = "first/model.safetensors"'
    again = ran(folder, "flips(test, confidence = 95%) <= 60%", load=load)
    assert (again.accepted, codes(again)[-1]) == (False, "SD531")
    assert "first/whole" in again.diagnostics[-1].message
    clean = ran(folder, "flips(test) <= 90%", out="clean", by="magnitude(p = 1)")
    assert clean.accepted
    more = ran(folder, "flips(test, confidence = 95%) <= 60%", load=load.replace("first", "clean"))
    assert more.accepted, more.diagnostics


def test_examples_go_by_their_bytes_alone() -> None:
    inputs = torch.rand(5, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    rows = rows_of(inputs)
    assert len(set(rows.tolist())) == 5
    assert torch.equal(rows_of(inputs.flatten(1)), rows)
    order = torch.tensor([3, 1, 4, 0, 2])
    assert torch.equal(rows_of(inputs[order]), rows[order])
    assert not torch.isin(rows_of(inputs + 1e-6), rows).any()
    for dtype in (torch.bfloat16, torch.int64, torch.bool):
        assert len(rows_of((inputs > 0.5).to(dtype))) == 5


# ---- one pass for all that is measured ---------------------------------------------------------------------------


class Counting(torch.nn.Module):
    """Counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        assert not torch.is_grad_enabled()
        self.calls += 1
        return x * 2


def batches() -> list[tuple[Tensor, Tensor]]:
    return [(torch.ones(3, 4) * number, torch.zeros(3)) for number in range(4)]


def test_answers_are_kept_until_the_network_changes() -> None:
    model, kept = Counting().train(), Kept()

    def fresh() -> Any:
        return answers(model, batches(), lambda network, inputs: network(inputs))

    for _ in range(3):
        pairs = zip(kept.of("now", "test", fresh), kept.of("base", "test", fresh), strict=True)
        assert [float(one[0][0].sum()) for one in pairs] == [0, 24, 48, 72]
    assert model.calls == 8
    assert model.training
    assert torch.is_grad_enabled()
    kept.forget("now")
    list(kept.of("now", "test", fresh))
    list(kept.of("base", "test", fresh))
    assert model.calls == 12


def test_answers_that_are_too_large_or_not_read_to_their_end_are_not_kept() -> None:
    model, small, kept = Counting(), Kept(most=100), Kept()

    def fresh() -> Any:
        return answers(model, batches(), lambda network, inputs: network(inputs))

    for _ in range(2):
        assert len(list(small.of("now", "test", fresh))) == 4
    assert model.calls == 8
    next(iter(kept.of("now", "test", fresh)))
    assert len(list(kept.of("now", "test", fresh))) == 4
    assert model.calls == 13
