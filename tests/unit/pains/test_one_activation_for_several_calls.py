"""Residual blocks that call one activation object several times: what a plan can say of each call, from end to end."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import surgery_dsl
from benchmarks.zoo import vision_stub
from surgery_dsl.cli.proof_text import proof_text
from surgery_dsl.run.apply import apply
from surgery_dsl.run.prepare import check
from surgery_dsl.vocabulary.sites.relu import Relu
from surgery_dsl.vocabulary.transforms.gelu import Gelu
from tests.unit.transforms.bench import Bench, spec

NETWORK = """
import torch
from torch import nn


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv1, self.bn1, self.relu = nn.Conv2d(1, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(BasicBlock(8, 8, 1), BasicBlock(8, 8, 1))
        self.layer2 = nn.Sequential(BasicBlock(8, 16, 2), BasicBlock(16, 16, 1))
        self.fc = nn.Linear(16, 4)

    def forward(self, x):
        x = self.layer2(self.layer1(self.relu(self.bn1(self.conv1(x)))))
        return self.fc(x.mean((2, 3)))
"""

PLAN = """surg 1

model net {
  load = python("network:ResNet")
  input = x("f32", [N, 1, 8, 8])
}

"""

X = torch.linspace(-2, 2, 192).reshape(3, 1, 8, 8)


def plan(folder: Path, steps: str) -> Path:
    (folder / "network.py").write_text(NETWORK, encoding="utf-8")
    path = folder / "plan.surg"
    path.write_text(PLAN + steps, encoding="utf-8")
    return path


def swap(sites: str, scope: str = "scope = site", name: str = "acts", word: str = "gelu()") -> str:
    return f"replace {name} {{\n  at = {sites}\n  with = {word}\n  {scope}\n}}\n"


def result(folder: Path, steps: str) -> Any:
    """Apply a plan and load what it wrote."""
    outcome = apply(plan(folder, steps), folder / "out", allow_code=["network:*"], device="cpu")
    assert outcome.accepted, [found.message for found in outcome.diagnostics]
    return surgery_dsl.load(folder / "out", allow_code=["network:*"])


def original(folder: Path) -> Any:
    scope: dict[str, Any] = {}
    exec((folder / "network.py").read_text(encoding="utf-8"), scope)
    return scope["ResNet"]().eval()


def through(block: Any, x: torch.Tensor, first: Any, second: Any) -> torch.Tensor:
    """Run a block as its code would read after an edit by hand."""
    identity = x if block.downsample is None else block.downsample(x)
    out = first(block.bn1(block.conv1(x)))
    return second(block.bn2(block.conv2(out)) + identity)


@pytest.mark.parametrize(("number", "acts"), [(0, (F.gelu, F.relu)), (1, (F.relu, F.gelu))])
def test_a_step_says_which_call(number: int, acts: Any, tmp_path: Path) -> None:
    model = result(tmp_path, swap(f'relu("layer*.*.relu#{number}")'))
    net = original(tmp_path)
    x = F.relu(net.bn1(net.conv1(X)))
    for block in (*net.layer1, *net.layer2):
        x = through(block, x, *acts)
    assert torch.equal(model(X), net.fc(x.mean((2, 3))))
    assert model.state_dict().keys() == net.state_dict().keys()


def test_two_steps_give_each_call_a_function_of_its_own(tmp_path: Path) -> None:
    steps = swap('relu("layer1.0.relu#1")') + swap('relu("layer1.0.relu")', "", "others", "silu()")
    model = result(tmp_path, steps)
    net = original(tmp_path)
    x = F.relu(net.bn1(net.conv1(X)))
    x = through(net.layer1[0], x, F.silu, F.gelu)
    x = net.layer2(net.layer1[1](x))
    assert torch.equal(model(X), net.fc(x.mean((2, 3))))


def test_without_scope_the_calls_are_listed(tmp_path: Path) -> None:
    (found,) = check(plan(tmp_path, swap('relu("layer1.0.relu")', "")), allow_code=("network:*",)).diagnostics
    assert found.code.id == "SD310"
    assert found.facts["runs"] == 2
    assert found.notes == ("it runs as `layer1.0.relu#0`, `layer1.0.relu#1`",)
    assert found.help == (
        "write `scope = all` to change every run of it, or `scope = site` and the calls that are meant, as in "
        '`relu("layer1.0.relu#0")`'
    )
    # both ways out that it names are ways out
    for sites, scope in (("layer1.0.relu", "all"), ("layer1.0.relu#0", "site")):
        text = swap(f'relu("{sites}")', f"scope = {scope}")
        assert not check(plan(tmp_path, text), allow_code=("network:*",)).diagnostics


def test_check_names_the_calls(tmp_path: Path) -> None:
    checked = check(plan(tmp_path, swap('relu("layer1.*.relu#1")')), allow_code=("network:*",))
    assert "    calls: layer1.0.relu#1, layer1.1.relu#1\n" in proof_text(checked)
    checked = check(plan(tmp_path, swap('relu("layer1.0.relu#1")', "scope = all")), allow_code=("network:*",))
    assert "    calls: layer1.0.relu#0, layer1.0.relu#1\n" in proof_text(checked)


def test_a_call_that_no_number_names_is_an_error_with_the_numbers_that_do(tmp_path: Path) -> None:
    (found,) = check(plan(tmp_path, swap('relu("layer1.0.relu#2")')), allow_code=("network:*",)).diagnostics
    assert found.code.id == "SD120"
    assert "`layer1.0.relu#0`" in " ".join(found.notes)


def test_training_keeps_the_calls_where_they_are(tmp_path: Path) -> None:
    model = result(tmp_path, swap('relu("layer2.1.relu#0")'))
    net = original(tmp_path)
    for one in (model, net):
        one.train()
    x = F.relu(net.bn1(net.conv1(X)))
    x = net.layer2[0](net.layer1(x))
    expected = net.fc(through(net.layer2[1], x, F.gelu, F.relu).mean((2, 3)))
    assert torch.equal(model(X), expected)
    model(X).sum().backward()
    expected.sum().backward()
    theirs = dict(net.named_parameters())
    assert all(torch.equal(p.grad, theirs[name].grad) for name, p in model.named_parameters())


def test_the_activation_of_a_call_is_pruned_as_others_are(tmp_path: Path) -> None:
    steps = (
        swap('relu("layer1.0.relu#0")')
        + 'identify weak {\n  in = conv2d("layer1.0.conv1")\n  unit = channels\n  by = magnitude(p = 1)\n'
        + "  take = lowest(25%)\n}\nexcise weak { mode = remove }\n"
    )
    model = result(tmp_path, steps)
    block = model.layer1[0]
    assert block.conv1.out_channels == 6
    x = F.relu(model.bn1(model.conv1(X)))
    torch.testing.assert_close(block(x), through(block, x, F.gelu, F.relu))


@pytest.fixture
def timm() -> Iterator[Any]:
    """Return timm, which does not import without torchvision; others must not find the stand-in for it."""
    before = set(sys.modules)
    vision_stub.install()
    yield pytest.importorskip("timm")
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("torchvision", "PIL"):
            del sys.modules[name]


@pytest.mark.parametrize(("number", "name"), [(0, "act1"), (1, "act2")])
def test_timm_resnets_with_one_activation_object_a_block(number: int, name: str, timm: Any) -> None:
    def network() -> Any:
        torch.manual_seed(0)
        net = timm.create_model("resnet18", num_classes=3, pretrained=False).eval()
        for block in (block for stage in (net.layer1, net.layer2, net.layer3, net.layer4) for block in stage):
            block.act2 = block.act1
        return net

    on, wanted = Bench(network(), spec("N", 3, 32, 32)), network()
    outcome = on.step(Gelu(), "at", Relu(pattern=f"layer2.*.act1#{number}"), name="swap", scope="site")
    assert (outcome.found, outcome.differences) == ((), ())
    for block in wanted.layer2:
        setattr(block, name, nn.GELU())
    x = torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)
    assert torch.equal(on.model(x), wanted(x))
    assert torch.equal(on.replayed(network)(x), wanted(x))
