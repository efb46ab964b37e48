"""Bounds on the change of a function hold at every point that was tried, and are tight where they should be."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import nn

from surgery_dsl.evidence.bounds import lengths, splitting
from surgery_dsl.evidence.bounds.analysis import FLOAT32
from surgery_dsl.evidence.bounds.attack import attack
from surgery_dsl.evidence.bounds.change import ChangeBound, Comparison, largest_change
from surgery_dsl.evidence.bounds.graph import Unbounded
from surgery_dsl.evidence.bounds.pairing import matches
from surgery_dsl.evidence.bounds.record import record
from surgery_dsl.evidence.bounds.region import Box, Region, around
from surgery_dsl.evidence.bounds.rounding import Unsound, gamma
from surgery_dsl.evidence.bounds.splitting import split


def perceptron(activation: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 9), activation, nn.Linear(9, 7), copy.deepcopy(activation), nn.Linear(7, 3))


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 6, 6)),
        nn.Conv2d(1, 4, 3, stride=2, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2, stride=1),
        nn.Conv2d(4, 4, 2, groups=2),
        nn.SiLU(),
        nn.AvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


def shaken(model: nn.Module, size: float) -> nn.Module:
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return other


def compared(old: nn.Module, new: nn.Module, region: Region, width: int) -> Comparison:
    example = [torch.zeros(1, width)]
    first, second = record(old.eval(), example), record(new.eval(), example)
    return Comparison(first, second, matches(first, second), region)


NETWORKS = {
    "relu": (lambda: perceptron(nn.ReLU()), 6),
    "leaky_relu": (lambda: perceptron(nn.LeakyReLU(0.2)), 6),
    "gelu": (lambda: perceptron(nn.GELU()), 6),
    "gelu_tanh": (lambda: perceptron(nn.GELU(approximate="tanh")), 6),
    "silu": (lambda: perceptron(nn.SiLU()), 6),
    "tanh": (lambda: perceptron(nn.Tanh()), 6),
    "sigmoid": (lambda: perceptron(nn.Sigmoid()), 6),
    "softplus": (lambda: perceptron(nn.Softplus()), 6),
    "elu": (lambda: perceptron(nn.ELU(1.3)), 6),
    "hardswish": (lambda: perceptron(nn.Hardswish()), 6),
    "relu6": (lambda: perceptron(nn.ReLU6()), 6),
    "convolutional": (convolutional, 36),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("radius", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("size", [0.0, 0.01, 0.5])
def test_no_point_lies_beyond_a_bound(name: str, radius: float, size: float) -> None:
    torch.manual_seed(len(name))
    make, width = NETWORKS[name]
    old: nn.Module = make()  # type: ignore[no-untyped-call]
    new = shaken(old, size)
    region = around(torch.rand(3, width), radius)
    bound = largest_change(compared(old, new, region, width), 3)
    box = region.boxes[0]
    worst = torch.zeros(3, dtype=torch.float64)
    for share in torch.rand(200, 3, 1, width, dtype=torch.float64):
        points = box.low + (box.high - box.low) * (share if radius else 0)
        change = (new.double()(points.squeeze(1)) - old.double()(points.squeeze(1))).abs().amax(1)
        worst = torch.maximum(worst, change.detach())
    assert bool((bound >= worst).all())
    if radius == 0:
        assert bool((bound <= worst + 1e-7).all())
    if size == 0:
        assert bool((bound <= 1e-7).all())


def test_what_has_no_bound_is_named() -> None:
    class Gate(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * torch.sigmoid(x)

    with pytest.raises(Unbounded, match="`mul` in `1`: a product or quotient of two values"):
        record(nn.Sequential(nn.Linear(2, 2), Gate()).eval(), [torch.zeros(1, 2)])


def test_rounding_without_a_bound_is_refused() -> None:
    with pytest.raises(Unsound, match="rounding has no bound"):
        gamma(300, 2.0**-8)
    with pytest.raises(Unsound, match="not finite"):
        around(torch.tensor([[float("nan")]]), 0.1)


def test_networks_in_float32_differ_by_more() -> None:
    torch.manual_seed(0)
    old = perceptron(nn.ReLU())
    new = shaken(old, 0.01)
    region = around(torch.rand(1, 6), 0.1)
    first, second = record(old.eval(), [torch.zeros(1, 6)]), record(new.eval(), [torch.zeros(1, 6)])
    pairs = matches(first, second)
    real = largest_change(Comparison(first, second, pairs, region), 3)
    deployed = largest_change(Comparison(first, second, pairs, region, FLOAT32), 3)
    assert bool((real < deployed).all())
    assert bool((deployed < real + 1e-4).all())


def test_halving_proves_what_one_box_does_not() -> None:
    torch.manual_seed(3)
    old = perceptron(nn.ReLU())
    new = shaken(old, 0.02)
    first, second = record(old.eval(), [torch.zeros(1, 6)]), record(new.eval(), [torch.zeros(1, 6)])
    pairs = matches(first, second)
    region = around(torch.rand(1, 6), 1.0)
    one = torch.cat([torch.eye(3), -torch.eye(3)]).double()

    def bound(part: Region) -> ChangeBound:
        return Comparison(first, second, pairs, part).bound(one)

    whole = float(bound(region).bound.max())
    found = split(bound, region, 0.7 * whole, seconds=20.0)
    assert found.parts > 1
    assert found.bound <= 0.7 * whole
    volume = (found.pieces.high - found.pieces.low).flatten(1).prod(1).sum()
    box = region.boxes[0]
    assert float(volume) == pytest.approx(float((box.high - box.low).prod()))
    stopped = split(bound, region, 0.0, seconds=0.0)
    assert (stopped.parts, stopped.bound) == (1, whole)


def test_the_worst_part_is_halved_first_and_time_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(splitting.time, "monotonic", lambda: clock[0])

    def bound(part: Region) -> ChangeBound:
        clock[0] += 1
        box = part.boxes[0]
        width = (box.high - box.low).flatten(1).amax(1, keepdim=True)
        return ChangeBound(width, width, width, None)

    box = Box(torch.zeros(1, 1, 2, dtype=torch.float64), torch.tensor([[[1.0, 0.5]]], dtype=torch.float64))
    found = split(bound, Region({0: box}), 0.0, seconds=8.0, batch=2)
    assert clock[0] == found.seconds == 8  # the whole box, and seven parts halved one by one
    assert (found.parts, found.bound) == (8, 0.25)
    assert sorted(found.bounds.tolist()) == [0.25] * 8
    assert split(bound, Region({0: box}), 0.0, seconds=1e9, most=5).parts == 5


def test_an_attack_stays_below_the_bound_and_above_chance() -> None:
    torch.manual_seed(5)
    old = perceptron(nn.GELU())
    new = shaken(old, 0.1)
    first, second = record(old.eval(), [torch.zeros(1, 6)]), record(new.eval(), [torch.zeros(1, 6)])
    region = around(torch.rand(4, 6), 0.3)
    forms = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    bound = Comparison(first, second, matches(first, second), region).bound(forms).bound.amax(1)
    found = attack(first, second, region.boxes[0], forms)
    box = region.boxes[0]
    assert bool(((found.points >= box.low) & (found.points <= box.high)).all())
    changes = (new.double()(found.points.squeeze(1)) - old.double()(found.points.squeeze(1))).abs().amax(1)
    torch.testing.assert_close(changes, found.values)
    assert bool((found.values <= bound).all())
    points = box.low + (box.high - box.low) * torch.rand(50, 4, 1, 6, dtype=torch.float64)
    chance = (new(points) - old(points)).abs().amax((0, 2, 3))
    assert bool((found.values >= chance).all())


def test_coordinates_are_moved_where_the_gradient_ends() -> None:
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 6).unsqueeze(1)
    forms = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    reached = []
    for seed in range(12):
        torch.manual_seed(seed)
        old = perceptron(nn.ReLU())
        first, second = (record(model.eval(), [torch.zeros(1, 6)]) for model in (old, shaken(old, 0.5)))
        box = around(torch.full((1, 6), 0.5), 0.5, 0, 1).boxes[0]
        most = ((second.run(corners) - first.run(corners)).flatten(1) @ forms.T).max()
        plain, moved = (attack(first, second, box, forms, starts=1, steps=10, moves=moves) for moves in (0, 16))
        assert float(moved.values) >= float(plain.values)
        assert bool(((moved.points >= box.low) & (moved.points <= box.high)).all())
        reached.append([float(found.values / most) for found in (plain, moved)])
    without, after = torch.tensor(reached).T
    assert float(after.mean()) > float(without.mean()) + 0.01
    assert int((after >= 1 - 1e-6).sum()) > int((without >= 1 - 1e-6).sum())


def test_lengths_tighten_wide_boxes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three hidden layers rounded to 8 bits, over a cube: a quarter is gained, and what is attained stays below."""
    torch.manual_seed(6)
    sizes = [64, 64, 64, 32, 4]
    layers = [module for pair in pairwise(sizes) for module in (nn.Linear(*pair), nn.ReLU())]
    old = nn.Sequential(*layers[:-1])
    new = copy.deepcopy(old)
    for parameter in new.parameters():
        step = parameter.detach().abs().max() / 127
        parameter.data = (parameter / step).round() * step
    first, second = (record(model.eval(), [torch.zeros(1, 64)]) for model in (old, new))
    region = around(torch.full((1, 64), 0.5), 0.5, 0, 1)
    forms = torch.cat([torch.eye(4), -torch.eye(4)]).double()
    bound = Comparison(first, second, matches(first, second), region).bound(forms).differential.amax()
    assert float(attack(first, second, region.boxes[0], forms).values) <= float(bound)
    monkeypatch.setattr(lengths, "length", lambda *_: None)
    assert float(bound) < 0.75 * float(
        Comparison(first, second, matches(first, second), region).bound(forms).differential.amax()
    )


@pytest.mark.parametrize("shape", [(2, 7, 30), (1, 40, 5), (3, 1, 1)])
def test_spectral_norms_are_bounded_closely(shape: tuple[int, ...]) -> None:
    torch.manual_seed(7)
    sizes = 10 ** torch.randint(-20, 20, shape[:1]).double().reshape(-1, 1, 1)
    matrices = torch.randn(shape, dtype=torch.float64) * sizes
    exact = torch.linalg.matrix_norm(matrices, 2)
    share = lengths.spectral_norm(matrices, 4) / exact
    assert bool((share >= 1).all())
    assert bool((share <= min(shape[1:]) ** (1 / 32) * (1 + 1e-9)).all())
    assert not lengths.spectral_norm(torch.zeros(shape, dtype=torch.float64), 4).any()
