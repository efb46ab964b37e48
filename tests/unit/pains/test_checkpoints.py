"""Checkpoints as users have them: anywhere on the disk, behind links, mapped, and changed after the lock was made."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import surgery_dsl
from surgery_dsl.language.read import read_plan
from surgery_dsl.run import reload
from surgery_dsl.run.apply import apply
from surgery_dsl.run.digests import named_tensors
from surgery_dsl.run.grants import collect
from surgery_dsl.run.load import Sources
from surgery_dsl.run.memory import in_own_memory
from surgery_dsl.run.outcome import Outcome
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
