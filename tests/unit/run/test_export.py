"""Exported programs: both formats, several inputs, free sizes, ties; and nothing is left where they differ."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import surgery_dsl
from surgery_dsl.certificate.verify import verify
from surgery_dsl.diagnostics.codes import hosts
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.run import export as exporter
from surgery_dsl.run.apply import apply
from surgery_dsl.run.export import Exported, export
from tests.cli.program import run

NETWORK = """
import torch
from torch import nn


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(11, 8)
        self.mid = nn.Linear(8, 12)
        self.act = nn.GELU()
        self.back = nn.Linear(12, 8)
        self.out = nn.Linear(8, 11, bias=False)
        self.out.weight = self.words.weight
        self.register_buffer("scale", torch.linspace(1, 2, 11), persistent=False)

    def forward(self, ids, weight):
        h = self.back(self.act(self.mid(self.words(ids))))
        return {"scores": self.out(h) * self.scale, "mean": (h * weight.unsqueeze(-1)).mean(1)}


class Convolutions(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
            nn.Linear(8, 4),
        )


class Counting(nn.Module):
    \"\"\"It does something else where a batch is not of three.\"\"\"

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 6)
        self.second = nn.Linear(6, 2)

    def forward(self, x):
        return self.second(torch.tanh(self.first(x)))


def two():
    return Two()


def convolutions():
    return Convolutions()


def counting():
    return Counting()
"""

PLAN = """\
surg 1

model net {{
  load = python("nets:{name}")
  input = {input}
}}

identify weak {{
  in = {site}
  unit = channels
  take = only([1, 4])
}}
excise weak {{ mode = remove }}
"""

PLANS = {
    "two": ('[ids("i64", [B, T], T = 1..16), weight("f32", [B, T])]', 'linear("mid")'),
    "convolutions": ('x("f32", [N, 3, H, W])', 'conv2d("0")'),
    "multiples": ('x("f32", [N, 3, 8 * H, 4 * W + 4])', 'conv2d("0")'),
    "counting": ('x("f32", [N, 4])', 'linear("first")'),
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the result of a plan, applied once."""
    folder = tmp_path_factory.mktemp("export")
    (folder / "nets.py").write_text(NETWORK)

    def result(name: str) -> Path:
        out = folder / f"{name}_out"
        if not out.exists():
            network_input, site = PLANS[name]
            network = "convolutions" if name == "multiples" else name
            (folder / f"{name}.surg").write_text(PLAN.format(name=network, input=network_input, site=site))
            outcome = apply(folder / f"{name}.surg", out, allow_code=["nets:*"], device="cpu")
            assert outcome.output, [d.message for d in outcome.diagnostics]
        return out

    return result


def to(result: Path, file: Path, form: str) -> Exported:
    if form == "onnx":
        for package in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(package)
    return export(result, file, format=form, allow_code=["nets:*"])  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["torch", "onnx"])
@pytest.mark.parametrize("name", ["two", "convolutions", "multiples"])
def test_a_program_computes_what_the_network_computes(
    results: Callable[[str], Path], tmp_path: Path, name: str, form: str
) -> None:
    result = results(name)
    exported = to(result, tmp_path / "program", form)
    assert exported.path.is_file()
    assert exported.difference <= 1e-5
    assert len(exported.sizes) == 2
    assert exported.outputs > 0
    assert verify(result).held


def test_a_torch_program_runs_at_other_sizes(results: Callable[[str], Path], tmp_path: Path) -> None:
    result = results("two")
    exported = to(result, tmp_path / "two.pt2", "torch")
    program = torch.export.load(exported.path).module()
    model = surgery_dsl.load(result, ["nets:*"])
    ids, weight = torch.randint(0, 11, (4, 9)), torch.randn(4, 9)
    scores, mean = program(ids, weight)
    wanted = model(ids, weight)
    assert torch.equal(scores, wanted["scores"])
    assert torch.equal(mean, wanted["mean"])


def test_an_onnx_program_has_the_plans_names_and_free_sizes(results: Callable[[str], Path], tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    exported = to(results("two"), tmp_path / "two.onnx", "onnx")
    graph = onnx.load(exported.path).graph
    assert [value.name for value in graph.input] == ["ids", "weight"]
    assert [dim.dim_param for dim in graph.input[0].type.tensor_type.shape.dim] == ["B", "T"]
    assert len(graph.output) == 2


@pytest.mark.parametrize("form", ["torch", "onnx"])
def test_a_program_that_differs_is_not_kept(
    results: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    result = results("counting")
    genuine = exporter.all_outputs
    monkeypatch.setattr(exporter, "all_outputs", lambda value: [t + 0.01 for t in genuine(value)])
    original = exporter._Program.forward
    monkeypatch.setattr(
        exporter._Program, "forward", lambda self, *inputs: tuple(t * 1.5 for t in original(self, *inputs))
    )
    with pytest.raises(Refused) as caught:
        to(result, tmp_path / "bad.program", form)
    assert caught.value.diagnostics[0].code is hosts.EXPORT_DIFFERS
    assert caught.value.diagnostics[0].facts["difference"] > caught.value.diagnostics[0].facts["limit"]
    assert list(tmp_path.iterdir()) == []


def test_a_forward_that_cannot_be_followed_is_said(
    results: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = results("counting")
    original = exporter._Program.forward

    def looks(self: exporter._Program, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return original(self, *inputs) if float(inputs[0].sum()) < 1e9 else inputs

    monkeypatch.setattr(exporter._Program, "forward", looks)
    with pytest.raises(Refused) as caught:
        to(result, tmp_path / "bad.pt2", "torch")
    assert caught.value.diagnostics[0].code is hosts.NOT_EXPORTED
    assert list(tmp_path.iterdir()) == []


def test_places_that_cannot_take_it(results: Callable[[str], Path], tmp_path: Path) -> None:
    result = results("counting")
    (tmp_path / "taken.pt2").write_text("mine")
    for place in (result / "net.pt2", tmp_path, tmp_path / "taken.pt2"):
        with pytest.raises(Refused) as caught:
            export(result, place, allow_code=["nets:*"])
        assert caught.value.diagnostics[0].code is hosts.EXPORT_PLACE
    assert (tmp_path / "taken.pt2").read_text() == "mine"
    assert export(result, tmp_path / "taken.pt2", allow_code=["nets:*"], force=True).difference == 0


def test_a_missing_package_is_named_with_the_line_that_installs_it(
    results: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    monkeypatch.setitem(sys.modules, "onnx", type(sys)("onnx"))
    with pytest.raises(Refused) as caught:
        export(results("counting"), tmp_path / "n.onnx", format="onnx", allow_code=["nets:*"])
    found = caught.value.diagnostics[0]
    assert found.code is hosts.PACKAGE_MISSING
    assert "pip install" in found.help
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_how_near_it_comes(
    results: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = results("counting")
    ran = run(tmp_path, "export", result, "-o", "net.pt2", "--allow-code", "nets:*")
    assert (ran.code, ran.err) == (0, "")
    assert "largest difference 0 of 16 outputs at N = 3; N = 5" in ran.out
    assert (tmp_path / "net.pt2").is_file()
    ran = run(tmp_path, "export", result, "-o", "net.pt2", "--allow-code", "nets:*", "--output-format", "json")
    assert ran.code == 1
    assert ran.codes == [hosts.EXPORT_PLACE.id]
    ran = run(tmp_path, "export", result, "--output-format", "json")  # its code is not granted
    assert ran.code == 1
    assert ran.document["exported"] is None
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt2"]
