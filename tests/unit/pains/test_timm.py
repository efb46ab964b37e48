"""timm as a host: what ``timm.create_model`` can say is loaded by it; what it cannot is refused before it runs."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import surgery_dsl
from benchmarks.zoo import vision_stub
from surgery_dsl.diagnostics.codes import hosts
from surgery_dsl.run import reload
from surgery_dsl.run.apply import apply
from surgery_dsl.run.outcome import Outcome
from tests.unit.pains.test_saving import InProcess, codes, cut

pytestmark = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")

HEAD = """\
surg 1

model net {{
  load = timm({load})
  input = x("f32", [N, 3, {size}, {size}])
  target = timm
}}

"""
VIT = '"vit_tiny_patch16_224", img_size = 32, num_classes = 5, embed_dim = 24, depth = 3, num_heads = 2'
RESNET = '"resnet18", num_classes = 5, channels = [8, 8, 16, 16]'


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str, int], Outcome]:
    """Return what applies steps to a network of timm."""
    vision_stub.install()
    monkeypatch.setattr(reload, "Reloader", InProcess)

    def run(load: str, steps: str, size: int) -> Outcome:
        plan = tmp_path / "plan.surg"
        plan.write_text(HEAD.format(load=load, size=size) + steps)
        return apply(plan, tmp_path / "out", device="cpu")

    return run


def arguments(outcome: Outcome) -> dict:
    assert outcome.output is not None, [found.message for found in outcome.diagnostics]
    return json.loads((outcome.output / "config.json").read_text())["model_args"]


def loads_alike(outcome: Outcome, size: int) -> None:
    import timm

    assert outcome.output is not None
    theirs = timm.create_model(f"local-dir:{outcome.output}", pretrained=True).eval()
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(theirs(x), surgery_dsl.load(outcome.output)(x))


def test_the_width_of_mlps_is_said_by_their_ratio(go: Callable[[str, str, int], Outcome]) -> None:
    outcome = go(VIT, cut('linear("blocks.*.mlp.fc1")', take="lowest(33)"), 32)
    assert int(arguments(outcome)["mlp_ratio"] * 24) == 63
    loads_alike(outcome, 32)


def test_blocks_are_counted(go: Callable[[str, str, int], Outcome]) -> None:
    outcome = go(VIT, cut('module("blocks.*")', "modules", "only([1])"), 32)
    assert arguments(outcome)["depth"] == 2
    loads_alike(outcome, 32)


def test_one_block_of_another_width_is_refused(go: Callable[[str, str, int], Outcome]) -> None:
    outcome = go(VIT, cut('linear("blocks.1.mlp.fc1")', take="lowest(33)"), 32)
    assert codes(outcome) == [hosts.HOST_CANNOT_EXPRESS.id]
    assert (outcome.diagnostics[0].facts["found"], outcome.diagnostics[0].facts["given"]) == (63, 96)
    assert "mlp_ratio" in outcome.diagnostics[0].message


def test_stages_of_a_resnet_lose_blocks(go: Callable[[str, str, int], Outcome]) -> None:
    outcome = go(RESNET, cut('module("layer1.*")', "modules", "only([1])"), 32)
    assert arguments(outcome)["layers"][0] == 1
    loads_alike(outcome, 32)


def test_inner_channels_of_a_block_are_not_said(go: Callable[[str, str, int], Outcome]) -> None:
    outcome = go(RESNET, cut('conv2d("layer3.0.conv1")'), 32)
    assert codes(outcome) == [hosts.HOST_CANNOT_EXPRESS.id]
