"""Plans on a small network, end to end: what comes out, and that nothing does when something fails."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import surgery_dsl
from surgery_dsl.certificate.verify import verify
from surgery_dsl.diagnostics.codes import budgets, defects, runs, trust
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.lock import SourceDigest
from surgery_dsl.interface.staleness import digest_of
from surgery_dsl.run import reload, session, steps, write
from surgery_dsl.run.apply import apply
from surgery_dsl.run.outcome import Outcome
from surgery_dsl.run.reload import Answer, Job

SLIM = """
identify weak {
  in = linear("**", except = ["head"])
  unit = channels
  by = magnitude(p = 2)
  take = lowest(25%)
}
excise weak { mode = remove }
replace smooth {
  at = relu("act")
  with = gelu()
}
recover tune {
  data = train
  epochs = 2
  optimizer = adamw(lr = 1e-2)
  loss = 0.5 * cross_entropy + 0.5 * distill(base, temperature = 2)
  seed = 3
}
control final {
  prove params <= 0.9 * base.params
  measure accuracy(test) >= 10%
  measure change(test, norm = inf) <= 1000
}
"""


class InProcess:
    """Stands for the clean process where a test is not about it: loads here."""

    def __enter__(self) -> "InProcess":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def ask(self, job: Job, timeout: float = 0) -> Answer:
        return reload.answer(job)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[session.Session]:
    """Every session that a test starts, with the state of its model at the start."""
    found: list[session.Session] = []
    original = session.Session.__init__

    def noted(self: session.Session, *args: object, **options: object) -> None:
        original(self, *args, **options)
        self.before = bits(self.model)
        found.append(self)

    monkeypatch.setattr(session.Session, "__init__", noted)
    monkeypatch.setattr(reload, "Reloader", InProcess)
    return found


def bits(model: torch.nn.Module) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, tensor in [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]:
        found[name] = (id(tensor), tensor.requires_grad, tensor.detach().numpy().tobytes(), tensor.shape, tensor.dtype)
    for path, module in model.named_modules():
        found[f"module {path}"] = (id(module), type(module), module.training, getattr(module, "out_features", None))
    return found


def go(path: Path, output: Path | None, **options: object) -> Outcome:
    return apply(path, output, allow_code=["network:*"], device="cpu", **options)


def codes(outcome: Outcome) -> list[str]:
    return [d.code.id for d in outcome.diagnostics if d.severity.value == "error"]


def assert_nothing_happened(output: Path, found: list[session.Session]) -> None:
    """Nothing was written, no temporary directory was left, and the network is as it was loaded."""
    assert not output.exists()
    assert [p.name for p in output.parent.iterdir() if p.name.startswith(".")] == []
    for one in found:
        assert bits(one.model) == one.before


# ---- what comes out ------------------------------------------------------------------------------------------------


def test_a_result_is_whole_and_comes_back(plan: Callable, tmp_path: Path, sessions: list) -> None:
    output = tmp_path / "out"
    outcome = go(plan(SLIM), output)
    assert codes(outcome) == []
    assert outcome.output == output
    assert {p.name for p in output.iterdir()} == {
        "model.safetensors",
        "surgery.json",
        "certificate.json",
        "evidence",
        "plan.surg",
        "plan.surg.lock",
        "report.html",
        "report.md",
        "network.py",
    }
    model = surgery_dsl.load(output, allow_code=["network:*"])
    live = sessions[0].model
    x = torch.randn(7, 6)
    with torch.no_grad():
        assert torch.equal(model(x), live(x))
    assert torch.equal(model.scale, torch.full((4,), 2.0))  # not part of any state dict
    assert model.second.weight.shape == (9, 9)
    assert type(model.act) is torch.nn.GELU
    assert verify(output).held
    names = load_file(output / "model.safetensors").keys()
    assert "scale" in names
    assert (output / "plan.surg").read_text() == plan(SLIM).read_text()


def test_a_gate_that_cannot_fail_is_told_once_and_measured_once(plan: Callable, tmp_path: Path, sessions: list) -> None:
    text = "cosine(test, over = min) >= -1"
    outcome = go(plan(SLIM.replace("measure accuracy(test) >= 10%", f"measure {text}")), tmp_path / "out")
    assert [one.code.id for one in outcome.diagnostics if one.span is not None].count("SD701") == 1
    assert [one.status for one in outcome.verdicts if one.text == text] == ["passed"]
    verification = verify(tmp_path / "out")
    assert verification.held, verification.diagnostics
    assert any(f"`{text}` says nothing" in finding.text for finding in verification.findings)


def test_a_result_loads_where_it_was_moved_and_only_with_a_grant(
    plan: Callable, tmp_path: Path, sessions: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    go(plan(SLIM), tmp_path / "out")
    moved = tmp_path / "elsewhere" / "model"
    moved.parent.mkdir()
    (tmp_path / "out").rename(moved)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused) as caught:
        surgery_dsl.load(moved)
    assert caught.value.diagnostics[0].code is trust.CODE_NOT_GRANTED
    assert surgery_dsl.load(moved, ["network:build"]).head.in_features == 9


@pytest.mark.parametrize("name", ["network.py", "model.safetensors"])
def test_a_changed_result_does_not_load(plan: Callable, tmp_path: Path, sessions: list, name: str) -> None:
    go(plan(SLIM), tmp_path / "out")
    raw = bytearray((tmp_path / "out" / name).read_bytes())
    raw[-1] ^= 1
    (tmp_path / "out" / name).write_bytes(bytes(raw))
    with pytest.raises(Refused) as caught:
        surgery_dsl.load(tmp_path / "out", ["*"])
    assert caught.value.diagnostics[0].code is trust.RESULT_CHANGED
    assert not verify(tmp_path / "out").held


def test_equal_seeds_give_equal_bits_and_other_seeds_do_not(plan: Callable, tmp_path: Path, sessions: list) -> None:
    path = plan(SLIM)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert codes(go(path, tmp_path / name, seed=seed)) == []
    a, b, c = ((tmp_path / name / "model.safetensors").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_the_record_says_what_happened(plan: Callable, tmp_path: Path, sessions: list) -> None:
    outcome = go(plan(SLIM), tmp_path / "out")
    predicate = outcome.predicate
    assert predicate is not None
    (selection,) = predicate.selections
    assert [(pool.taken, pool.kept, pool.units) for pool in selection.pools] == [(3, 9, 12), (3, 9, 12)]
    (training,) = predicate.training
    assert (training.samples, training.optimizer_steps, len(training.losses)) == (192, 6, 2)
    rows = {row.quantity: (row.before, row.after) for row in predicate.efficiency}
    live = sessions[0].model
    assert rows["params"][1] == sum(p.numel() for p in live.parameters())
    assert rows["flops"][1] == 2 * (6 * 9 + 9 * 9 + 9 * 4)
    assert 0 < predicate.surgery.magnitude < 1
    assert predicate.surgery.samples_to_recover == 192
    assert {claim.status for claim in predicate.claims.proved} == {"proved"}
    assert {claim.status for claim in predicate.claims.measured} == {"passed"}
    assert "# Surgery report" in (tmp_path / "out" / "report.md").read_text()


def test_without_an_output_everything_runs_and_nothing_is_written(
    plan: Callable, tmp_path: Path, sessions: list
) -> None:
    outcome = go(plan(SLIM), None)
    assert codes(outcome) == []
    assert outcome.predicate is not None
    assert outcome.output is None
    assert {p.name for p in tmp_path.iterdir()} == {"plans"}


def test_a_dry_run_proves_and_stops(plan: Callable, tmp_path: Path, sessions: list) -> None:
    outcome = go(plan(SLIM), tmp_path / "out", dry_run=True)
    assert codes(outcome) == []
    assert sessions == []
    assert outcome.predicate is None
    assert not (tmp_path / "out").exists()


def test_an_optional_step_may_match_nothing(plan: Callable, sessions: list) -> None:
    text = """
    replace acts {
      at = silu("**")
      with = gelu()
      optional = true
    }
    """
    outcome = go(plan(text), None)
    assert codes(outcome) == []
    assert outcome.predicate is not None
    assert sessions[0].edits == ()


def test_a_result_can_be_operated_on_again(plan: Callable, folder: Path, tmp_path: Path, sessions: list) -> None:
    go(plan(SLIM), folder / "first")
    head = """\
surg 1

model net {
  load = result("first")
  input = x("f32", [N, 6])
}
data test { load = python("network:data", count = 48) }
"""
    again = """
replace more {
  at = linear("second")
  with = svd(rank = 2)
}
control final { measure change(test, norm = inf) <= 1000 }
"""
    outcome = go(plan(again, "again.surg", head), tmp_path / "second")
    assert codes(outcome) == []
    model = surgery_dsl.load(tmp_path / "second", ["network:*"])
    x = torch.randn(5, 6)
    with torch.no_grad():
        assert torch.equal(model(x), sessions[-1].model(x))
    assert verify(tmp_path / "second").held


def test_a_run_in_double_precision(plan: Callable, tmp_path: Path, sessions: list) -> None:
    outcome = go(plan(SLIM), tmp_path / "out", dtype="f64")
    assert codes(outcome) == []
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    assert {t.dtype for t in tensors.values() if t.is_floating_point()} == {torch.float64}
    assert surgery_dsl.load(tmp_path / "out", ["*"])(torch.zeros(2, 6, dtype=torch.float64)).dtype == torch.float64
    assert verify(tmp_path / "out").held


@pytest.mark.slow
def test_the_clean_process_itself(plan: Callable, tmp_path: Path) -> None:
    outcome = go(plan(SLIM), tmp_path / "out")
    assert codes(outcome) == []
    (claim,) = [v for v in outcome.verdicts if v.kind == "reload"]
    assert (claim.status, claim.value) == ("passed", "largest difference 0")


# ---- training ------------------------------------------------------------------------------------------------------


def test_what_is_frozen_stays_equal_bit_for_bit(plan: Callable, tmp_path: Path, sessions: list) -> None:
    text = """
    replace adapter {
      after = linear("second")
      with = bottleneck(width = 3)
    }
    recover tune {
      data = train
      train = only(adapter)
      epochs = 2
      optimizer = adamw(lr = 1e-2)
      loss = cross_entropy
    }
    control final { prove frozen(except = adapter) }
    """
    outcome = go(plan(text), tmp_path / "out")
    assert codes(outcome) == []
    before, after = load_file(tmp_path / "plans" / "net.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())  # running statistics too
    assert any(name.startswith("second.adapter") and bool(tensor.any()) for name, tensor in after.items())


def test_zeros_stay_zero_through_training(plan: Callable, tmp_path: Path, sessions: list) -> None:
    text = """
    identify small {
      in = linear("**")
      unit = weights
      by = magnitude(p = 1)
      take = lowest(50%)
      per = global
    }
    excise small { mode = zero }
    recover tune {
      data = train
      epochs = 3
      optimizer = sgd(lr = 0.05, momentum = 0.9)
      loss = cross_entropy
    }
    control final { prove nonzero <= 0.6 * base.nonzero }
    """
    outcome = go(plan(text), tmp_path / "out")
    assert codes(outcome) == []
    tensors = load_file(tmp_path / "out" / "model.safetensors")
    weights = [tensors[f"{name}.weight"] for name in ("first", "second", "head")]
    total = sum(w.numel() for w in weights)
    assert sum(int((w == 0).sum()) for w in weights) == total // 2
    assert not torch.equal(tensors["head.bias"], load_file(tmp_path / "plans" / "net.safetensors")["head.bias"])


def test_masks_follow_their_tensors_through_a_cut(plan: Callable, tmp_path: Path, sessions: list) -> None:
    text = """
    identify small {
      in = linear("second")
      unit = weights
      by = magnitude(p = 1)
      take = lowest(50%)
    }
    excise small { mode = zero }
    identify weak {
      in = linear("second")
      unit = channels
      take = only([0, 5])
    }
    excise weak { mode = remove }
    recover tune {
      data = train
      epochs = 1
      optimizer = sgd(lr = 0.05)
      loss = cross_entropy
    }
    """
    outcome = go(plan(text), tmp_path / "out")
    assert codes(outcome) == []
    before = load_file(tmp_path / "plans" / "net.safetensors")["second.weight"]
    order = before.abs().flatten().argsort(stable=True)[:72]
    zero = torch.zeros(144, dtype=torch.bool)
    zero[order] = True
    kept = [i for i in range(12) if i not in (0, 5)]
    after = load_file(tmp_path / "out" / "model.safetensors")["second.weight"]
    assert torch.equal(after == 0, zero.reshape(12, 12)[kept])


def test_statistics_are_averaged_and_nothing_else_changes(plan: Callable, tmp_path: Path, sessions: list) -> None:
    text = """
    recover calibrate {
      data = train
      train = statistics
      epochs = 1
      optimizer = sgd(lr = 0.1)
      loss = cross_entropy
    }
    """
    outcome = go(plan(text), tmp_path / "out")
    assert codes(outcome) == []
    before, after = load_file(tmp_path / "plans" / "net.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    changed = {name for name, tensor in before.items() if not torch.equal(after[name], tensor)}
    assert changed == {"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"}
    assert verify(tmp_path / "out").held
    x = sessions[0].data("train").inputs
    hidden = torch.nn.functional.linear(x, before["first.weight"], before["first.bias"])
    parts = hidden.split(32)
    assert torch.allclose(after["norm.running_mean"], torch.stack([p.mean(0) for p in parts]).mean(0), atol=1e-5)
    assert torch.allclose(after["norm.running_var"], torch.stack([p.var(0) for p in parts]).mean(0), rtol=1e-4)


def test_auto_derives_its_length_from_the_size_of_the_surgery(plan: Callable, tmp_path: Path, sessions: list) -> None:
    text = SLIM.replace("epochs = 2", "epochs = auto")
    outcome = go(plan(text), None)
    assert codes(outcome) == []
    (training,) = outcome.predicate.training
    size = outcome.predicate.surgery.magnitude
    assert training.epochs == max(1, -(-size * 10 // 1))
    assert "epochs = auto" in training.note


def test_gradual_thawing_freezes_the_first_layers_at_first(plan: Callable, tmp_path: Path, sessions: list) -> None:
    text = """
    replace top {
      at = linear("head")
      with = linear(4)
      changes = outputs
    }
    recover thaw {
      data = train
      train = gradual(from = top, every = 1)
      epochs = 2
      optimizer = adamw(lr = layerwise(1e-2, decay = 0.5))
      loss = cross_entropy
    }
    """
    outcome = go(plan(text), tmp_path / "out")
    assert codes(outcome) == []
    before, after = load_file(tmp_path / "plans" / "net.safetensors"), load_file(tmp_path / "out" / "model.safetensors")
    for name in ("first.weight", "first.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"):
        assert torch.equal(after[name], before[name]), name
    assert not torch.equal(after["second.weight"], before["second.weight"])


# ---- failures: all or nothing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [RuntimeError("injected"), KeyboardInterrupt(), MemoryError()])
@pytest.mark.parametrize("position", range(6))
def test_a_failure_after_any_step_leaves_nothing(
    plan: Callable, tmp_path: Path, sessions: list, monkeypatch: pytest.MonkeyPatch, position: int, error: BaseException
) -> None:
    original, done = steps.Steps.execute, []

    def failing(self: steps.Steps, run: object) -> None:
        original(self, run)
        done.append(run)
        if len(done) == position + 1:
            raise error

    monkeypatch.setattr(steps.Steps, "execute", failing)
    text = SLIM.replace("control final", "control early { measure loss(test) <= 100 }\ncontrol final")
    with pytest.raises(type(error)):
        go(plan(text), tmp_path / "out")
    assert len(done) == position + 1
    assert_nothing_happened(tmp_path / "out", sessions)


@pytest.mark.parametrize("moment", [1, 2, 5])
def test_an_interruption_in_the_middle_of_training_leaves_nothing(
    plan: Callable, tmp_path: Path, sessions: list, moment: int
) -> None:
    def interrupt(text: str, done: int, total: int) -> None:
        if text == "training tune" and done == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(plan(SLIM), tmp_path / "out", progress=interrupt)
    assert_nothing_happened(tmp_path / "out", sessions)


@pytest.mark.parametrize("moment", ["writing", "reloading in a clean process"])
def test_an_interruption_while_writing_leaves_nothing(
    plan: Callable, tmp_path: Path, sessions: list, moment: str
) -> None:
    def interrupt(text: str, _done: int, _total: int) -> None:
        if text == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(plan(SLIM), tmp_path / "out", progress=interrupt)
    assert_nothing_happened(tmp_path / "out", sessions)


@pytest.mark.parametrize("name", ["write_weights", "write_record", "copy_sources"])
def test_a_full_disk_is_said_and_leaves_nothing(
    plan: Callable, tmp_path: Path, sessions: list, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    original = getattr(write, name)

    def full(*args: object) -> None:
        original(*args)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(write, name, full)
    outcome = go(plan(SLIM), tmp_path / "out")
    assert codes(outcome) == [runs.NOT_WRITTEN.id]
    assert "the disk is full" in outcome.diagnostics[-1].message
    assert_nothing_happened(tmp_path / "out", sessions)


def test_a_failed_gate_restores_and_says_both_numbers(plan: Callable, tmp_path: Path, sessions: list) -> None:
    outcome = go(plan(SLIM.replace("<= 1000", "<= 1e-6")), tmp_path / "out")
    assert codes(outcome) == [runs.GATE_FAILED.id]
    found = outcome.diagnostics[-1]
    assert found.span is not None
    assert found.facts["value"] > found.facts["limit"] == 1e-6
    statuses = {v.text: v.status for v in outcome.verdicts if v.verb == "measure"}
    assert sorted(statuses.values()) == ["failed", "passed"]
    assert_nothing_happened(tmp_path / "out", sessions)


def test_a_result_that_does_not_come_back_is_our_defect(
    plan: Callable, tmp_path: Path, sessions: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = write.write_weights

    def forgetful(model: torch.nn.Module, folder: Path, most: int) -> tuple[SourceDigest, ...]:
        original(model, folder, most)
        path = folder / "model.safetensors"
        tensors = load_file(path)
        tensors["scale"] = tensors["scale"] * 2
        save_file(tensors, path)
        return (SourceDigest(path=path.name, sha256=digest_of(path)),)

    monkeypatch.setattr(write, "write_weights", forgetful)
    outcome = go(plan(SLIM), tmp_path / "out")
    assert codes(outcome) == [defects.RELOAD_DIFFERS.id]
    assert outcome.diagnostics[-1].code.exit_code == 2
    assert_nothing_happened(tmp_path / "out", sessions)


def test_a_network_that_is_not_the_predicted_one_is_our_defect(
    plan: Callable, tmp_path: Path, sessions: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "differences", lambda predicted, traced: ("`second.weight` dimension 0 is 9, not 8",))
    outcome = go(plan(SLIM), tmp_path / "out")
    # The drift check before the first step uses a comparison of its own.
    assert codes(outcome) == [defects.PREDICTION.id]
    assert_nothing_happened(tmp_path / "out", sessions)


def test_a_rule_that_writes_what_it_did_not_name_is_our_defect(
    plan: Callable, tmp_path: Path, sessions: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = session.carry_out

    def sloppy(model: torch.nn.Module, change: object, journal: object) -> None:
        original(model, change, journal)
        journal.before_write([model.head.bias])
        with torch.no_grad():
            model.head.bias.add_(1)

    monkeypatch.setattr(session, "carry_out", sloppy)
    outcome = go(plan(SLIM), tmp_path / "out")
    assert codes(outcome) == [defects.UNDECLARED_WRITE.id]
    assert outcome.diagnostics[-1].path == "head.bias"
    assert_nothing_happened(tmp_path / "out", sessions)


# ---- what a user gets wrong ----------------------------------------------------------------------------------------


def damaged(folder: Path, change: Callable[[dict], None]) -> None:
    tensors = load_file(folder / "net.safetensors")
    change(tensors)
    save_file(tensors, folder / "net.safetensors")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda t: t["first.weight"].__setitem__((0, 0), float("nan")), trust.TENSOR_NOT_FINITE),
        (lambda t: t.pop("head.bias"), trust.TENSOR_MISSING),
        (lambda t: t.update(other=torch.zeros(1)), trust.TENSOR_EXTRA),
        (lambda t: t.update({"head.bias": torch.zeros(5)}), trust.TENSOR_SHAPE),
        (lambda t: t.update({"head.bias": torch.zeros(4, dtype=torch.float64)}), trust.TENSOR_DTYPE),
    ],
)
@pytest.mark.parametrize("locked", [False, True])
def test_bad_weights(
    plan: Callable, folder: Path, tmp_path: Path, sessions: list, change: Callable, code: object, locked: bool
) -> None:
    path = plan(SLIM)
    if locked:  # the lock was made while the weights were good
        go(path, None)
        sessions.clear()
    damaged(folder, change)
    outcome = go(path, tmp_path / "out")
    assert code.id in codes(outcome)
    assert outcome.diagnostics[-1].span is not None
    assert_nothing_happened(tmp_path / "out", sessions)


def test_missing_and_truncated_weights(plan: Callable, folder: Path, tmp_path: Path, sessions: list) -> None:
    path = plan(SLIM)
    go(path, None)
    raw = (folder / "net.safetensors").read_bytes()
    (folder / "net.safetensors").write_bytes(raw[:-8])
    assert codes(go(path, tmp_path / "out")) == [trust.WEIGHTS_MALFORMED.id]
    (folder / "net.safetensors").unlink()
    assert codes(go(path, tmp_path / "out")) == [trust.FILE_MISSING.id]


def test_pickles_are_read_only_where_that_is_asked(
    plan: Callable, folder: Path, tmp_path: Path, sessions: list
) -> None:
    torch.save(load_file(folder / "net.safetensors"), folder / "net.pt")
    path = plan(SLIM)
    path.write_text(path.read_text().replace("net.safetensors", "net.pt"))
    outcome = go(path, tmp_path / "out")
    assert codes(outcome) == [trust.PICKLE_REFUSED.id]
    assert codes(go(path, tmp_path / "out", allow_pickle=True)) == []
    assert codes(go(path, tmp_path / "again")) == [trust.PICKLE_REFUSED.id]
    go(plan(SLIM), tmp_path / "plain")
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (
        tmp_path / "plain" / "model.safetensors"
    ).read_bytes()


def test_other_weights_are_no_drift(plan: Callable, folder: Path, tmp_path: Path, sessions: list) -> None:
    path = plan(SLIM.replace("prove params <= 0.9 * base.params", "prove nonzero <= 0.9 * base.nonzero"))
    assert codes(go(path, None)) == []
    damaged(folder, lambda t: t["first.bias"].add_(1.0))
    outcome = go(path, tmp_path / "out")
    assert codes(outcome) == []
    assert verify(tmp_path / "out").held


def test_changed_code_is_drift(plan: Callable, folder: Path, tmp_path: Path, sessions: list) -> None:
    path = plan(SLIM)
    go(path, None)
    with (folder / "network.py").open("a") as file:
        file.write("\n# a comment\n")
    outcome = go(path, tmp_path / "out")
    assert set(codes(outcome)) == {trust.STALE_LOCK.id}
    assert outcome.diagnostics[-1].code.exit_code == 4
    assert_nothing_happened(tmp_path / "out", [])


def test_a_changed_declaration_is_drift(plan: Callable, tmp_path: Path, sessions: list) -> None:
    go(plan(SLIM), None)
    other = plan(SLIM)
    other.write_text(other.read_text().replace("count = 48", "count = 40"))
    assert codes(go(other, tmp_path / "out")) == [trust.STALE_LOCK.id]


def test_other_data_is_drift(plan: Callable, folder: Path, tmp_path: Path, sessions: list) -> None:
    torch.manual_seed(0)
    save_file({"x": torch.randn(30, 6), "y": torch.randint(0, 4, (30,))}, folder / "d.safetensors")
    path = plan('data more { load = safetensors("d.safetensors") }\ncontrol c { measure loss(more) <= 1000 }\n')
    assert codes(go(path, None)) == []
    save_file({"x": torch.randn(30, 6), "y": torch.randint(0, 4, (30,))}, folder / "d.safetensors")
    outcome = go(path, tmp_path / "out")
    assert codes(outcome) == [trust.DATA_DIFFERS.id]
    assert outcome.diagnostics[-1].code.exit_code == 4


def test_a_loss_that_explodes_is_stopped(plan: Callable, tmp_path: Path, sessions: list) -> None:
    text = SLIM.replace("adamw(lr = 1e-2)", "sgd(lr = 1e30)").replace("epochs = 2", "epochs = 20")
    outcome = go(plan(text), tmp_path / "out")
    assert codes(outcome) == [runs.LOSS_NOT_FINITE.id]
    assert outcome.diagnostics[-1].facts["lr"] == 1e30
    assert_nothing_happened(tmp_path / "out", sessions)


def test_training_that_changes_nothing_is_a_finding(plan: Callable, tmp_path: Path, sessions: list) -> None:
    outcome = go(plan(SLIM.replace("adamw(lr = 1e-2)", "sgd(lr = 1e-30)")), tmp_path / "out")
    assert codes(outcome) == [runs.NOTHING_CHANGED.id]
    assert "`tune`" in outcome.diagnostics[-1].message
    assert_nothing_happened(tmp_path / "out", sessions)


def test_a_tolerance_finer_than_one_example_is_too_weak(plan: Callable, tmp_path: Path, sessions: list) -> None:
    text = SLIM.replace("accuracy(test) >= 10%", "accuracy(test) >= base.accuracy(test) - 1pp")
    outcome = go(plan(text), tmp_path / "out")
    assert codes(outcome) == [runs.GATE_TOO_WEAK.id]
    assert outcome.diagnostics[-1].code.exit_code == 3
    assert "one of 48 examples weighs 2.08pp" in outcome.diagnostics[-1].message
    assert_nothing_happened(tmp_path / "out", sessions)


def test_numbers_of_points_that_pass_are_kept(plan: Callable, tmp_path: Path, sessions: list) -> None:
    text = SLIM.replace(
        "measure accuracy(test) >= 10%",
        "measure params <= before(weak).params - 1\n  measure loss(train) <= after(smooth).loss(train)",
    )
    outcome = go(plan(text), None)
    assert codes(outcome) == []
    values = {v.text: (v.value, v.limit) for v in outcome.verdicts if v.verb == "measure"}
    assert values["params <= before(weak).params - 1"][1] == str(6 * 12 + 12 + 24 + 144 + 12 + 48 + 4 - 1)


def test_an_output_in_the_way(plan: Callable, folder: Path, tmp_path: Path, sessions: list) -> None:
    path, output = plan(SLIM), tmp_path / "out"
    output.mkdir()
    (output / "precious.txt").write_text("mine")
    assert codes(go(path, output)) == [runs.OUTPUT_EXISTS.id]
    assert codes(go(path, output, force=True)) == [runs.OUTPUT_IN_THE_WAY.id]
    assert codes(go(path, folder, force=True)) == [runs.OUTPUT_IN_THE_WAY.id]
    assert sessions == []
    assert (output / "precious.txt").read_text() == "mine"


def test_an_earlier_result_is_replaced_by_force_and_kept_by_failure(
    plan: Callable, tmp_path: Path, sessions: list
) -> None:
    output = tmp_path / "out"
    assert codes(go(plan(SLIM), output)) == []
    first = (output / "model.safetensors").read_bytes()
    assert codes(go(plan(SLIM.replace("<= 1000", "<= 1e-6")), output, force=True)) == [runs.GATE_FAILED.id]
    assert (output / "model.safetensors").read_bytes() == first
    assert codes(go(plan(SLIM.replace("seed = 3", "seed = 4")), output, force=True)) == []
    assert (output / "model.safetensors").read_bytes() != first
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_what_others_write_at_the_place_meanwhile_is_kept(
    plan: Callable, tmp_path: Path, sessions: list, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two runs into one place, or a file that somebody leaves there while a run trains."""
    output, original = tmp_path / "out", write.write_record

    def slow(*args: object) -> None:
        original(*args)
        output.mkdir()
        (output / "precious.txt").write_text("mine")

    monkeypatch.setattr(write, "write_record", slow)
    outcome = go(plan(SLIM), output)
    assert codes(outcome) == [runs.OUTPUT_EXISTS.id]
    assert (output / "precious.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("device", ["cuda:99", "tpu", "cpu:1"])
def test_a_device_that_is_not_there(plan: Callable, tmp_path: Path, sessions: list, device: str) -> None:
    outcome = apply(plan(SLIM), tmp_path / "out", allow_code=["*"], device=device)
    assert codes(outcome) == [runs.NO_SUCH_DEVICE.id]


def test_warnings_refuse_where_that_is_asked(plan: Callable, tmp_path: Path, sessions: list) -> None:
    text = SLIM.replace("accuracy(test) >= 10%", "accuracy(test) >= 0%")
    assert codes(go(plan(text), tmp_path / "a")) == []
    outcome = go(plan(text), tmp_path / "b", strict=True)
    assert not (tmp_path / "b").exists()
    assert any(d.severity.value == "warning" for d in outcome.diagnostics)


def test_a_plan_that_is_refuted_is_not_executed(plan: Callable, tmp_path: Path, sessions: list) -> None:
    outcome = go(plan(SLIM.replace("0.9 * base.params", "0.1 * base.params")), tmp_path / "out")
    assert codes(outcome) == [budgets.REFUTED.id]
    assert sessions == []
