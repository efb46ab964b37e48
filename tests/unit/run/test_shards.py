"""Weights in one file or several: written, indexed, read back by us and by others, refused where they were changed."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

import surgery_dsl
from surgery_dsl.certificate.verify import verify
from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.safetensors_header import read_header
from surgery_dsl.interface.shards import INDEX, divide, read_index
from surgery_dsl.run.apply import apply
from surgery_dsl.run.weights_writer import DTYPES, write_tensors
from tests.unit.run.test_restore import NETWORK, PLAN


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(1, 60))
def test_shards_hold_everything_once_in_order_and_little_enough(sizes: list[int], most: int) -> None:
    named = {str(number): size for number, size in enumerate(sizes)}
    shards = divide(named, most)
    assert [name for shard in shards for name in shard] == list(named)
    for shard in shards:
        assert sum(named[name] for name in shard) <= most or sum(named[name] > 0 for name in shard) == 1
    for left, right in pairwise(shards):
        assert sum(named[name] for name in (*left, right[0])) > most


def test_every_dtype_is_read_back_by_safetensors(tmp_path: Path) -> None:
    tensors = {}
    for number, dtype in enumerate(DTYPES):
        raw = torch.arange(48, dtype=torch.uint8).remainder(2 if dtype is torch.bool else 120)
        tensors[f"t{number}"] = raw.view(dtype).reshape(2, -1) if dtype is not torch.bool else raw.bool()
    tensors["scalar"] = torch.tensor(3.5)
    tensors["empty"] = torch.empty(0, 4)
    tensors["cut"] = torch.arange(12.0).reshape(3, 4).t()
    write_tensors(tensors, tmp_path / "all.safetensors", {"format": "pt"})
    found = load_file(tmp_path / "all.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert found[name].contiguous().reshape(-1).view(torch.uint8).tolist() == (
            tensor.contiguous().reshape(-1).view(torch.uint8).tolist()
        )
    for name, entry in read_header(tmp_path / "all.safetensors").tensors.items():
        assert entry.first % tensors[name].element_size() == 0


def test_a_tensor_without_values_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no values"):
        write_tensors({"a": torch.empty(2, device="meta")}, tmp_path / "a.safetensors", {})


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result whose weights stand in several files; the clean process has loaded it."""
    folder = tmp_path_factory.mktemp("shards")
    (folder / "odd.py").write_text(NETWORK)
    (folder / "plan.surg").write_text(PLAN)
    outcome = apply(folder / "plan.surg", folder / "out", allow_code=["odd:*"], device="cpu", shard_size=300)
    assert outcome.output, [d.message for d in outcome.diagnostics]
    return folder / "out"


def copy(result: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(result, tmp_path / "out"))


def test_the_index_names_every_tensor_and_its_file(result: Path) -> None:
    shards = sorted(path.name for path in result.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert shards[0] == f"model-00001-of-{len(shards):05}.safetensors"
    assert not (result / "model.safetensors").exists()
    index = json.loads((result / INDEX).read_text())
    held = {name: path for path in shards for name in load_file(result / path)}
    assert index["weight_map"] == held
    assert index["metadata"]["total_size"] == sum(
        t.numel() * t.element_size() for path in shards for t in load_file(result / path).values()
    )
    assert "shift" in held
    assert ("stem.weight" in held) != ("out.weight" in held)


def test_it_loads_with_its_ties_and_verifies(result: Path) -> None:
    model = surgery_dsl.load(result, ["odd:build"])
    assert model.out.weight is model.stem.weight
    assert torch.equal(model.shift, torch.linspace(0, 1, 6))
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))
    assert verify(result).held


def test_the_same_numbers_stand_in_one_file(result: Path, tmp_path: Path) -> None:
    outcome = apply(result.parent / "plan.surg", tmp_path / "one", allow_code=["odd:*"], device="cpu")
    assert outcome.output
    whole = load_file(tmp_path / "one" / "model.safetensors")
    parts = {n: t for path in result.glob("model-*.safetensors") for n, t in load_file(path).items()}
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_changed_or_missing_shard_is_refused(result: Path, tmp_path: Path) -> None:
    out = copy(result, tmp_path)
    shard = sorted(out.glob("model-*.safetensors"))[1]
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(bytes(data))
    assert refused(out) == [trust.RESULT_CHANGED]
    assert not verify(out).held
    shard.unlink()
    assert refused(out) == [trust.FILE_MISSING]


def test_an_index_that_leads_elsewhere_is_refused(result: Path, tmp_path: Path) -> None:
    out = copy(result, tmp_path)
    index = json.loads((out / INDEX).read_text())
    index["weight_map"]["shift"] = "../other.safetensors"
    (out / INDEX).write_text(json.dumps(index))
    assert refused(out) == [trust.WEIGHTS_MALFORMED]
    for text in ("[1]", "{", '{"weight_map": {}}', '{"weight_map": {"a": 3}}'):
        (out / INDEX).write_text(text)
        with pytest.raises(Refused):
            read_index(out / INDEX)
    (out / INDEX).unlink()
    assert refused(out)


def test_force_replaces_a_divided_result(result: Path, tmp_path: Path) -> None:
    out = copy(result, tmp_path)
    outcome = apply(result.parent / "plan.surg", out, allow_code=["odd:*"], device="cpu", force=True)
    assert outcome.output, [d.message for d in outcome.diagnostics]
    assert (out / "model.safetensors").exists()
    assert not list(out.glob("model-*"))


def refused(path: Path) -> list:
    with pytest.raises(Refused) as caught:
        surgery_dsl.load(path, ["odd:*"])
    return [d.code for d in caught.value.diagnostics]
