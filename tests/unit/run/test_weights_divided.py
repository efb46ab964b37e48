"""Weights in several files: read as one, and refused where the index and the files disagree."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.safetensors_header import header_bytes, read_header, read_weights
from surgery_dsl.interface.staleness import weights_digest
from surgery_dsl.run import weights
from surgery_dsl.trace.capture import trace

FILES = {"model-00001-of-00002.safetensors": ("0.weight",), "model-00002-of-00002.safetensors": ("0.bias", "1.weight")}


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3, bias=False))


def divided(folder: Path) -> nn.Module:
    model = network()
    for file, names in FILES.items():
        save_file({name: model.state_dict()[name] for name in names}, folder / file)
    places = {name: file for file, names in FILES.items() for name in names}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    return model


@pytest.mark.parametrize("named", [".", "model.safetensors.index.json"])
def test_shards_load_as_one_file_does(tmp_path: Path, named: str) -> None:
    source = divided(tmp_path)
    interface = trace(network(), (InputSpec(name="x", dtype="f32", dims=("N", 5)),))
    target = network()
    with torch.no_grad():
        for parameter in target.parameters():
            parameter.zero_()
    file = weights.WeightsFile(tmp_path / named)
    facts = weights.load(target, file, interface, named)
    for name, tensor in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor)
        assert torch.equal(file.mapped(name), tensor)
    assert facts == weights.count(file, interface, named)
    lines = "".join(f"{hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()}  {name}\n" for name in FILES)
    assert facts.digest == weights_digest(tmp_path / named) == hashlib.sha256(lines.encode()).hexdigest()


@pytest.mark.parametrize(
    ("name", "place"),
    [
        pytest.param("0.bias", "model-00001-of-00002.safetensors", id="in the other file"),
        pytest.param("2.weight", "model-00002-of-00002.safetensors", id="nowhere"),
        pytest.param("0.bias", None, id="left out"),
    ],
)
def test_an_index_that_lies_is_refused(tmp_path: Path, name: str, place: str | None) -> None:
    divided(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    document = json.loads(index.read_text())
    document["weight_map"][name] = place
    if place is None:
        del document["weight_map"][name]
    index.write_text(json.dumps(document))
    with pytest.raises(Refused) as caught:
        read_weights(tmp_path)
    assert [found.code for found in caught.value.diagnostics] == [trust.WEIGHTS_MALFORMED]
    assert name in caught.value.diagnostics[0].message


def test_a_directory_of_one_file_is_that_file(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "model.safetensors")
    assert read_weights(tmp_path) == read_header(tmp_path / "model.safetensors")
    assert weights_digest(tmp_path) == weights_digest(tmp_path / "model.safetensors")


def test_a_mapped_tensor_outlives_its_release_and_never_writes_the_file(tmp_path: Path) -> None:
    save_file(network().state_dict(), tmp_path / "model.safetensors")
    before = (tmp_path / "model.safetensors").read_bytes()
    file = weights.WeightsFile(tmp_path / "model.safetensors")
    tensor = file.mapped("0.weight")
    file.release(["0.weight", "1.weight"])
    assert torch.equal(tensor, network()[0].weight)
    tensor.zero_()
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_a_header_reads_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    form = [("a", "bf16", (2, 3)), ("b", "float8_e4m3fn", (5,)), ("c", "f32", ())]
    head = header_bytes(form, {"format": "pt"})
    path.write_bytes(head + bytes(2 * 6 + 5 + 4))
    header = read_header(path)
    assert [(name, entry.dtype, entry.shape) for name, entry in header.tensors.items()] == form
    assert header.start == len(head)
    with pytest.raises(KeyError):
        header_bytes([("a", "c128", (1,))], {})
