"""Networks traced with symbolic heights and widths: every relation of sizes is decided, and z3 says the same."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.zoo import vision_stub
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize, Interface
from surgery_dsl.proof.cross_check import cross_check
from surgery_dsl.proof.questions import SizeQuestion
from surgery_dsl.proof.smt import process
from surgery_dsl.proof.tiers import solver
from surgery_dsl.proof.tiers.order import decide_all_sizes
from surgery_dsl.proof.transcript import Entry, Transcript
from surgery_dsl.trace.capture import trace


class Stages(nn.Module):
    """Five residual stages of stride 2 with 1x1 shortcuts, behind a stem with a pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 7, 2, 3)
        self.main = nn.ModuleList(nn.Conv2d(4, 4, 3, 2, 1) for _ in range(5))
        self.shortcut = nn.ModuleList(nn.Conv2d(4, 4, 1, 2) for _ in range(5))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.max_pool2d(self.stem(x), 3, 2, 1)
        for main, shortcut in zip(self.main, self.shortcut, strict=True):
            x = torch.relu(main(x) + shortcut(x))
        return x.mean((2, 3))


class Pools(nn.Module):
    """Four convolutions without padding, each with a pooling: small images vanish."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3 if i == 0 else 4, 4, 3) for i in range(4))

    def forward(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = functional.max_pool2d(torch.relu(conv(x)), 2)
        return x.flatten(2).mean(2)


class Patches(nn.Module):
    """Patches of 8 as tokens, mixed, and put back into an image."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.mix = nn.Conv2d(3, 8, 8, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x)
        n, c, h, w = x.shape
        tokens = x.flatten(2).transpose(1, 2)
        x = (tokens + self.mix(tokens)).transpose(1, 2).reshape(n, c, h, w)
        return x.mean((2, 3))


class Resized(nn.Module):
    """A U-Net whose way up takes the size of what it joins: it runs at every size."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep, self.join = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.down(x)
        deep = functional.interpolate(self.deep(first), size=first.shape[2:])
        joined: Tensor = self.join(torch.cat([deep, first], 1))
        return joined


def by_timm(name: str) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        if find_spec("timm") is None:
            pytest.skip("timm is not installed")
        vision_stub.install()
        import timm

        model: nn.Module = timm.create_model(name, num_classes=4)
        return model

    return make


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "residual stages": (Stages, 1),
    "convolutions and poolings": (Pools, 46),
    "patches": (Patches, 8),
    "a resized U-Net": (Resized, 1),
    "resnet18": (by_timm("resnet18"), 1),
    "convnext_atto": (by_timm("convnext_atto"), 32),
}


def traced(make: Callable[[], nn.Module], least: int) -> Interface:
    ranges = (FreeSize(name="N"), FreeSize(name="H", least=least), FreeSize(name="W", least=least))
    return trace(make().eval(), (InputSpec(name="x", dtype="f32", dims=("N", 3, "H", "W"), free=ranges),))


@pytest.mark.parametrize("name", NETWORKS)
def test_sizes_of_networks_are_proved_for_every_image_and_cross_checked(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_of_z3: list[int] = []
    real = process.ask

    def counted(jobs: Sequence[process.Message], limits: process.Limits = process.LIMITS) -> process.Replies:
        asked_of_z3.append(len(jobs))
        return real(jobs, limits)

    monkeypatch.setattr(process, "ask", counted)
    monkeypatch.setattr(solver, "_known", {})
    interface = traced(*NETWORKS[name])
    ranges = tuple((free.name, free.least, free.most) for free in interface.free)
    questions = [SizeQuestion(r.relation, r.left, r.right, ranges) for r in interface.requirements]
    answers = decide_all_sizes(questions)
    assert {answer.status for answer in answers} <= {"proved"}
    assert sum(asked_of_z3) <= 4  # a handful, however many blocks there are
    found = cross_check(Transcript([Entry(str(q.left), q, a) for q, a in zip(questions, answers, strict=True)]))
    assert (found.gave_up, found.disagreements) == ((), ())
    assert found.agree == sum(answer.tier != "z3" for answer in answers)
