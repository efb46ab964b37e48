"""Forwards that keep things for next time, and forwards that fail on values that no trace sees."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.code import Severity
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.run.apply import apply
from surgery_dsl.run.looking import looking
from surgery_dsl.run.outcome import Outcome
from surgery_dsl.run.restore import load

KEEPING = """
from functools import lru_cache

import torch
from torch import nn


@lru_cache(maxsize=None)
def ones_for(module):
    return torch.ones_like(module.scale)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(6, 8), nn.Linear(8, 4)
        self.bias, self.scale = nn.Parameter(torch.randn(8)), nn.Parameter(torch.rand(8))
        self.kept, self.ones = {}, None

    def forward(self, x):
        if self.ones is None:  # kept in training too
            self.ones = torch.ones_like(self.scale)
        if self.training:
            bias = self.bias * 2
            self.kept.clear()
        else:
            if "bias" not in self.kept:
                self.kept["bias"] = (self.bias * 2).detach()
            bias = self.kept["bias"]
        return self.head(torch.relu(self.first(x)) * (self.scale + ones_for(self) * self.ones) + bias)


def build():
    torch.manual_seed(3)
    return Net()


def data(count=48):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(count, 6, generator=generator)
    return x, x[:, :4].argmax(1)
"""

HEAD = """\
surg 1

model net {{
  load = python("{file}:build")
  input = x("f32", [N, 6])
}}
data test {{
  load = python("{file}:data")
  batch = 16
}}
"""

STEPS = """
identify weak {
  in = linear("first")
  unit = channels
  by = activation(test)
  take = lowest(25%)
}
excise weak
"""

TWICE = """
recover healed {
  data = test
  epochs = 1
  optimizer = sgd(lr = 0.01)
  loss = cross_entropy
}
identify weaker {
  in = linear("first")
  unit = channels
  by = activation(test)
  take = lowest(50%)
}
excise weaker
control final {
  measure change(test, norm = inf) <= 1000
  measure accuracy(test) >= 0%
}
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str, str], Path]:
    """Write a network's code and a plan for it."""

    def written(file: str, code: str, steps: str) -> Path:
        (tmp_path / f"{file}.py").write_text(code)
        (tmp_path / f"{file}.surg").write_text(HEAD.format(file=file) + steps)
        return tmp_path / f"{file}.surg"

    return written


def run(plan: Path) -> Outcome:
    return apply(plan, plan.parent / "out", allow_code=(f"{plan.stem}:*",), device="cpu")


def test_what_a_forward_keeps_does_not_outlive_an_edit(write: Callable[[str, str, str], Path]) -> None:
    outcome = run(write("keeping", KEEPING, STEPS + TWICE))
    assert outcome.accepted, outcome.diagnostics
    assert outcome.output is not None
    model: Any = load(outcome.output, allow_code=("keeping:*",))
    assert model.first.out_features == 3
    assert model.bias.shape == (3,)


FAILING = """
import torch
from torch import nn


class Picky(nn.Module):
    def forward(self, h, x):
        if bool((x > 50).any()) and h.shape[1] != 8:
            raise ValueError(f"large inputs need 8 channels, not {h.shape[1]}\\nand more to say")
        return torch.relu(h)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.picky, self.head = nn.Linear(6, 8), Picky(), nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.picky(self.first(x), x))


def build():
    torch.manual_seed(3)
    return Net()


def data(count=48):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(count, 6, generator=generator)
    x[:, 0] = 100.0
    return x, x[:, 1:5].argmax(1)
"""

RECOVER = """
recover healed {
  data = test
  epochs = 1
  optimizer = sgd(lr = 0.01)
  loss = cross_entropy
}
"""
MEASURE = """
control after {
  measure accuracy(test) >= 0%
}
"""
AGAIN = """
identify weaker {
  in = linear("first")
  unit = channels
  by = activation(test)
  take = lowest(50%)
}
excise weaker
"""


@pytest.mark.parametrize(
    ("steps", "when"),
    [
        ("", "on a batch of inputs after `weak`"),
        (RECOVER, "in training step 1 of `healed`"),
        (MEASURE, "while `accuracy` was measured after `weak`"),
        (AGAIN, "while `weaker` was scored after `weak`"),
    ],
    ids=["at the end", "in training", "while measured", "while scored"],
)
def test_a_forward_that_fails_after_a_change_is_said(
    write: Callable[[str, str, str], Path], steps: str, when: str
) -> None:
    plan = write("failing", FAILING, STEPS.replace("activation(test)", "magnitude") + steps)
    outcome = run(plan)
    (found,) = (one for one in outcome.diagnostics if one.severity is Severity.ERROR)
    assert not outcome.accepted
    assert found.code.id == "SD508"
    assert found.path == "picky"
    assert found.message == (f"the network failed in `picky` {when}: ValueError: large inputs need 8 channels, not 6")
    assert found.help
    assert not (plan.parent / "out").exists()


class Remembers(nn.Module):
    """Keeps a tensor in every way, and fails where it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 3)
        self.seen: dict[str, Tensor] = {}
        self.last: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.last = self.seen["x"] = x
        out: Tensor = self.inner(x)
        return out

    def state(self) -> tuple[bool, list[str]]:
        return self.last is not None, list(self.seen)


def test_a_look_leaves_nothing_and_passes_what_is_no_fault_of_the_network() -> None:
    model = Remembers()
    with looking(model, "now", "plan.surg"):
        model(torch.ones(2, 3))
        assert model.state() == (True, ["x"])
    assert model.state() == (False, [])
    with pytest.raises(ZeroDivisionError), looking(model, "now", "plan.surg"):
        raise ZeroDivisionError
    with pytest.raises(Refused) as refused, looking(model, "now", "plan.surg"):
        model(torch.ones(2, 5))
    (found,) = refused.value.diagnostics
    assert (found.code.id, found.path) == ("SD508", "inner")
    assert model.state() == (False, [])
