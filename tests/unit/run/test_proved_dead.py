"""Units that no input of a region wakes go without a trace there; units that are merely silent on data do not."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.language.read import read_plan
from surgery_dsl.run.apply import apply
from surgery_dsl.run.outcome import Outcome
from surgery_dsl.run.restore import load
from surgery_dsl.run.settings import Settings
from surgery_dsl.run.streaming.eligible import obstacles
from tests.certificates import statement_of

NETWORK = """
import torch
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self, leak=False, noted=False):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(2, 12, 3, padding=1), nn.BatchNorm1d(12)
        self.fc, self.head = nn.Linear(12 * 3, 16), nn.Linear(16, 4)
        self.leak, self.noted = leak, noted

    def forward(self, x):
        h = self.norm(self.conv(x))
        h = F.leaky_relu(h) if self.leak else F.relu(h)
        h = F.max_pool1d(h, 2).flatten(1)
        z = self.fc(h)
        if self.noted:
            return self.head(F.relu(z)) + self.head(z)
        return self.head(F.relu(z))

def build(leak=False, noted=False):
    torch.manual_seed(7)
    net = Net(leak, noted)
    with torch.no_grad():
        net.norm.running_mean.uniform_(-1, 1)
        net.norm.running_var.uniform_(0.5, 2)
        net.norm.bias.copy_(torch.linspace(-6, 1, 12)[torch.randperm(12)])
        net.fc.bias.copy_(torch.linspace(-8, 1, 16)[torch.randperm(16)])
    return net

def leaking():
    return build(leak=True)

def noted():
    return build(noted=True)

def data():
    torch.manual_seed(1)
    return torch.rand(40, 2, 6) * 0.2 + 0.4, torch.zeros(40, dtype=torch.int64)
"""

PLAN = """surg 1

model net {{
  load = python("small:{build}")
  input = x("f32", [N, 2, 6])
}}
data test {{
  load = python("small:data")
}}

identify silent {{
  in = {sites}
  unit = channels
  take = {take}
}}
{between}excise silent
control final {{
  prove {claim}
}}
"""
BOTH = '[conv1d("conv"), linear("fc")]'
ADAPTER = 'replace adapters {\n  at = linear("fc")\n  with = lora(rank = 2)\n}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.py").write_text(NETWORK)
    return tmp_path


def run(folder: Path, take: str, claim: str, build: str = "build", sites: str = BOTH, between: str = "") -> Outcome:
    text = PLAN.format(build=build, take=take, claim=claim, sites=sites, between=between)
    (folder / "plan.surg").write_text(text)
    return apply(folder / "plan.surg", folder / "out", allow_code=("small:*",), force=True)


def errors(outcome: Outcome) -> list[str]:
    return [found.code.id for found in outcome.diagnostics if found.severity == "error"]


def both(folder: Path) -> tuple[nn.Module, nn.Module]:
    space: dict[str, object] = {}
    exec(NETWORK, space)
    before = space["build"]()  # type: ignore[operator]
    after = load(folder / "out", allow_code=("small:*",))
    return before.double().eval(), after.double().eval()


def gap(nets: tuple[nn.Module, nn.Module], x: Tensor) -> float:
    with torch.no_grad():
        return float((nets[0](x) - nets[1](x)).abs().max())


def test_what_is_proved_dead_goes_exactly_on_the_region(folder: Path) -> None:
    outcome = run(folder, "proved_dead(domain(0, 1))", "exact(silent, on = domain(0, 1))")
    assert outcome.accepted, outcome.diagnostics
    nets = both(folder)
    x = torch.rand(4000, 2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    x = torch.cat([x, x.round()])
    assert nets[1].fc.out_features < 16  # type: ignore[operator, union-attr]
    assert gap(nets, x) < 1e-12
    assert gap(nets, (x - 0.5) * 60) > 1e-6  # beyond the region nothing is claimed, and it does not hold
    claims = statement_of(folder / "out")["predicate"]["claims"]
    (proved,) = [one for one in claims["proved"] if one["kind"] == "exact"]
    assert "removal of units proved dead" in proved["note"]
    assert "numbers from 0 to 1" in proved["note"]
    (shown,) = claims["bounded"]
    assert (shown["kind"], "units give 0" in shown["statement"]) == ("silence", True)
    found = [one["statement"] for one in claims["measured"] if one["kind"] == "exact"]
    assert any("checked numerically" in one for one in found)


@pytest.mark.parametrize("claim", ["exact(silent)", "exact(silent, on = domain(0, 2))"])
def test_the_claim_names_the_region_of_the_proof(folder: Path, claim: str) -> None:
    outcome = run(folder, "proved_dead(domain(0, 1))", claim)
    assert errors(outcome) == ["SD301"]
    assert "keeps the function for every input with numbers from 0 to 1 alone" in outcome.diagnostics[0].message


def test_silence_on_data_is_no_proof(folder: Path) -> None:
    outcome = run(folder, "dead(test)", "exact(silent, on = domain(0, 1))")
    assert errors(outcome) == ["SD301"]
    assert "proved_dead" in outcome.diagnostics[0].help


def test_more_units_are_silent_on_data_than_are_proved_dead(folder: Path) -> None:
    counts = []
    for take in ("dead(test)", "proved_dead(domain(0, 1))"):
        assert run(folder, take, "params <= base.params").accepted
        fc = both(folder)[1].get_submodule("fc")
        assert isinstance(fc, nn.Linear)
        counts.append(fc.out_features)
    assert counts[0] < counts[1] < 16


def test_another_function_than_relu_is_never_dead(folder: Path) -> None:
    outcome = run(folder, "proved_dead(domain(0, 1))", "params <= base.params", "leaking")
    assert errors(outcome)
    assert "leaky_relu" in outcome.diagnostics[0].message


def test_units_that_are_read_before_the_relu_do_not_go_exactly(folder: Path) -> None:
    outcome = run(folder, "proved_dead(domain(0, 1))", "exact(silent, on = domain(0, 1))", "noted", 'linear("fc")')
    assert errors(outcome) == ["SD301"]
    assert "not behind these ReLUs" in outcome.diagnostics[0].message


def test_a_step_between_proof_and_removal_ends_the_proof(folder: Path) -> None:
    outcome = run(folder, "proved_dead(domain(0, 1))", "exact(silent, on = domain(0, 1))", between=ADAPTER)
    assert errors(outcome) == ["SD301"]
    assert "has changed the network since" in outcome.diagnostics[0].message


def test_a_bound_needs_the_network_in_core(folder: Path) -> None:
    text = PLAN.format(build="build", take="proved_dead(domain(0, 1))", claim="exact(silent)", sites=BOTH, between="")
    plan, _ = read_plan(text, "plan.surg")
    assert plan is not None
    said = [found.message for found in obstacles(plan, folder, Settings())]
    assert any("bounds the whole network for `proved_dead`" in one for one in said)


def test_a_bound_that_is_too_low_is_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from surgery_dsl.evidence import silence as module

    right = module.proved_silence

    def wrong(model: nn.Module, interface: object, corners: Tensor) -> object:
        proof = right(model, interface, corners)  # type: ignore[arg-type]
        found = tuple(replace(one, dead=torch.arange(one.units) < one.units // 2) for one in proof.found)
        return replace(proof, found=found)

    monkeypatch.setattr(module, "proved_silence", wrong)
    assert errors(run(folder, "proved_dead(domain(0, 1))", "exact(silent, on = domain(0, 1))")) == ["SD909"]
