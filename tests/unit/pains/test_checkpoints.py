"""Checkpoints as users have them: anywhere on the disk, behind links, mapped, and changed after the lock was made."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import surgery_dsl
from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import budgets, shapes, trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.diagnostics.fix import applied
from surgery_dsl.interface.staleness import weights_digest
from surgery_dsl.language.read import read_plan
from surgery_dsl.run import reload
from surgery_dsl.run.apply import apply
from surgery_dsl.run.digests import named_tensors
from surgery_dsl.run.grants import collect
from surgery_dsl.run.load import Sources
from surgery_dsl.run.memory import in_own_memory
from surgery_dsl.run.outcome import Outcome
from surgery_dsl.run.prepare import check
from tests.unit.pains.test_saving import InProcess, cut

transformers = pytest.importorskip("transformers")

SIZES = {"vocab_size": 101, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
WIDTHS = cut('linear("model.layers.*.mlp.gate_proj")')


@pytest.fixture(autouse=True)
def _in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reload, "Reloader", InProcess)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint of a tiny Llama, not below the folder that plans stand in."""
    config = transformers.LlamaConfig(num_hidden_layers=2, num_key_value_heads=2, max_position_embeddings=64, **SIZES)
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "models" / "llama")
    return tmp_path / "models" / "llama"


def plan_in(folder: Path, load: str, steps: str = WIDTHS, target: str = "hf") -> Path:
    folder.mkdir(exist_ok=True)
    plan = folder / "plan.surg"
    plan.write_text(f"surg 1\n\nmodel net {{\n  load = {load}\n  target = {target}\n}}\n\n{steps}")
    return plan


def written(outcome: Outcome) -> Path:
    assert outcome.output is not None, [found.message for found in outcome.diagnostics]
    return outcome.output


def above(plans: Path, checkpoint: Path) -> str:
    return "../models/llama"


def absolute(plans: Path, checkpoint: Path) -> str:
    return str(checkpoint)


def linked(plans: Path, checkpoint: Path) -> str:
    (plans / "llama").symlink_to(checkpoint, target_is_directory=True)
    return "llama"


def cached(plans: Path, checkpoint: Path) -> str:
    """As a cache of the hub lays files out: names are links to blobs."""
    (plans / "blobs").mkdir()
    (plans / "snapshot").mkdir()
    for number, file in enumerate(sorted(checkpoint.iterdir())):
        file.rename(plans / "blobs" / f"{number:064}")
        (plans / "snapshot" / file.name).symlink_to(os.path.join("..", "blobs", f"{number:064}"))
    return "snapshot"


def same_folder(plans: Path, checkpoint: Path) -> str:
    for file in sorted(checkpoint.iterdir()):
        file.rename(plans / file.name)
    return "."


@pytest.mark.parametrize(
    ("where", "target"),
    [(above, "hf"), (absolute, "none"), (linked, "none"), (cached, "none"), (same_folder, "hf")],
)
def test_11_a_checkpoint_may_lie_anywhere(
    tmp_path: Path, checkpoint: Path, where: Callable[[Path, Path], str], target: str
) -> None:
    (tmp_path / "plans").mkdir()
    plan = plan_in(tmp_path / "plans", f'hf("{where(tmp_path / "plans", checkpoint)}")', target=target)
    result = written(apply(plan, tmp_path / "out", device="cpu"))
    for path in (checkpoint, plan.parent):
        path.rename(path.with_name(f"gone-{path.name}"))
    moved = result.rename(tmp_path / "moved")
    ours = surgery_dsl.load(moved)
    assert dict(named_tensors(ours))["model.layers.0.mlp.gate_proj.weight"].shape == (36, 32)
    if target == "hf":
        theirs = transformers.LlamaForCausalLM.from_pretrained(moved)
        ids = torch.arange(8).reshape(2, 4)
        assert torch.equal(theirs(ids).logits, ours(ids).logits)


def test_11_so_may_a_config(tmp_path: Path, checkpoint: Path) -> None:
    plan = plan_in(tmp_path / "plans", 'hf_config("../models/llama/config.json")')
    result = written(apply(plan, tmp_path / "out", device="cpu"))
    (checkpoint / "config.json").unlink()
    surgery_dsl.load(result)
    record = json.loads((result / "surgery.json").read_text())
    assert all((result / source["path"]).is_file() for source in record["sources"])


def test_11_no_kernel_sees_where_a_header_ends(tmp_path: Path, checkpoint: Path) -> None:
    plan, _ = read_plan(plan_in(tmp_path, f'hf("{checkpoint}")').read_text(), "plan.surg", None)
    assert plan is not None
    place = checkpoint / "model.safetensors"
    for length in range(0, 64, 8):  # headers of every length that a file may have
        save_file(load_file(place), place, {"format": "pt", "padding": " " * length})
        network = Sources(plan, tmp_path, collect(())).network(plan.patient, None)  # type: ignore[arg-type]
        assert not any(tensor.data_ptr() % 64 for _, tensor in named_tensors(network.model))


def test_11_tensors_in_their_own_memory_are_aligned_and_tied_as_before() -> None:
    storage = torch.arange(41, dtype=torch.float32)
    model = torch.nn.Sequential(torch.nn.Linear(4, 5, bias=False), torch.nn.Linear(4, 5, bias=False))
    model[0].weight = torch.nn.Parameter(storage[1:21].view(5, 4))
    model[1].weight = model[0].weight
    assert model[0].weight.data_ptr() % 64
    in_own_memory(model)
    assert model[1].weight is model[0].weight
    assert torch.equal(model[0].weight.data.flatten(), storage[1:21])
    assert not any(tensor.data_ptr() % 64 for _, tensor in named_tensors(model))


# ---- weights that do not belong to the config ----------------------------------------------------------------------


def found_by_lock(plan: Path) -> tuple[Diagnostic, ...]:
    try:
        checked = check(plan)
    except Refused as refused:
        return refused.diagnostics
    return checked.diagnostics


def test_38_a_tensor_of_another_shape_is_named_with_both_shapes(
    tmp_path: Path, checkpoint: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fields = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**fields, "intermediate_size": 64}))
    found = found_by_lock(plan_in(tmp_path / "plans", f'hf("{checkpoint}")'))
    assert {one.code for one in found} == {trust.TENSOR_SHAPE}
    assert {one.path for one in found} == {
        f"model.layers.{layer}.mlp.{name}.weight" for layer in (0, 1) for name in ("gate_proj", "up_proj", "down_proj")
    }
    assert {one.span.line for one in found if one.span} == {4}
    down = next(one for one in found if one.path == "model.layers.0.mlp.down_proj.weight")
    assert down.facts == {"in_file": "[32, 48]", "in_network": "[32, 64]"}
    assert "above report" not in str(found)
    assert "MISMATCH" not in capfd.readouterr().err


def test_36_a_lost_shard_is_named_at_the_line_that_loads_it(tmp_path: Path, checkpoint: Path) -> None:
    model = transformers.LlamaForCausalLM.from_pretrained(checkpoint)
    (checkpoint / "model.safetensors").unlink()
    model.save_pretrained(checkpoint, max_shard_size="20KB")
    shards = sorted(checkpoint.glob("model-*.safetensors"))
    plan = plan_in(tmp_path / "plans", f'hf("{checkpoint}")')
    assert not found_by_lock(plan)
    shards[2].rename(tmp_path / "aside")
    (found,) = found_by_lock(plan)
    assert (found.code, found.facts) == (trust.FILE_MISSING, {"named": len(shards), "missing": 1})
    assert found.span is not None
    assert found.span.line == 4
    assert found.help == f"copy `{shards[2].name}` there"
    (tmp_path / "aside").rename(shards[2])
    assert not found_by_lock(plan)


# ---- inputs that a network has no rows for -------------------------------------------------------------------------

GPT2 = {"vocab_size": 101, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}


@pytest.mark.parametrize(
    ("given", "code", "says", "help_"),
    [
        ("below = 256, T = 1..64", shapes.FORWARD_FAILS, "`transformer.wte.weight` has 101 rows", "below = 101"),
        ("T = 1..128", budgets.SIZES_DO_NOT_FIT, "`transformer.wpe.weight` must hold every position", "T = 1..64"),
        ("below = 101", budgets.SIZES_DO_NOT_FIT, "64 ≥ T fails at T = 65", "T = 1..64"),
    ],
)
def test_2_what_is_proved_is_not_about_inputs_that_fail(
    tmp_path: Path, given: str, code: Code, says: str, help_: str
) -> None:
    transformers.GPT2LMHeadModel(transformers.GPT2Config(bos_token_id=0, eos_token_id=0, **GPT2)).save_pretrained(
        tmp_path / "gpt2"
    )
    load = f'hf("gpt2")\n  input = input_ids("i64", [B, T], {given})'
    steps = cut('attention("**")', "heads", "lowest(4 -> 3)")
    plan = plan_in(tmp_path, load, steps, "none")
    (found,) = (one for one in found_by_lock(plan) if one.severity == "error")
    assert found.code is code
    assert says in " ".join((found.message, *found.notes))
    assert found.span is not None
    assert found.span.line == 5
    assert found.help.replace("`", "").startswith(f"write {help_}")
    wrong = given.split(", ")[0]
    plan.write_text(plan.read_text().replace(wrong, help_))
    (tmp_path / "plan.surg.lock").unlink()
    assert apply(plan, tmp_path / "out", device="cpu").accepted


# ---- fixes that can be followed ------------------------------------------------------------------------------------


def test_6_a_forward_that_asks_for_its_groups_gets_a_help_that_works(tmp_path: Path, checkpoint: Path) -> None:
    heads = cut('attention("**")', "heads", "lowest(4 -> 2)")
    plan = plan_in(tmp_path / "plans", f'hf("{checkpoint}")', heads, "none")
    found = [one for one in found_by_lock(plan) if one.severity == "error"]
    assert {one.code for one in found} == {shapes.SIZE_BRANCH}
    assert found[0].fixes
    for number, fix in enumerate(found[0].fixes):
        edited = plan.with_stem(f"edited_{number}")
        edited.write_text(applied(plan.read_text(), fix.replacements))
        assert apply(edited, tmp_path / f"out_{number}", device="cpu").accepted, fix
    plan.write_text(plan.read_text().replace("unit = heads", "unit = kv_groups").replace("4 -> 2", "2 -> 1"))
    assert apply(plan, tmp_path / "out", device="cpu").accepted


def test_12_the_width_that_was_cut_is_what_the_help_speaks_of(tmp_path: Path, checkpoint: Path) -> None:
    plan = plan_in(tmp_path / "plans", f'hf("{checkpoint}")', cut('norm("model.norm")', take="lowest(32 -> 26)"))
    (found,) = (one for one in found_by_lock(plan) if one.severity == "error")
    assert found.help.startswith("let `hidden_size` become 24 or 28, ")


def test_39_the_certificate_names_the_weights_of_a_checkpoint_that_is_converted_too(tmp_path: Path) -> None:
    sizes = {"intermediate_size": 48, "num_local_experts": 4, "max_position_embeddings": 64}
    config = transformers.MixtralConfig(num_hidden_layers=2, num_key_value_heads=2, **{**SIZES, **sizes})
    transformers.MixtralForCausalLM(config).save_pretrained(tmp_path / "moe")
    steps = cut('experts("**")', "experts", "lowest(4 -> 3)")
    outcome = apply(plan_in(tmp_path, 'hf("moe")', steps), tmp_path / "out", device="cpu")
    written(outcome)
    assert outcome.predicate is not None
    named = {given.role: given for given in outcome.predicate.inputs}
    assert (named["weights"].name, named["weights"].digest.sha256) == ("moe", weights_digest(tmp_path / "moe"))


def test_38_what_a_host_says_of_a_config_is_passed_on_whole(tmp_path: Path, checkpoint: Path) -> None:
    fields = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**fields, "num_attention_heads": 7}))
    (found,) = found_by_lock(plan_in(tmp_path / "plans", f'hf("{checkpoint}")'))
    assert found.code is trust.CONFIG_UNREADABLE
    assert "(32)" in found.message
    assert "(7)" in found.message


def test_2_tables_that_are_not_read_by_position_set_no_limit(tmp_path: Path) -> None:
    config = transformers.BertConfig(num_hidden_layers=1, max_position_embeddings=64, type_vocab_size=2, **SIZES)
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / "bert")
    steps = cut('mlp("**")')
    plan = plan_in(tmp_path, 'hf("bert")\n  input = input_ids("i64", [B, T], T = 1..64)', steps)
    assert not found_by_lock(plan)
    plan.write_text(plan.read_text().replace("1..64", "1..65"))
    (tmp_path / "plan.surg.lock").unlink()
    (found,) = (one for one in found_by_lock(plan) if one.severity == "error")
    assert found.code is budgets.SIZES_DO_NOT_FIT
    assert found.help == "write `T = 1..64` in `input`"
    assert found.span is not None
    assert "input = " in plan.read_text().splitlines()[found.span.line - 1]
