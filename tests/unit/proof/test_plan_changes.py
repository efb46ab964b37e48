"""What a plan changes, and why: on a decoder of 32 layers, and against the network that the plan gives."""

import json
from pathlib import Path

import pytest

from surgery_dsl.proof.plan_changes import Change
from surgery_dsl.proof.preview import Preview, preview
from surgery_dsl.run.planning import plan
from tests.cli.program import EXAMPLES

CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 16,
    "intermediate_size": 28,
    "num_hidden_layers": 32,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 50,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
}
HEAD = """surg 1

model lm {
  load = hf_config("config.json")
  input = input_ids("i64", [B, T], T = 1..64)
  target = hf
}

"""


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("llama")
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder


def seen(folder: Path, body: str) -> Preview:
    """Preview a plan of the decoder; its lock is made once."""
    (folder / "plan.surg").write_text(HEAD + body)
    planned = plan(folder / "plan.surg")
    assert planned.preview is not None, planned.diagnostics
    return planned.preview


def by_path(found: Preview, kind: str) -> dict[str, Change]:
    return {change.path: change for change in found.changes.changes if change.kind == kind}


def test_repeated_blocks_are_folded_and_open_sizes_are_ranges(llama: Path) -> None:
    found = seen(
        llama,
        'identify idle {\n  in = linear("model.layers.*.mlp.up_proj")\n  expect = 32\n  unit = channels\n'
        "  by = magnitude(p = 2)\n  take = lowest(25%)\n  per = global\n  floor = 14\n}\nexcise idle\n",
    )
    tensors = by_path(found, "tensor")
    assert list(tensors) == [
        f"model.layers.{{0..31}}.mlp.{layer}_proj.weight" for layer in ("gate", "up", "down")
    ]  # nothing else
    gate, up, down = tensors.values()
    assert (up.before, up.after, up.count) == ("28 × 16", "14..28 × 16", 32)
    assert (down.before, down.after) == ("16 × 28", "16 × 14..28")
    assert [(one.why, one.step, one.line, one.dims) for one in up.reasons] == [("selected", "idle", 14, (0,))]
    assert [(one.why, one.source, one.dims) for one in gate.reasons] == [
        ("coupled", "model.layers.{0..31}.mlp.up_proj", (0,))
    ]
    assert [one.dims for one in down.reasons] == [(1,)]
    assert by_path(found, "integer")["model.layers.{0..31}.mlp.down_proj.in_features"].after == "14..28"
    assert (found.changes.tensors, found.changes.modules, found.changes.untouched) == (96, 96, 197)
    ends = "1 step, 6 obligations proved, 1 refuted, 0 undecided"  # the config has one width for all layers
    assert found.summary == f"plan: 96 tensors change in 96 modules, {ends}"


def test_ties_and_couplings_are_told_apart(llama: Path) -> None:
    found = seen(
        llama,
        'identify stream {\n  in = linear("model.layers.0.mlp.down_proj")\n  unit = channels\n'
        "  by = random(seed = 1)\n  take = lowest(16 -> 12)\n}\nexcise stream\n",
    )
    tensors = by_path(found, "tensor")
    assert [one.why for one in tensors["model.layers.0.mlp.down_proj.weight"].reasons] == ["selected"]
    assert [one.why for one in tensors["model.layers.{1..31}.mlp.down_proj.weight"].reasons] == ["coupled"]
    assert [(one.why, one.source) for one in tensors["lm_head.weight"].reasons] == [
        ("tied", "model.embed_tokens.weight")
    ]
    assert by_path(found, "field")["LlamaConfig.hidden_size"].after == "12"


def test_layers_go_and_move_up(llama: Path) -> None:
    found = seen(
        llama,
        'identify late {\n  in = module("model.layers.*")\n  unit = modules\n  take = only(20..24)\n}\nexcise late\n',
    )
    modules = by_path(found, "module")
    gone, moved = modules["model.layers.{20..24}"], modules["model.layers.{25..31}"]
    assert (gone.action, gone.count, gone.reasons[0].why, gone.reasons[0].step) == ("removed", 5, "selected", "late")
    assert (moved.action, moved.after, moved.count) == ("moved", "model.layers.{20..26}", 7)
    assert by_path(found, "tensor") == {}
    assert by_path(found, "integer")["config.num_hidden_layers"].after == "27"
    assert by_path(found, "field")["LlamaConfig.num_hidden_layers"].after == "27"
    assert found.changes.removed == 45


def test_what_is_taken_out_again_is_no_change() -> None:
    planned = plan(EXAMPLES / "llm_shrink" / "plan.surg")
    assert planned.preview is not None
    paths = " ".join(change.path for change in planned.preview.changes.changes)
    assert "lora" not in paths
    assert "adapters" not in paths
    assert planned.preview.changes.added == 0


def test_a_new_head_says_which_step_changes_the_output(tmp_path: Path) -> None:
    from tests.conformance.workbench import Workbench

    bench = Workbench(tmp_path)
    path = bench.folder / "head.surg"
    path.write_text(
        'surg 1\n\nmodel net {\n  load = python("networks:mlp")\n  input = x("f32", [N, 16])\n}\n'
        'replace wider {\n  at = linear("head")\n  with = linear(7)\n  changes = outputs\n}\n'
    )
    planned = plan(path, allow_code=["*"])
    assert planned.preview is not None, planned.diagnostics
    (output,) = [change for change in planned.preview.changes.changes if change.kind == "output"]
    assert output.after == "f32[N, 7]"
    assert [(one.why, one.step) for one in output.reasons] == [("step", "wider")]


@pytest.mark.parametrize("example", ["slim_digits", "llm_shrink", "low_rank_head", "swap_and_adapt", "resnet_slim"])
def test_sizes_after_are_those_of_the_predicted_network(example: str) -> None:
    """An independent count: what is told per tensor adds up to the prediction's own parameters."""
    planned = plan(EXAMPLES / example / "plan.surg")
    checked = planned.checked
    assert checked.plan is not None
    assert checked.report is not None
    assert checked.lock is not None
    assert planned.preview == preview(checked.plan, checked.report, checked.lock)
    base, end = checked.report.start.base, checked.report.end.interface
    shapes = {one.name: tuple(base.exact(dim) for dim in one.dims) for one in base.tensors}
    after = {one.name: tuple(end.exact(dim) for dim in one.dims) for one in end.tensors}
    moves = {
        change.before: change.after
        for change in planned.preview.changes.changes
        if change.kind == "module" and change.action == "moved"
    }
    resized = sum(
        shapes[name] != after[now]
        for name in shapes
        if (now := next((name.replace(f"{a}.", f"{b}.") for a, b in moves.items() if name.startswith(f"{a}.")), name))
        in after
        and not (now == name and any(name.startswith(f"{b}.") for b in moves.values()))
    )
    assert planned.preview.changes.tensors == resized


def test_layers_that_a_ranking_drops_are_not_named_as_if_they_were_known(llama: Path) -> None:
    body = (
        'identify late {\n  in = module("model.layers.*")\n  unit = modules\n  by = random(seed = 1)\n'
        "  take = lowest(4)\n}\nexcise late\n"
    )
    found = seen(llama, body)
    gone = by_path(found, "module")["model.layers.{28..31}"]
    assert gone.reasons[0].source == "4 of 32 go, by rank; the last ones stand for them here"
    (written,) = found.changes.written
    assert (written.count, written.reason) == (
        168 + 84,
        "which entries go is open, so any may come to hold what another held",
    )


def test_layers_that_come_again_are_added(llama: Path) -> None:
    body = 'replace deeper {\n  after = module("model.layers.{0,1}")\n  with = repeat(times = 1)\n}\n'
    found = seen(llama, body)
    modules = by_path(found, "module")
    assert {change.action for change in modules.values()} == {"added", "moved"}
    assert by_path(found, "integer")["config.num_hidden_layers"].after == "34"
    assert found.changes.added == 18
