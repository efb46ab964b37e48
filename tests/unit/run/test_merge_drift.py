"""How far a merge moved the outputs, and why: against the two networks run by hand, and roundings in float64."""

import copy
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import nn

from surgery_dsl.certificate.health import MergeHealth
from surgery_dsl.cli.health_text import health_text
from surgery_dsl.evidence.named_inputs import main
from surgery_dsl.kernels.stored_sums import stored_sum
from surgery_dsl.modules.low_rank_adapter import LowRankAdapter
from surgery_dsl.report.contents.order import document
from surgery_dsl.report.markdown import markdown
from surgery_dsl.report.result import read_result
from surgery_dsl.run import merging
from surgery_dsl.run.apply import apply
from surgery_dsl.run.outcome import Outcome
from surgery_dsl.run.session import Session
from tests.unit.run.test_apply import InProcess

ADAPTED = """
replace adapters {
  at = [linear("first"), linear("second")]
  with = lora(rank = 2, alpha = 4)
}
recover tune {
  data = train
  train = only(adapters)
  epochs = 2
  optimizer = adamw(lr = 2e-2)
  loss = cross_entropy
  seed = 3
}
replace merged {
  at = adapters
  with = merge()
}
"""
GATED = ADAPTED + "control final {\n  measure merge_drift(merged, test) <= LIMIT\n}\n"


@pytest.fixture(autouse=True)
def _in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from surgery_dsl.run import reload

    monkeypatch.setattr(reload, "Reloader", InProcess)


@pytest.fixture
def pairs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[nn.Module, nn.Module, Session]]:
    """The networks just before and just after each merge, copied whole, and the session."""
    found: list[tuple[nn.Module, nn.Module, Session]] = []
    begun, ended, before = merging.begun, merging.ended, []

    def first(session: Session, step: object, effect: object) -> object:
        before.append(copy.deepcopy(session.model))
        return begun(session, step, effect)  # type: ignore[arg-type]

    def second(session: Session, merge: object, evidence: object) -> None:
        found.append((before[-1], copy.deepcopy(session.model), session))
        ended(session, merge, evidence)  # type: ignore[arg-type]

    monkeypatch.setattr(merging, "begun", first)
    monkeypatch.setattr(merging, "ended", second)
    return found


def go(path: Path, place: Path | None, **options: object) -> Outcome:
    return apply(path, place, allow_code=["network:*"], device="cpu", **options)  # type: ignore[arg-type]


def merge_of(outcome: Outcome) -> MergeHealth:
    assert outcome.predicate is not None, outcome.diagnostics
    assert outcome.predicate.health is not None
    (found,) = outcome.predicate.health.merges
    return found


@pytest.mark.parametrize("dtype", ["bf16", "f32"])
def test_drift_is_the_difference_of_the_two_networks(
    dtype: str, plan: Callable[[str], Path], pairs: list[tuple[nn.Module, nn.Module, Session]]
) -> None:
    outcome = go(plan(GATED.replace("LIMIT", "100")), None, dtype=dtype)
    found = merge_of(outcome)
    ((before, after, session),) = pairs
    x = torch.cat([main(inputs) for inputs, _ in session.data("test").batches()])
    with torch.no_grad():
        old, new = before(x).double(), after(x).double()
    gaps = (new - old).abs()
    assert (found.step, found.data, found.examples, found.answers) == ("merged", "test", 48, 48)
    assert found.largest == float(gaps.max())
    assert found.mean == pytest.approx(float(gaps.mean()), rel=1e-9)
    assert found.changed == int((old.argmax(1) != new.argmax(1)).sum())
    (claim,) = [one for one in outcome.predicate.claims.measured if one.verb == "measure"]  # type: ignore[union-attr]
    assert float(Fraction(claim.value)) == pytest.approx(found.largest)
    for layer in found.layers:
        host, now = before.get_submodule(layer.path), after.get_submodule(layer.path)
        adapter = host.get_submodule("adapters")
        assert isinstance(adapter, LowRankAdapter)
        update = adapter.scale * adapter.up.weight.detach().double() @ adapter.down.weight.detach().double()
        was, stored = host.weight.detach(), now.weight.detach()  # type: ignore[operator]
        assert layer.dtype == dtype
        lost = (stored.double() - was.double() - update).norm() / update.norm()
        assert layer.lost == pytest.approx(float(lost), rel=1e-3)
        assert layer.vanished == pytest.approx(float((stored == was)[update != 0].double().mean()))
        assert layer.output_change is not None
        assert 0 <= layer.output_change < {"bf16": 2e-2, "f32": 1e-5}[dtype]
    assert [layer.path for layer in found.layers] == ["first", "second"]
    worst = max(layer.lost or 0.0 for layer in found.layers)
    assert {"bf16": 1e-3, "f32": 1e-8}[dtype] < worst < {"bf16": 1, "f32": 1e-6}[dtype]


def test_a_drift_above_its_limit_names_the_layer_and_what_helps(plan: Callable[[str], Path]) -> None:
    path = plan(GATED.replace("LIMIT", "1e-6"))
    refused = go(path, None, dtype="bf16")
    (finding,) = [one for one in refused.diagnostics if one.code.id == "SD510"]
    assert "merge_drift(merged, test) <= 1e-6" in finding.message
    assert "--dtype f32" in finding.help
    notes = "; ".join(finding.notes)
    assert "entries vanished; most in `" in notes
    assert "of 48 largest outputs changed their place" in notes
    assert go(plan(GATED.replace("LIMIT", "1e-4")), None).accepted  # in f32, what helps


def test_without_a_line_the_plans_first_data_is_looked_at(plan: Callable[[str], Path], tmp_path: Path) -> None:
    outcome = go(plan(ADAPTED), tmp_path / "out", dtype="bf16")
    found = merge_of(outcome)
    assert (found.data, found.examples) == ("train", 96)
    assert found.largest
    assert outcome.predicate is not None
    assert outcome.predicate.health is not None
    assert any("merged: outputs moved by up to" in line for line in health_text(outcome.predicate.health))
    report = markdown(document(read_result(tmp_path / "out")))
    assert "Rounding by `merged`" in report
    assert "it moved outputs by up to" in report


def test_drift_of_a_step_that_merges_nothing_is_a_mistake(plan: Callable[[str], Path]) -> None:
    text = GATED.replace("merge_drift(merged", "merge_drift(adapters").replace("LIMIT", "1")
    (finding,) = go(plan(text), None).diagnostics
    assert (finding.code.id, finding.help) == ("SD107", "write `merge_drift(merged, test)`")


def test_later_steps_leave_the_drift_of_a_merge_alone(plan: Callable[[str], Path]) -> None:
    alone = merge_of(go(plan(GATED.replace("LIMIT", "100")), None, dtype="bf16"))
    later = "recover more {\n  data = train\n  epochs = 1\n  optimizer = sgd(lr = 0.5)\n  loss = cross_entropy\n}\n"
    text = GATED.replace("LIMIT", "100").replace("control final", later + "control final")
    assert merge_of(go(plan(text), None, dtype="bf16")) == alone


def test_numbers_below_half_a_step_vanish() -> None:
    weight = torch.tensor([[1.0, 1.0], [1.0, 0.0]], dtype=torch.bfloat16)
    left, right = torch.tensor([[1.0], [1.0]]), torch.tensor([[2**-9, 2**-7]])  # a step at 1 is 2^-7
    update = left @ right
    stored = (weight.float() + update).to(torch.bfloat16)
    found = stored_sum(weight, [(left, right, 1.0)], stored)
    assert (found.entries, found.vanished) == (4, 2)
    assert found.lost == pytest.approx((2 * 2**-18) ** 0.5 / float(update.norm()), rel=1e-6)
    assert stored_sum(weight, [(left, right, 0.0)], weight).lost == 0


def test_several_adapters_of_a_weight_are_rounded_once(plan: Callable[[str], Path]) -> None:
    """2^-8 twice is a step of bf16 at 1; each alone is half of one, and would go back to the even number."""
    from surgery_dsl.vocabulary.transforms.lora import Lora
    from surgery_dsl.vocabulary.transforms.merge import Merge
    from tests.unit.transforms.bench import Bench, linear, module, spec

    model = nn.Sequential(nn.Linear(1, 1, bias=False), nn.Linear(1, 1)).to(torch.bfloat16)
    with torch.no_grad():
        model[0].weight.fill_(1.0)  # type: ignore[operator]
    bench = Bench(model, spec("N", 1, dtype="bf16"))
    for name in ("one", "two"):
        bench.step(Lora(rank=1), "at", linear("0"), name=name)
        adapter = bench.model.get_submodule(f"0.{name}")
        assert isinstance(adapter, LowRankAdapter)
        with torch.no_grad():
            adapter.up.weight.fill_(1.0)
            adapter.down.weight.fill_(2**-8)
    merged = bench.step(Merge(), "at", module("0.*"), name="merged")
    assert (merged.codes, merged.differences) == ([], ())
    assert bench.model.get_parameter("0.weight").item() == 1 + 2**-7
