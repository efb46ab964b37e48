from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file, save_model
from torch import nn

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Interface
from surgery_dsl.run import weights
from surgery_dsl.run.load import as_built
from surgery_dsl.trace.capture import trace


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.norm = nn.BatchNorm1d(4)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight
        self.register_buffer("scale", torch.full((4,), 3.0), persistent=False)

    def forward(self, x):
        return self.second(self.norm(self.first(x))) * self.scale


def interface() -> Interface:
    return trace(Tied(), (InputSpec(name="x", dtype="f32", dims=("N", 4)),))


def attempt(path: Path, model: nn.Module | None = None) -> tuple:
    with pytest.raises(Refused) as caught:
        weights.load(model or Tied(), weights.WeightsFile(path), interface(), path.name)
    return caught.value.diagnostics


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(2)
    model = Tied()
    found = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    del found["second.weight"]
    return found


def test_loads_what_torch_would_load(tmp_path: Path) -> None:
    torch.manual_seed(7)
    source, target = Tied(), Tied()
    save_model(source, str(tmp_path / "net.safetensors"))
    facts = weights.load(target, weights.WeightsFile(tmp_path / "net.safetensors"), interface(), "net.safetensors")
    for name, tensor in source.state_dict().items():
        assert torch.equal(target.state_dict()[name], tensor), name
    assert target.second.weight is target.first.weight
    assert facts.nonzero == {"first.weight": 16, "norm.weight": 4, "norm.bias": 0}
    assert facts == weights.count(weights.WeightsFile(tmp_path / "net.safetensors"), interface(), "net.safetensors")


def test_a_tied_tensor_may_stand_under_its_other_name(tmp_path: Path) -> None:
    found = tensors()
    found["second.weight"] = found.pop("first.weight")
    save_file(found, tmp_path / "x.safetensors")
    model = Tied()
    facts = weights.load(model, weights.WeightsFile(tmp_path / "x.safetensors"), interface(), "x.safetensors")
    assert torch.equal(model.first.weight, found["second.weight"])
    assert facts.nonzero["first.weight"] == 16


def test_each_misfit_is_its_own_diagnostic_with_both_numbers(tmp_path: Path) -> None:
    found = tensors()
    del found["norm.running_mean"]
    found["other"] = torch.zeros(2)
    found["norm.weight"] = torch.ones(5)
    found["norm.bias"] = torch.zeros(4, dtype=torch.float64)
    save_file(found, tmp_path / "x.safetensors")
    by_code = {d.code: d for d in attempt(tmp_path / "x.safetensors")}
    assert by_code[trust.TENSOR_MISSING].path == "norm.running_mean"
    assert by_code[trust.TENSOR_EXTRA].path == "other"
    assert by_code[trust.TENSOR_SHAPE].facts == {"in_file": "[5]", "in_network": "[4]"}
    assert by_code[trust.TENSOR_DTYPE].facts == {"in_file": "f64", "in_network": "f32"}
    assert len(by_code) == 4


def test_tied_tensors_stand_once(tmp_path: Path) -> None:
    found = tensors()
    found["second.weight"] = found["first.weight"].clone()
    save_file(found, tmp_path / "x.safetensors")
    assert [d.code for d in attempt(tmp_path / "x.safetensors")] == [trust.TIED_TWICE]


def test_buffers_that_are_not_saved_do_not_stand_in_the_file(tmp_path: Path) -> None:
    save_file(tensors() | {"scale": torch.ones(4)}, tmp_path / "x.safetensors")
    (found,) = attempt(tmp_path / "x.safetensors")
    assert (found.code, found.path) == (trust.TENSOR_EXTRA, "scale")


@pytest.mark.parametrize(("bad", "counts"), [(float("nan"), (1, 0)), (float("inf"), (0, 1)), (-float("inf"), (0, 1))])
def test_values_that_are_no_numbers_are_found(tmp_path: Path, bad: float, counts: tuple[int, int]) -> None:
    found = tensors()
    found["first.weight"][2, 1] = bad
    save_file(found, tmp_path / "x.safetensors")
    model = Tied()
    (said,) = attempt(tmp_path / "x.safetensors", model)
    assert said.code is trust.TENSOR_NOT_FINITE
    assert said.path == "first.weight"
    assert (said.facts["nan"], said.facts["infinite"], said.facts["elements"], said.facts["first"]) == (*counts, 16, 9)
    with pytest.raises(Refused):
        weights.count(weights.WeightsFile(tmp_path / "x.safetensors"), interface(), "x.safetensors")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_large_finite_values_are_fine(dtype: torch.dtype) -> None:
    greatest = torch.full((100,), torch.finfo(dtype).max, dtype=dtype)
    assert list(weights.not_finite("w", greatest, "x")) == []
    assert list(weights.not_finite("w", torch.zeros(0, dtype=dtype), "x")) == []
    greatest[3] = float("inf")
    assert len(list(weights.not_finite("w", greatest, "x"))) == 1


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.999])
def test_truncated_files_are_refused(tmp_path: Path, keep: float) -> None:
    save_file(tensors(), tmp_path / "x.safetensors")
    raw = (tmp_path / "x.safetensors").read_bytes()
    (tmp_path / "x.safetensors").write_bytes(raw[: int(len(raw) * keep)])
    with pytest.raises(Refused) as caught:
        weights.WeightsFile(tmp_path / "x.safetensors")
    assert caught.value.diagnostics[0].code is trust.WEIGHTS_MALFORMED


def test_a_pickle_is_read_only_by_the_function_for_it(tmp_path: Path) -> None:
    source, target = Tied(), Tied()
    torch.save(source.state_dict(), tmp_path / "net.pt")
    with pytest.raises(Refused) as caught:
        weights.WeightsFile(tmp_path / "net.pt")
    assert caught.value.diagnostics[0].code is trust.PICKLE_REFUSED
    assert weights.is_pickle(tmp_path / "net.pt")
    weights.load_pickle(target, tmp_path / "net.pt", interface(), "net.pt")
    assert torch.equal(target.first.weight, source.first.weight)


class Evil:
    def __reduce__(self):
        import os

        return (os.system, ("touch evil",))


def test_a_pickle_that_runs_code_is_refused_even_where_pickles_are_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"first.weight": Evil()}, tmp_path / "net.pt")
    with pytest.raises(Refused) as caught:
        weights.load_pickle(Tied(), tmp_path / "net.pt", interface(), "net.pt")
    assert caught.value.diagnostics[0].code is trust.WEIGHTS_MALFORMED
    assert not (tmp_path / "evil").exists()


def test_reading_again_gives_the_same_bits(tmp_path: Path) -> None:
    save_file(tensors(), tmp_path / "x.safetensors")
    file = weights.WeightsFile(tmp_path / "x.safetensors")
    for name, tensor in load_file(tmp_path / "x.safetensors").items():
        assert torch.equal(file.read(name), tensor)


def test_a_header_length_that_starts_like_a_pickle_does_not_make_one(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1)}, tmp_path / "archive.pt")
    (tmp_path / "bare.pt").write_bytes(b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00}.")
    assert weights.is_pickle(tmp_path / "archive.pt")
    assert weights.is_pickle(tmp_path / "bare.pt")
    starts = set()
    for count in range(1, 40):  # the length of the header grows by eight at a time
        path = tmp_path / "weights.safetensors"
        save_file({"x" * (8 * count): torch.zeros(1)}, path)
        starts.add(path.read_bytes()[0])
        assert not weights.is_pickle(path)
    assert 0x80 in starts


def test_weights_fit_a_network_that_the_run_turns_into_another_dtype(tmp_path: Path) -> None:
    save_model(Tied(), str(tmp_path / "tied.safetensors"))
    wide = trace(Tied().double(), (InputSpec(name="x", dtype="f64", dims=("N", 4)),))
    built = as_built(wide, Tied())
    file = weights.WeightsFile(tmp_path / "tied.safetensors")
    assert weights.count(file, built, "tied").nonzero["first.weight"] == 16
    with pytest.raises(Refused, match="SD416"):
        weights.count(file, wide, "tied")
