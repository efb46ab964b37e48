import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

NETWORK = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width=12, classes=4):
        super().__init__()
        self.first = nn.Linear(6, width)
        self.norm = nn.BatchNorm1d(width)
        self.act = nn.ReLU()
        self.second = nn.Linear(width, width)
        self.act2 = nn.ReLU()
        self.head = nn.Linear(width, classes)
        self.register_buffer("scale", torch.full((classes,), 2.0), persistent=False)

    def forward(self, x):
        h = self.act(self.norm(self.first(x)))
        h = self.act2(self.second(h))
        return self.head(h) * self.scale


def build(width=12, classes=4):
    return Net(width, classes)


def data(count=96, classes=4):
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(count, 6, generator=generator)
    return x, (x[:, :classes].argmax(1))


def not_a_network():
    return 3


def broken():
    return helper()


def helper():
    raise ValueError("the user's own mistake")
"""

PLAN = """\
surg 1

model net {
  load = python("network:build")
  weights = "net.safetensors"
  input = x("f32", [N, 6])
}
data train {
  load = python("network:data")
  batch = 32
}
data test {
  load = python("network:data", count = 48)
}
"""


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A plan's folder: a module with a network and data, and trained-looking weights."""
    from safetensors.torch import save_file

    place = tmp_path / "plans"
    place.mkdir()
    (place / "network.py").write_text(NETWORK)
    generator = torch.Generator().manual_seed(1)
    scope: dict[str, object] = {}
    exec(NETWORK, scope)
    net: nn.Module = scope["build"]()  # type: ignore[operator]
    for name, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.4)
        if name.endswith("running_var"):
            tensor.abs_().add_(0.5)
    save_file(net.state_dict(), place / "net.safetensors")
    return place


@pytest.fixture
def plan(folder: Path) -> Callable[[str], Path]:
    """Write a plan: the models and data of this folder, and the given steps."""

    def write(steps: str, name: str = "plan.surg", head: str = PLAN) -> Path:
        path = folder / name
        path.write_text(head + textwrap.dedent(steps))
        return path

    return write
