"""What people report of dropped layers, growth, steps without effect and activation swaps, and what is said here."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import surgery_dsl
from surgery_dsl.run.apply import apply

NETWORK = """
import torch
from torch import nn
from torch.nn import functional as F


class Config:
    def __init__(self):
        self.num_layers = 3
        self.layer_types = ["near", "far", "near"]


class Attention(nn.Module):
    def __init__(self, config, layer_idx):
        super().__init__()
        self.config, self.layer_idx = config, layer_idx
        self.q = nn.Linear(8, 8)

    def forward(self, x):
        return self.q(x)


class Block(nn.Module):
    def __init__(self, config, number, act):
        super().__init__()
        self.attn, self.act, self.fc = Attention(config, number), act, nn.Linear(8, 8)

    def forward(self, x):
        return x + self.fc(self.act(self.attn(x)))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.config = Config()
        act = nn.SiLU()  # one object for all, as many a network has it
        self.blocks = nn.ModuleList(Block(self.config, i, act) for i in range(3))
        self.stem, self.norm, self.head = nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4)

    def forward(self, x):
        x = self.stem(x)
        caches = [None] * self.config.num_layers
        for block in self.blocks[: self.config.num_layers]:
            caches[block.attn.layer_idx] = x  # what a cache does with the number of its layer
            x = block(x)
        return self.head(F.relu(self.norm(x)))
"""

PLAN = """surg 1

model net {
  load = python("network:Net")
  input = x("f32", [N, 8])
}

"""


def run(folder: Path, steps: str) -> Any:
    """Apply a plan."""
    (folder / "network.py").write_text(NETWORK, encoding="utf-8")
    (folder / "plan.surg").write_text(PLAN + steps, encoding="utf-8")
    return apply(folder / "plan.surg", folder / "out", allow_code=["network:*"], device="cpu")


def network(folder: Path, steps: str) -> Any:
    """Apply a plan and load what it wrote."""
    outcome = run(folder, steps)
    assert outcome.accepted, [found.message for found in outcome.diagnostics]
    return surgery_dsl.load(folder / "out", allow_code=["network:*"])


def findings(folder: Path, steps: str) -> list[Any]:
    """Apply a plan that is refused; return what is said."""
    outcome = run(folder, steps)
    assert not outcome.accepted
    assert not (folder / "out").exists()
    return list(outcome.diagnostics)


DROP = """identify late {
  in = module("blocks.*")
  unit = modules
  take = only([1])
}
excise late
"""


# ---- dropped layers leave stale indices --------------------------------------------------------------------------


def test_dropped_layers_leave_no_stale_indices(tmp_path: Path) -> None:
    model = network(tmp_path, DROP)
    assert [block.attn.layer_idx for block in model.blocks] == [0, 1]
    assert (model.config.num_layers, model.config.layer_types) == (2, ["near", "near"])
    assert all(block.attn.config is model.config for block in model.blocks)
    model(torch.randn(2, 8))
    # the control: an entry that is popped as users do it leaves a number that its cache has no place for
    naive = _naive(tmp_path)
    del naive.blocks[1]
    naive.config.num_layers = 2
    with pytest.raises(IndexError):
        naive(torch.randn(2, 8))


def _naive(folder: Path) -> Any:
    scope: dict[str, Any] = {}
    exec((folder / "network.py").read_text(encoding="utf-8"), scope)
    return scope["Net"]()


def test_repeated_layers_are_numbered_too(tmp_path: Path) -> None:
    model = network(tmp_path, 'replace taller {\n  after = module("blocks.0")\n  with = repeat(times = 2)\n}\n')
    assert [block.attn.layer_idx for block in model.blocks] == [0, 1, 2, 3, 4]
    assert (model.config.num_layers, model.config.layer_types) == (5, ["near", "near", "near", "far", "near"])
    model(torch.randn(2, 8))


# ---- growth that does not preserve the function ------------------------------------------------------------------


def test_growth_that_does_not_preserve_the_function_is_not_proved(tmp_path: Path) -> None:
    step = 'replace taller {\n  after = module("blocks.0")\n  with = repeat()\n}\n'
    (found,) = findings(tmp_path, step + "control final {\n  prove exact(taller)\n}\n")
    assert "taller" in found.message


def test_widening_across_a_layer_norm_names_the_norm(tmp_path: Path) -> None:
    step = 'replace wider {\n  at = linear("stem")\n  with = widen(8 -> 10)\n}\n'
    found = findings(tmp_path, step)
    assert {one.code.id for one in found} == {"SD246"}
    assert any("norm" in one.message for one in found)


# ---- the step ran and changed nothing ----------------------------------------------------------------------------


def test_a_step_that_changes_nothing_is_refused(tmp_path: Path) -> None:
    step = 'replace same {\n  at = silu("**")\n  with = silu()\n  scope = all\n}\n'
    (found,) = findings(tmp_path, step)
    assert found.code.id == "SD306"
    assert "would change none of them" in found.message


def test_steps_run_in_the_order_of_the_plan(tmp_path: Path) -> None:
    again = 'replace again {\n  after = module("blocks.1")\n  with = repeat()\n}\n'
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    # `blocks.1` is what stands there when the step runs
    assert network(one, DROP + again).config.layer_types == ["near", "near", "near"]
    assert network(two, again + DROP).config.layer_types == ["near", "far", "near"]


# ---- activation swaps that miss ----------------------------------------------------------------------------------


def test_a_shared_activation_must_say_how_far_it_goes(tmp_path: Path) -> None:
    (found,) = findings(tmp_path, 'replace acts {\n  at = silu("blocks.0.act")\n  with = relu()\n}\n')
    assert found.code.id == "SD310"
    assert found.facts["runs"] == 3
    assert "scope = all" in found.help
    assert "scope = site" in found.help


@pytest.mark.parametrize(("scope", "changed"), [("all", [0, 1, 2]), ("site", [0])])
def test_a_swap_changes_the_sites_that_it_says(scope: str, changed: list[int], tmp_path: Path) -> None:
    step = f'replace acts {{\n  at = silu("blocks.0.act")\n  with = relu()\n  scope = {scope}\n}}\n'
    model = network(tmp_path, step)
    assert [i for i, block in enumerate(model.blocks) if isinstance(block.act, nn.ReLU)] == changed


def test_a_functional_call_is_swapped_where_it_stands(tmp_path: Path) -> None:
    model = network(tmp_path, 'replace last {\n  at = relu("/relu#0")\n  with = gelu()\n}\n')
    x = torch.randn(4, 8)
    inside = model.norm(_through(model, x))
    torch.testing.assert_close(model(x), model.head(nn.functional.gelu(inside)))


def _through(model: Any, x: torch.Tensor) -> torch.Tensor:
    x = model.stem(x)
    for block in model.blocks:
        x = block(x)
    return x
