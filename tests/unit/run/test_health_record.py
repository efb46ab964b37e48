"""What the certificate says of the health of layers and of cost, held against plain torch on the same examples."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from surgery_dsl.certificate.health import Health
from surgery_dsl.certificate.model import EfficiencyRow, Predicate
from surgery_dsl.cli.health_text import health_text
from surgery_dsl.evidence import seen as seen_inside
from surgery_dsl.interface.model import Interface
from surgery_dsl.language.read import read_plan
from surgery_dsl.run import figures, health
from surgery_dsl.run import session as session_module
from surgery_dsl.run.apply import apply
from surgery_dsl.run.digests import digests, named_tensors
from surgery_dsl.run.outcome import Outcome
from surgery_dsl.run.session import Session
from tests.cli.program import EXAMPLES
from tests.unit.run.test_apply import InProcess

SLIM = """
identify weak {
  in = linear("first")
  unit = channels
  by = magnitude(p = 2)
  take = lowest(25%)
}
excise weak { mode = remove }
recover tune {
  data = train
  epochs = 1
  optimizer = adamw(lr = 1e-2)
  loss = cross_entropy
  seed = 3
}
control final {
  measure loss(test) <= 100
  measure dead(test) <= 24
}
"""
TIMED = SLIM.replace("measure dead(test) <= 24", "measure latency(test, batch = 8) <= 60s")


@pytest.fixture(autouse=True)
def _in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from surgery_dsl.run import reload

    monkeypatch.setattr(reload, "Reloader", InProcess)


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """Sessions whose health was taken; their tensors have the same bits before and after."""
    found: list[Session] = []
    original = health.health

    def watched(session: Session, judged: str) -> Health:
        names = {name for name, _ in named_tensors(session.model)}
        before = [digests(model, names) for model in (session.model,)]
        modes = [module.training for module in session.model.modules()]
        taken = original(session, judged)
        assert [digests(model, names) for model in (session.model,)] == before
        assert [module.training for module in session.model.modules()] == modes
        assert all(parameter.grad is None for parameter in session.model.parameters())
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in session.model.modules())
        found.append(session)
        return taken

    monkeypatch.setattr(figures, "health", watched)
    return found


def go(path: Path, place: Path | None, **options: object) -> Predicate:
    outcome: Outcome = apply(path, place, allow_code=["network:*"], device="cpu", **options)  # type: ignore[arg-type]
    assert outcome.accepted, outcome.diagnostics
    assert outcome.predicate is not None
    return outcome.predicate


def rows(predicate: Predicate) -> dict[str, EfficiencyRow]:
    return {row.quantity: row for row in predicate.efficiency}


def outputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    written: dict[str, Tensor] = {}

    def keep(path: str) -> Callable[[nn.Module, object, Tensor], None]:
        return lambda _, __, output: written.update({path: output.detach().double()})

    hooks = [module.register_forward_hook(keep(path)) for path, module in model.named_modules() if path]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return written


def test_layers_are_those_of_plain_torch(plan: Callable[[str], Path], tmp_path: Path, seen: list[Session]) -> None:
    path = plan(SLIM)
    found = go(path, tmp_path / "out").health
    assert found is not None
    assert (found.data, found.examples, found.notes) == ("test", 48, ())
    (session,) = seen
    base, model, kept = session.base(), session.model, session.picked("weak").indices[0]
    left = [unit for unit in range(12) if unit not in kept]
    x = torch.cat([inputs for inputs, _ in session.data("test").batches()])
    y = torch.cat([targets for _, targets in session.data("test").batches()])
    before, after = outputs(base, x), outputs(model, x)
    layers = {layer.path: layer for layer in found.layers}
    assert list(layers) == ["first", "norm", "second", "head"]
    for name in layers:
        old = before[name][:, left] if name in ("first", "norm") else before[name]
        moved = float((after[name] - old).norm() / old.norm())
        assert layers[name].output_change == pytest.approx(moved, rel=1e-6), name
        assert layers[name].note == ("9 of 12 units compared" if name in ("first", "norm") else "")
    loss = nn.functional.cross_entropy(model(x), y)
    gradients = dict(
        zip((n for n, _ in model.named_parameters()), torch.autograd.grad(loss, list(model.parameters())), strict=True)
    )
    for name in layers:
        own = [gradient for key, gradient in gradients.items() if key.startswith(f"{name}.")]
        norm = math.sqrt(sum(float((gradient.double() ** 2).sum()) for gradient in own))
        assert layers[name].gradient == pytest.approx(norm, rel=1e-4), name
    slope = torch.autograd.grad(
        nn.functional.cross_entropy(base.requires_grad_(True)(x), y), [base.head.weight, base.head.bias]
    )
    steps = (model.head.weight - base.head.weight, model.head.bias - base.head.bias)
    score = sum(float((step.detach() * one).double().sum()) for step, one in zip(steps, slope, strict=True))
    assert layers["head"].score == pytest.approx(score, rel=1e-4, abs=1e-9)


def test_what_stands_in_a_layers_place_is_not_called_gone(plan: Callable[[str], Path]) -> None:
    text = """
replace folded {
  at = norm("norm")
  with = fold()
}
replace anew {
  at = linear("head")
  with = linear(4)
  changes = outputs
}
control final {
  measure dead(test) <= 24
}
"""
    found = go(plan(text), None).health
    assert found is not None
    notes = {layer.path: layer.note for layer in found.layers}
    assert (notes["norm"], notes["head"]) == ("it is gone", "another stands there")


def test_units_and_norms_are_counted(plan: Callable[[str], Path], seen: list[Session]) -> None:
    found = go(plan(SLIM), None).health
    assert found is not None
    (session,) = seen
    x = torch.cat([inputs for inputs, _ in session.data("test").batches()])
    written = outputs(session.model, x)
    for one, path in zip(found.activations, ("act", "act2"), strict=True):
        values = written[path]
        assert (one.path, one.units) == (path, values.shape[1])
        assert one.dead == int((values.abs().amax(0) <= 1e-6).sum())
        shares = torch.linalg.svdvals(values)
        shares = (shares / shares.sum())[shares > 0]
        assert one.effective_rank == pytest.approx(float((-(shares * shares.log()).sum()).exp()), rel=1e-6)
    (norm,) = found.norms
    assert norm.path == "norm"
    assert norm.shift > 0


def test_without_data_only_weights_are_compared(plan: Callable[[str], Path]) -> None:
    text = SLIM[: SLIM.index("recover")] + "control final { prove params <= base.params }\n"
    found = go(plan(text), None).health
    assert found is not None
    assert (found.data, found.examples, found.activations, found.norms) == ("", 0, (), ())
    assert found.notes == ("activations: the plan reads no data", "gradients and scores: no loss is read")
    assert {layer.path: layer.output_change for layer in found.layers} == dict.fromkeys(
        ["first", "norm", "second", "head"]
    )
    weights = {layer.path: layer.weight_change for layer in found.layers}
    assert weights["head"] == 0
    assert 0 < weights["first"] < 1  # type: ignore[operator]


WATCHED = SLIM.replace(
    "measure dead(test) <= 24",
    """measure dead(test) <= 24
  measure constant_units(test) <= 24
  measure redundant_units(test) <= 24
  measure effective_rank(test) >= 0
  measure effective_rank(test, at = linear("second")) >= 0
  measure bn_shift(test) <= 100""",
)


def test_words_that_look_inside_share_one_pass(plan: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """With too little room for products words run alone, and say the same."""
    looks: list[seen_inside.Wanted] = []
    original = seen_inside.look

    def counted(model: nn.Module, interface: Interface, wanted: seen_inside.Wanted, *others: Any) -> seen_inside.Seen:
        looks.append(wanted)
        return original(model, interface, wanted, *others)

    monkeypatch.setattr(session_module, "look", counted)
    monkeypatch.setattr(health, "look", counted)
    together = go(plan(WATCHED), None)
    assert len(looks) == 1
    assert set(looks[0].products) == {"act", "act2", "second"}
    assert looks[0].norms
    monkeypatch.setattr(seen_inside, "MOST_KEPT", 0)
    alone = go(plan(WATCHED), None)
    assert len(looks) == 1 + 5 + 1  # dead and constant units take no room, and still share one; the last is the table's
    for one, other in zip(together.claims.measured, alone.claims.measured, strict=True):
        assert (one.statement, one.value, one.note) == (other.statement, other.value, other.note)
    assert together.health is not None
    assert alone.health is not None
    assert together.health.activations == alone.health.activations
    assert together.health.norms == alone.health.norms


def test_each_figure_has_a_line_and_says_how_it_was_found(plan: Callable[[str], Path], tmp_path: Path) -> None:
    path = plan(SLIM)
    found = rows(go(path, tmp_path / "out"))
    assert list(found) == ["params", "flops", "macs", "memory", "nonzero", "peak_memory", "disk"]
    assert found["macs"].after == 6 * 9 + 9 * 12 + 12 * 4
    assert found["disk"].before == (path.parent / "net.safetensors").stat().st_size
    assert found["disk"].after == sum(file.stat().st_size for file in (tmp_path / "out").glob("*.safetensors"))
    assert (found["peak_memory"].how, found["peak_memory"].conditions) == ("estimated", "N = 1")
    kept = load_file(tmp_path / "out" / "model.safetensors")
    assert found["params"].after == sum(
        t.numel() for n, t in kept.items() if "running" not in n and n != "scale" and t.dim()
    )


def test_a_perplexity_is_a_loss_too() -> None:
    lines = {"perplexity(held) <= 9": "held", "cosine(held) >= 0.9": ""}
    for line, data in lines.items():
        text = (EXAMPLES / "llm_shrink" / "plan.surg").read_text(encoding="utf-8").rpartition("  measure")[0]
        plan, _ = read_plan(f"{text}  measure {line}\n}}\n", "plan.surg", {})
        assert plan is not None
        assert figures.judged(plan) == (data, "")


def test_zeros_are_not_parameters_removed(plan: Callable[[str], Path]) -> None:
    found = rows(go(plan(SLIM.replace("mode = remove", "mode = zero")), None))
    assert found["nonzero"].after < found["nonzero"].before
    for name in ("params", "macs", "memory"):
        assert found[name].after == found[name].before, name
    written = int(found["nonzero"].before - found["nonzero"].after)
    assert found["nonzero"].conditions == f"{written} more zeros are stored: no bytes, no dense arithmetic saved"
    assert rows(go(plan(SLIM), None))["nonzero"].conditions == ""


@pytest.mark.parametrize(("after", "told"), [((0.9, 1.0), False), ((1.15, 1.3), True), ((1.5, 2.0), False)])
def test_medians_within_the_spread_tell_no_difference(after: tuple[float, float], told: bool) -> None:
    row = EfficiencyRow(
        quantity="latency", unit="seconds, median", before=1.2, after=sum(after) / 2, saving=0.1, how="measured",
        before_spread=(1.1, 1.4), after_spread=after,
    )  # fmt: skip
    assert row.within_spread == told
    assert not row.replaced(after_spread=None).within_spread


def test_time_is_measured_where_a_plan_or_its_user_asks(plan: Callable[[str], Path]) -> None:
    assert "latency" not in rows(go(plan(SLIM), None))
    by_plan = rows(go(plan(TIMED), None))["latency"]
    assert by_plan.conditions == "cpu, 1 thread, batch 8, float32, 30 runs"
    found = rows(go(plan(SLIM), None, measure_latency=True))
    row = found["latency"]
    assert (row.how, row.conditions) == ("measured", "cpu, 1 thread, batch 1, float32, 30 runs")
    for value, spread in ((row.before, row.before_spread), (row.after, row.after_spread)):
        assert spread is not None
        assert 0 < spread[0] <= value <= spread[1]
    assert (found["peak_memory"].how, found["peak_memory"].conditions) == ("measured", "cpu, batch 1")


def test_the_line_of_a_gate_names_the_layer(plan: Callable[[str], Path]) -> None:
    failing = apply(
        plan(SLIM.replace("measure dead(test) <= 24", "measure layer_change(test) <= 0.1%")),
        None,
        allow_code=["network:*"],
        device="cpu",
    )
    assert not failing.accepted
    (finding,) = failing.diagnostics
    assert any(note.startswith("most in `") for note in finding.notes)


def test_the_text_shows_the_layers_that_moved_most(plan: Callable[[str], Path]) -> None:
    found = go(plan(SLIM), None).health
    assert found is not None
    text = "\n".join(health_text(found))
    assert "on the first 48 examples of `test`" in text
    assert "no bound" in text
    assert [line.split()[0] for line in text.splitlines()[3:7]] == ["first", "norm", "second", "head"]
    assert health_text(Health()) == []
