"""Plans out of core: the same tensors as in core, whatever kills the run; and what cannot be done so is refused."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file

import surgery_dsl
from surgery_dsl.certificate.verify import verify
from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import defects, runs, trust
from surgery_dsl.proof import deciding
from surgery_dsl.proof import questions as proof
from surgery_dsl.proof.questions import BudgetQuestion
from surgery_dsl.proof.tiers import order
from surgery_dsl.run import apply as applying
from surgery_dsl.run import reload
from surgery_dsl.run.apply import apply
from surgery_dsl.run.outcome import Outcome
from surgery_dsl.run.reload import Answer, Job
from surgery_dsl.run.streaming import cut, eligible, execute, layout, returning, shards
from surgery_dsl.run.streaming.journal import Journal
from surgery_dsl.run.streaming.skeleton import without_parameters

ROOT = Path(__file__).resolve().parents[3]

NETWORK = """
import torch
import torch.nn.functional as F
from torch import nn


class Layer(nn.Module):
    def __init__(self, hidden, width):
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.gate = nn.Linear(hidden, width)
        self.up = nn.Linear(hidden, width)
        self.down = nn.Linear(width, hidden)

    def forward(self, x):
        h = self.norm(x)
        return x + self.down(F.silu(self.gate(h)) * self.up(h))


class Decoder(nn.Module):
    def __init__(self, hidden=16, width=24, layers=4):
        super().__init__()
        self.embed = nn.Embedding(30, hidden)
        self.layers = nn.ModuleList(Layer(hidden, width) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, 30, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scale", torch.linspace(1, 2, hidden), persistent=False)

    def forward(self, ids):
        x = self.embed(ids) * self.scale
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


class Convolutions(nn.Module):
    def __init__(self, width=12):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.bn = nn.BatchNorm2d(width)
        self.deep = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.out = nn.Conv2d(width, 8, 1)
        self.head = nn.Linear(8 * 4, 5)

    def forward(self, x):
        h = F.relu(self.bn(self.stem(x)))
        h = F.relu(self.out(self.deep(h)))
        return self.head(F.adaptive_avg_pool2d(h, 2).flatten(1))


def build(kind="Decoder", dtype="float32", **sizes):
    return globals()[kind](**sizes).to(getattr(torch, dtype))


def data():
    return torch.randint(0, 30, (20, 6)), torch.randint(0, 30, (20, 6))
"""

DECODER = """\
surg 1

model net {
  load = python("streamed:build")
  weights = "weights"
  input = ids("i64", [B, T], below = 30)
}
"""
CUTS = """
identify narrow {
  in = linear("layers.*.gate")
  unit = channels
  by = magnitude(p = 1)
  take = lowest(50%)
}
identify hidden {
  in = embedding("embed")
  unit = channels
  take = only([3, 7, 8])
}
identify late {
  in = module("layers.*")
  unit = modules
  take = only([1])
}
excise narrow { mode = remove }
excise hidden { mode = remove }
excise late { mode = remove }
control final {
  prove params <= 0.9 * base.params
  measure params <= 0.9 * base.params
}
"""


@pytest.fixture(autouse=True)
def _here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small blocks, and no process for the last act: what it does there it does here."""

    class Here:
        def __enter__(self) -> "Here":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def ask(self, job: Job, timeout: float = 0) -> Answer:
            return reload.answer(job)

    monkeypatch.setattr(cut, "BLOCK", 256)
    monkeypatch.setattr(cut, "RUN", 64)
    monkeypatch.setattr(reload, "Reloader", Here)
    monkeypatch.setattr(returning, "Reloader", Here)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "plans"
    folder.mkdir()
    (folder / "streamed.py").write_text(NETWORK)
    return folder


def write_weights(folder: Path, files: int = 2, seed: int = 1, **arguments: object) -> None:
    """Write drawn weights of the network in some files, with an index where there are several."""
    scope: dict[str, object] = {}
    exec(NETWORK, scope)
    net = scope["build"](**arguments)  # type: ignore[operator]
    generator = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, tensor in net.state_dict().items():
        if name != "head.weight" or "embed.weight" not in net.state_dict():
            drawn = torch.randn(tensor.shape, generator=generator) * 0.4
            drawn = drawn.abs() + 0.5 if name.endswith("running_var") else drawn
            tensors[name] = drawn.to(tensor.dtype)
    folder.mkdir(exist_ok=True)
    if files == 1:
        save_file(tensors, folder / "model.safetensors")
        return
    places = {
        name: f"model-{i * files // len(tensors) + 1:05}-of-{files:05}.safetensors" for i, name in enumerate(tensors)
    }
    for file in set(places.values()):
        save_file({name: tensors[name] for name in tensors if places[name] == file}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def write_plan(folder: Path, steps: str = CUTS, head: str = DECODER) -> Path:
    path = folder / "plan.surg"
    path.write_text(head + textwrap.dedent(steps))
    return path


def go(path: Path, output: Path, **options: object) -> Outcome:
    return apply(path, output, allow_code=["streamed:*"], device="cpu", **options)


def codes(outcome: Outcome) -> list[str]:
    return [d.code.id for d in outcome.diagnostics if d.severity.value == "error"]


def tensors_of(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}


def assert_same(left: Path, right: Path) -> None:
    first, second = tensors_of(left), tensors_of(right)
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype
        assert tensor.shape == second[name].shape
        assert torch.equal(tensor.reshape(-1).view(torch.uint8), second[name].reshape(-1).view(torch.uint8)), name


# ---- what comes out ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("files", [1, 2, 5])
def test_the_result_is_that_of_a_run_in_core(place: Path, tmp_path: Path, dtype: str, files: int) -> None:
    write_weights(place / "weights", files, dtype=dtype)
    path = write_plan(place, head=DECODER.replace(":build", f':build", dtype = "{dtype}').replace('"")', '")'))
    assert codes(go(path, tmp_path / "in", out_of_core=False)) == []
    outcome = go(path, tmp_path / "out", out_of_core=True, shard_size=2000)
    assert codes(outcome) == []
    assert_same(tmp_path / "in", tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.safetensors"))) > 1
    inside, outside = (surgery_dsl.load(tmp_path / name, allow_code=["streamed:*"]) for name in ("in", "out"))
    ids = torch.randint(0, 30, (3, 7))
    with torch.no_grad():
        assert torch.equal(inside(ids), outside(ids))
    assert outside.head.weight is outside.embed.weight
    assert verify(tmp_path / "out").held
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


CONVOLUTIONS = """\
surg 1

model net {
  load = python("streamed:build", kind = "Convolutions")
  weights = "weights"
  input = x("f32", [N, 3, 8, 8])
}
identify thin {
  in = conv2d("stem")
  unit = channels
  by = bn_scale()
  take = lowest(4)
}
identify last {
  in = conv2d("out")
  unit = channels
  by = random(seed = 3)
  take = lowest(25%)
}
excise last { mode = remove }
excise thin { mode = remove, changes = values }
"""


def test_convolutions_and_their_norms(place: Path, tmp_path: Path) -> None:
    write_weights(place / "weights", 2, kind="Convolutions")
    text = CONVOLUTIONS.replace("{ mode = remove, changes = values }", "{\n  mode = remove\n  changes = values\n}")
    path = write_plan(place, "", text)
    assert codes(go(path, tmp_path / "in", out_of_core=False)) == []
    assert codes(go(path, tmp_path / "out", out_of_core=True)) == []
    assert_same(tmp_path / "in", tmp_path / "out")


def test_the_certificate_says_what_was_not_measured(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_weights(place / "weights")
    monkeypatch.setattr(returning, "available", lambda: 10)
    outcome = go(write_plan(place), tmp_path / "out", out_of_core=True)
    assert codes(outcome) == []
    assert outcome.predicate is not None
    assumed = {claim.kind: claim for claim in outcome.predicate.claims.assumed}
    assert "no forward was run" in assumed["finite"].note
    assert "there is not memory enough" in assumed["reload"].note
    measured = {claim.kind for claim in outcome.predicate.claims.measured}
    assert "finite" not in measured
    assert "reload" in measured  # the structure came back
    assert verify(tmp_path / "out").held
    rows = {row.quantity: row for row in outcome.predicate.efficiency}
    assert rows.keys() == {"params", "flops", "macs", "memory"}
    weights = next(entry for entry in outcome.predicate.inputs if entry.role == "weights")
    assert outcome.checked.lock is not None
    assert outcome.checked.lock.models[0].weights is not None
    assert weights.digest.sha256 == outcome.checked.lock.models[0].weights.digest


def test_figures_are_those_of_a_run_in_core(place: Path, tmp_path: Path) -> None:
    write_weights(place / "weights")
    path = write_plan(place)
    inside, outside = go(path, tmp_path / "in", out_of_core=False), go(path, tmp_path / "out", out_of_core=True)
    assert inside.predicate is not None
    assert outside.predicate is not None
    rows = {row.quantity: row for row in inside.predicate.efficiency}
    assert all(rows[row.quantity] == row for row in outside.predicate.efficiency)
    assert inside.predicate.selections == outside.predicate.selections
    assert inside.predicate.claims.proved == outside.predicate.claims.proved


GLOBAL = """
identify narrow {
  in = linear("layers.*.gate")
  unit = channels
  by = magnitude(p = 1)
  take = lowest(50%)
  per = global
}
excise narrow { mode = remove }
control final {
  prove params <= LIMIT * base.params
}
"""


@pytest.mark.parametrize(("limit", "code"), [("0.9", None), ("0.3", runs.ASSERTION_FAILED)])
def test_claims_that_nobody_decided_are_put_to_the_outcome(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, code: Code | None
) -> None:
    original = order.decide_budget

    def decide(question: BudgetQuestion) -> proof.Answer:
        if question.slack.number is None:
            return proof.Answer("undecided", "none", reason="the tiers were told to give up")
        return original(question)

    monkeypatch.setattr(deciding, "decide_budget", decide)
    write_weights(place / "weights")
    path = write_plan(place, GLOBAL.replace("LIMIT", limit))
    outcome = go(path, tmp_path / "out", out_of_core=True, allow_undecided=True)
    assert codes(outcome) == ([code.id] if code else [])
    assert (tmp_path / "out").exists() == (code is None)
    (verdict,) = [verdict for verdict in outcome.verdicts if verdict.verb == "prove"]
    assert verdict.status == ("undecided" if code else "passed")


# ---- which way -----------------------------------------------------------------------------------------------------


def test_memory_decides_where_nobody_does(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_weights(place / "weights")
    path = write_plan(place)
    assert "stream" not in go(path, tmp_path / "roomy").timings
    monkeypatch.setattr(eligible, "available", lambda: 2000)
    assert "stream" in go(path, tmp_path / "tight").timings
    assert "stream" not in go(path, tmp_path / "asked", out_of_core=False).timings


FEW = """
identify few {
  in = linear("layers.0.gate")
  unit = channels
  take = only([1])
}
excise few { mode = zero }
"""
SINGLE = FEW.replace("channels", "weights").replace("take = only([1])", "by = magnitude(p = 1)\n  take = lowest(10%)")
REPLACED = """
replace act {
  at = linear("layers.0.gate")
  with = int8()
}
"""
COUNTED = """
control final {
  measure nonzero <= base.nonzero
}
"""


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        (REPLACED, "`act` replaces modules"),
        (SINGLE, "`few` picks single weights"),
        (FEW, "`few` writes values with `zero`"),
        (COUNTED, "measures `nonzero`"),
    ],
)
def test_what_needs_the_whole_network_is_refused(place: Path, tmp_path: Path, steps: str, said: str) -> None:
    write_weights(place / "weights")
    outcome = go(write_plan(place, steps), tmp_path / "out", out_of_core=True)
    assert set(codes(outcome)) == {runs.NOT_OUT_OF_CORE.id}
    assert said in " ".join(found.message for found in outcome.diagnostics)
    assert not (tmp_path / "out").exists()
    assert applying._streamed(outcome.checked.plan, place, applying.Settings()) == (False, ())  # type: ignore[arg-type]


def test_weights_must_be_files_of_tensors_in_their_own_dtype(place: Path, tmp_path: Path) -> None:
    write_weights(place / "weights")
    outcome = go(write_plan(place), tmp_path / "out", out_of_core=True, dtype="bf16")
    assert codes(outcome) == [runs.NOT_OUT_OF_CORE.id]
    assert "--dtype bf16" in outcome.diagnostics[-1].message
    bare = go(
        write_plan(place, head=DECODER.replace('  weights = "weights"\n', "")), tmp_path / "out", out_of_core=True
    )
    assert codes(bare) == [runs.NOT_OUT_OF_CORE.id]


# ---- what may go wrong ---------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
from surgery_dsl.run.apply import apply
from surgery_dsl.run.streaming import cut, output, returning, shards

cut.BLOCK, cut.RUN, shards.WRITERS, output.WRITE, output.ALIGN = 256, 64, 1, 512, 8
fuse = int(sys.argv[3])
original = output.Output.space

def space(self, size):
    global fuse
    fuse -= 1
    if not fuse:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(self, size)

output.Output.space = space
outcome = apply(sys.argv[1], sys.argv[2], allow_code=["streamed:*"], out_of_core=True, shard_size=1000)
print(len([d for d in outcome.diagnostics if d.severity.value == "error"]))
"""


def killed(path: Path, output: Path, fuse: int) -> int:
    """Run in a process of its own that kills itself at the given block; return its exit code."""
    command = [sys.executable, "-c", KILLED, str(path), str(output), str(fuse)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, cwd=path.parent, capture_output=True).returncode


@pytest.mark.slow
@pytest.mark.parametrize("fuse", [1, 7, 19, 33, 48])
def test_a_killed_run_goes_on_where_it_was(
    place: Path, tmp_path: Path, fuse: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_weights(place / "weights", 3)
    path = write_plan(place)
    before = {p.name: p.read_bytes() for p in (place / "weights").iterdir()}
    assert codes(go(path, tmp_path / "in", out_of_core=False)) == []
    assert killed(path, tmp_path / "out", fuse) == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    progress = json.loads((tmp_path / ".out.partial" / "progress.json").read_text())
    finished = {name: (tmp_path / ".out.partial" / "result" / name).stat() for name in progress["shards"]}
    assert (fuse > 15) == bool(finished)
    written: list[str] = []
    original = shards.Writer._shard

    def noted(self: shards.Writer, shard: layout.Shard) -> str:
        written.append(shard.name)
        return original(self, shard)

    monkeypatch.setattr(shards.Writer, "_shard", noted)
    assert codes(go(path, tmp_path / "out", out_of_core=True, shard_size=1000)) == []
    assert not set(written) & finished.keys()
    for name, state in finished.items():
        assert (tmp_path / "out" / name).stat().st_mtime_ns == state.st_mtime_ns
    assert_same(tmp_path / "in", tmp_path / "out")
    assert verify(tmp_path / "out").held
    assert {p.name: p.read_bytes() for p in (place / "weights").iterdir()} == before
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def interrupted(path: Path, output: Path, monkeypatch: pytest.MonkeyPatch, shard: int = 2) -> set[str]:
    """Break a run off at one of its files; return the names of those that are complete."""
    original = shards.Writer._shard

    def broken(self: shards.Writer, one: layout.Shard) -> str:
        if one.name.startswith(f"model-{shard:05}"):
            raise KeyboardInterrupt
        return original(self, one)

    with monkeypatch.context() as patch:
        patch.setattr(shards.Writer, "_shard", broken)
        patch.setattr(shards, "WRITERS", 1)  # file after file
        with pytest.raises(KeyboardInterrupt, match="the same command goes on from there"):
            go(path, output, out_of_core=True, shard_size=1000)
    progress = json.loads((output.parent / f".{output.name}.partial" / "progress.json").read_text())
    return set(progress["shards"])


def written_by(path: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Outcome, set[str]]:
    """Run to the end; return the outcome and the names of the files that this run wrote."""
    names: set[str] = set()
    original = shards.Writer._shard

    def noted(self: shards.Writer, shard: layout.Shard) -> str:
        names.add(shard.name)
        return original(self, shard)

    with monkeypatch.context() as patch:
        patch.setattr(shards.Writer, "_shard", noted)
        return go(path, output, out_of_core=True, shard_size=1000), names


def test_an_input_that_changed_restarts_the_run(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_weights(place / "weights")
    path = write_plan(place)
    done = interrupted(path, tmp_path / "out", monkeypatch)
    assert done
    write_weights(place / "weights", seed=9)
    (place / "plan.surg.lock").unlink()
    outcome, written = written_by(path, tmp_path / "out", monkeypatch)
    assert codes(outcome) == []
    assert done <= written
    assert codes(go(path, tmp_path / "in", out_of_core=False)) == []
    assert_same(tmp_path / "in", tmp_path / "out")


def test_an_input_that_was_only_touched_does_not(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_weights(place / "weights")
    path = write_plan(place)
    done = interrupted(path, tmp_path / "out", monkeypatch)
    for file in (place / "weights").iterdir():
        file.touch()
    outcome, written = written_by(path, tmp_path / "out", monkeypatch)
    assert codes(outcome) == []
    assert not done & written


def test_a_finished_file_that_was_damaged_is_written_again(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_weights(place / "weights")
    path = write_plan(place)
    done = interrupted(path, tmp_path / "out", monkeypatch, 4)
    assert len(done) >= 3  # two write side by side: the other may have finished too
    damaged = min(done)
    file = tmp_path / ".out.partial" / "result" / damaged
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    outcome, written = written_by(path, tmp_path / "out", monkeypatch)
    assert codes(outcome) == []
    assert written & done == {damaged}
    assert verify(tmp_path / "out").held


def test_another_plan_does_not_go_on_with_these_files(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_weights(place / "weights")
    done = interrupted(write_plan(place), tmp_path / "out", monkeypatch)
    path = write_plan(place, CUTS.replace("only([3, 7, 8])", "only([3, 7, 9])"))
    outcome, written = written_by(path, tmp_path / "out", monkeypatch)
    assert codes(outcome) == []
    assert done <= written


def test_an_input_that_changes_while_it_is_read_gives_no_result(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_weights(place / "weights")
    path = write_plan(place)
    original = shards.Writer.write

    def meanwhile(self: shards.Writer) -> dict[str, str]:
        found = original(self)
        write_weights(place / "weights", seed=9)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(shards.Writer, "write", meanwhile)
        assert codes(go(path, tmp_path / "out", out_of_core=True)) == [runs.INPUT_CHANGED.id]
    assert not (tmp_path / "out").exists()


def test_weights_that_the_lock_has_not_seen_must_be_finite(place: Path, tmp_path: Path) -> None:
    write_weights(place / "weights", 1)
    path = write_plan(place)
    assert codes(go(path, tmp_path / "first", out_of_core=True)) == []
    file = place / "weights" / "model.safetensors"
    tensors = load_file(file)
    tensors["layers.3.up.weight"][1, 2] = float("nan")
    save_file(tensors, file)
    outcome = go(path, tmp_path / "out", out_of_core=True)
    assert codes(outcome) == [trust.TENSOR_NOT_FINITE.id]
    assert not (tmp_path / "out").exists()


def test_two_runs_do_not_write_one_result(place: Path, tmp_path: Path) -> None:
    write_weights(place / "weights")
    path = write_plan(place)
    with Journal(tmp_path / "out", {}, "plan.surg"):
        assert codes(go(path, tmp_path / "out", out_of_core=True)) == [runs.OUTPUT_IN_THE_WAY.id]
    assert codes(go(path, tmp_path / "out", out_of_core=True)) == []
    assert codes(go(path, tmp_path / "out", out_of_core=True)) == [runs.OUTPUT_EXISTS.id]
    assert codes(go(path, tmp_path / "out", out_of_core=True, force=True)) == []


def test_a_full_disk_is_told_before_anything_is_written(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_weights(place / "weights")
    monkeypatch.setattr(execute.shutil, "disk_usage", lambda _: SimpleNamespace(free=100))
    outcome = go(write_plan(place), tmp_path / "out", out_of_core=True)
    assert codes(outcome) == [runs.NOT_WRITTEN.id]
    assert outcome.diagnostics[-1].facts["free"] == 100
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plans"]


def test_a_result_that_does_not_load_is_refused(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_weights(place / "weights")
    monkeypatch.setattr(reload, "answer", lambda job: Answer(error="it broke"))
    outcome = go(write_plan(place), tmp_path / "out", out_of_core=True)
    assert codes(outcome) == [defects.RELOAD_DIFFERS.id]
    assert not (tmp_path / "out").exists()


def test_parameters_are_never_built_in_memory() -> None:
    """A network of 36 GiB is built, and only what no file holds has values."""
    scope: dict[str, object] = {}
    exec(NETWORK, scope)
    with without_parameters():
        net = scope["build"](hidden=1 << 14, width=1 << 15, layers=6)  # type: ignore[operator]
    assert all(parameter.is_meta for parameter in net.parameters())
    assert net.head.weight is net.embed.weight
    assert torch.equal(net.scale, torch.linspace(1, 2, 1 << 14))
    assert not next(torch.nn.Linear(2, 2).parameters()).is_meta
