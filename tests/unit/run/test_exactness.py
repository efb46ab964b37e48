"""Steps that identities call exact are run against the network before them; one that is not is undone."""

from collections.abc import Callable
from pathlib import Path

import pytest
from torch import Tensor

from surgery_dsl.kernels import factorizations, norm_folding
from surgery_dsl.run import exactness
from surgery_dsl.run.apply import apply
from surgery_dsl.run.outcome import Outcome
from surgery_dsl.vocabulary.context import Change, Place, Runtime
from surgery_dsl.vocabulary.transforms import widen as widen_module
from surgery_dsl.vocabulary.transforms.reorder import Reorder
from tests.certificates import statement_of

NETWORK = """
import torch
from torch import nn
from torch.nn import functional as F

class Net(nn.Module):
    def __init__(self, cast=False):
        super().__init__()
        self.first, self.second, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.cast = cast

    def forward(self, x):
        h = F.relu(self.first(x))
        if self.cast:
            h = h.float().to(x.dtype)
        return self.last(F.relu(self.second(h)))

class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv1d(2, 8, 3, bias=False), nn.BatchNorm1d(8), nn.Linear(32, 3)

    def forward(self, x):
        return self.head(F.relu(self.norm(self.conv(x.view(-1, 2, 3).repeat(1, 1, 2)))).flatten(1))

def normed():
    torch.manual_seed(3)
    net = Normed()
    with torch.no_grad():
        net.norm.running_var.uniform_(0.5, 2)
        net.norm.running_mean.uniform_(-1, 1)
    return net

def build():
    torch.manual_seed(3)
    return Net()

def casting():
    torch.manual_seed(3)
    return Net(True)
"""

HEAD = """surg 1

model net {
  load = python("small:build")
  input = x("f32", [N, 6])
}
"""


def put(name: str, word: str, at: str = 'linear("second")') -> str:
    return f"replace {name} {{\n  at = {at}\n  with = {word}\n}}\n"


STEPS = {
    "Net2Wider": put("step", "widen(8 -> 13, seed = 2)"),
    "zero-initialised branch": put("step", "lora(rank = 3)"),
}
MERGED = put("adapters", "lora(rank = 3)") + put("merged", "merge()", "adapters")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "small.py").write_text(NETWORK)
    return tmp_path


def run(folder: Path, steps: str, claims: str = "", build: str = "build") -> Outcome:
    text = HEAD.replace("small:build", f"small:{build}") + steps
    (folder / "plan.surg").write_text(text + (f"control final {{\n{claims}\n}}\n" if claims else ""))
    return apply(folder / "plan.surg", folder / "out", allow_code=("small:*",), force=True)


def codes(outcome: Outcome) -> list[str]:
    return [found.code.id for found in outcome.diagnostics if found.severity == "error"]


def checked(folder: Path) -> list[dict[str, str]]:
    claims = statement_of(folder / "out")["predicate"]["claims"]
    return [one for one in claims["measured"] if one["kind"] == "exact"]


@pytest.mark.parametrize("build", ["build", "casting"])
@pytest.mark.parametrize("title", STEPS)
def test_an_exact_step_is_proved_by_its_identity_and_checked(folder: Path, title: str, build: str) -> None:
    outcome = run(folder, STEPS[title], "  prove exact(step)", build)
    assert outcome.accepted, outcome.diagnostics
    (claim,) = checked(folder)
    assert title in claim["statement"]
    assert claim["method"] == "float64"
    assert float(claim["value"].split()[0]) < 1e-5
    proved = statement_of(folder / "out")["predicate"]["claims"]["proved"]
    assert any(f"exact by `{title}`" in one["note"] for one in proved)


def test_exact_after_exact_is_exact(folder: Path) -> None:
    outcome = run(folder, MERGED + STEPS["Net2Wider"], "  prove exact(adapters, merged, step)")
    assert outcome.accepted, outcome.diagnostics
    assert [claim["step"] for claim in checked(folder)] == ["adapters", "merged", "step"]


def test_exact_then_changing_is_not(folder: Path) -> None:
    other = put("noisy", "widen(13 -> 14, noise = 0.1)")
    outcome = run(folder, STEPS["Net2Wider"] + other, "  prove exact(step, noisy)")
    assert codes(outcome) == ["SD301"]
    assert "noise on the copies" in outcome.diagnostics[0].message


def test_readers_that_do_not_share_out_are_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(widen_module, "_copies", lambda sources, unit: 1)
    outcome = run(folder, STEPS["Net2Wider"])
    assert codes(outcome) == ["SD909"]
    assert not (folder / "out").exists()


def test_a_merge_that_scales_its_layer_is_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right: Callable[..., Tensor] = factorizations.add_product

    def wrong(weight: Tensor, up: Tensor, down: Tensor, scale: float) -> Tensor:
        return right(weight * 1.001, up, down, scale)

    monkeypatch.setattr(factorizations, "add_product", wrong)
    assert codes(run(folder, MERGED)) == ["SD909"]


def test_norms_fold_and_units_move(folder: Path) -> None:
    steps = put("fold", "fold()", 'norm("norm")') + put("order", "reorder()", 'conv1d("conv")')
    outcome = run(folder, steps, "  prove exact(fold, order)", "normed")
    assert outcome.accepted, outcome.diagnostics
    titles = [claim["statement"] for claim in checked(folder)]
    assert "batch norm folding" in titles[0]
    assert "permutation" in titles[1]


def test_a_fold_without_the_mean_is_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right: Callable[..., tuple[Tensor, Tensor]] = norm_folding.fold_norm

    def wrong(weight: Tensor, bias: Tensor | None, mean: Tensor, *rest: Tensor, **more: float) -> tuple[Tensor, Tensor]:
        return right(weight, bias, mean * 0, *rest, **more)

    monkeypatch.setattr(norm_folding, "fold_norm", wrong)
    assert codes(run(folder, put("fold", "fold()", 'norm("norm")'), build="normed")) == ["SD909"]


def test_an_order_that_a_reader_misses_is_caught(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Reorder.execute

    def wrong(self: Reorder, place: Place, runtime: Runtime) -> list[Change]:
        (change,) = right(self, place, runtime)
        return [Change(tensors={name: value for name, value in change.tensors.items() if name != "head.weight"})]

    monkeypatch.setattr(Reorder, "execute", wrong)
    assert codes(run(folder, put("order", "reorder()", 'conv1d("conv")'), build="normed")) == ["SD909"]


def test_a_network_that_is_too_large_runs_in_its_own_dtype(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exactness, "MOST_BYTES", 0)
    assert run(folder, STEPS["Net2Wider"]).accepted
    assert checked(folder)[0]["method"] == "the network's own dtype"
    monkeypatch.setattr(widen_module, "_copies", lambda sources, unit: 1)
    assert codes(run(folder, STEPS["Net2Wider"])) == ["SD909"]


def test_what_is_not_exact_is_not_checked(folder: Path) -> None:
    outcome = run(folder, put("noisy", "widen(8 -> 14, noise = 0.1)"))
    assert outcome.accepted, outcome.diagnostics
    assert checked(folder) == []
