"""Bounds against arithmetic that does not round, against float32 in any order, and against a change that hides."""

import copy
from collections.abc import Callable
from fractions import Fraction

import mpmath  # type: ignore[import-untyped]
import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.evidence.bounds import difference, scalar
from surgery_dsl.evidence.bounds.analysis import FLOAT32, REAL
from surgery_dsl.evidence.bounds.change import ChangeBound, Comparison
from surgery_dsl.evidence.bounds.pairing import matches
from surgery_dsl.evidence.bounds.record import record
from surgery_dsl.evidence.bounds.region import Box, Region, around
from surgery_dsl.evidence.bounds.scalar import Scalar
from surgery_dsl.evidence.bounds.splitting import split
from tests.unit.evidence.bound_fuzz import inside, intervals, perceptron, scalar_of, shaken

mp = mpmath.mp.clone()
mp.dps = 60
Exact = Callable[[mpmath.mpf], mpmath.mpf]


def _gelu_tanh(z: mpmath.mpf) -> mpmath.mpf:
    return z / 2 * (1 + mp.tanh(mp.sqrt(2 / mp.pi) * (z + mp.mpf(0.044715) * z**3)))


EXACT: dict[str, Exact] = {
    "relu": lambda z: max(z, mp.mpf(0)),
    "leaky_relu": lambda z: max(z, mp.mpf(0)) + mp.mpf(0.2) * min(z, mp.mpf(0)),
    "hardswish": lambda z: z * min(max(z + 3, mp.mpf(0)), mp.mpf(6)) / 6,
    "elu": lambda z: z if z > 0 else mp.mpf(1.6) * mp.expm1(z),
    "celu": lambda z: z if z > 0 else mp.mpf(0.3) * mp.expm1(z / mp.mpf(0.3)),
    "tanh": mp.tanh,
    "sigmoid": lambda z: 1 / (1 + mp.exp(-z)),
    "softplus": lambda z: mp.log1p(mp.exp(2 * z)) / 2,
    "silu": lambda z: z / (1 + mp.exp(-z)),
    "gelu": lambda z: z * mp.erfc(-z / mp.sqrt(2)) / 2,
    "gelu_tanh": _gelu_tanh,
}


def _held(function: Scalar, exact: Exact, seed: int, count: int = 60) -> None:
    generator = torch.Generator().manual_seed(seed)
    low, high = intervals(count, generator, function.breaks)
    low, high = low.clamp(-40, 40), high.clamp(-40, 40)
    points = inside(low, high, 4, generator)
    lines, ends = scalar.lines(function, low, high), scalar.span(function, low, high)
    for at in range(count):
        for number in points[:, at].tolist():
            z = mp.mpf(number)
            value = exact(z)
            assert mp.mpf(float(lines.low_slope[at])) * z + mp.mpf(float(lines.low[at])) <= value
            assert mp.mpf(float(lines.high_slope[at])) * z + mp.mpf(float(lines.high[at])) >= value
            assert mp.mpf(float(ends[0][at])) <= value <= mp.mpf(float(ends[1][at]))


@pytest.mark.parametrize("name", EXACT)
def test_lines_hold_to_sixty_digits(name: str) -> None:
    _held(scalar_of(name), EXACT[name], len(name))


@pytest.mark.parametrize(
    ("new", "old"), [("silu", "relu"), ("gelu", "gelu_tanh"), ("gelu", "relu"), ("softplus", "relu"), ("elu", "relu")]
)
def test_lines_of_a_difference_hold_to_sixty_digits(new: str, old: str) -> None:
    both = scalar.difference(scalar_of(new), scalar_of(old))
    _held(both, lambda z: EXACT[new](z) - EXACT[old](z), 3)
    low, high = torch.tensor([29.0, 35.0, 4.0]).double(), torch.tensor([31.0, 35.0, 4.0]).double()
    lines = scalar.lines(both, low, high)
    for at, number in ((0, 29.5), (0, 31.0), (1, 35.0), (2, 4.0)):
        z = mp.mpf(number)
        value = EXACT[new](z) - EXACT[old](z)
        assert mp.mpf(float(lines.low_slope[at])) * z + mp.mpf(float(lines.low[at])) <= value
        assert mp.mpf(float(lines.high_slope[at])) * z + mp.mpf(float(lines.high[at])) >= value


@pytest.mark.parametrize("name", EXACT)
def test_planes_hold_to_sixty_digits(name: str) -> None:
    generator = torch.Generator().manual_seed(len(name))
    function, count = scalar_of(name), 40
    before = tuple(end.clamp(-30, 30) for end in intervals(count, generator, function.breaks))
    size = 10 ** (torch.rand(count, generator=generator, dtype=torch.float64) * 8 - 8)
    delta = (-0.3 * size, size)
    room = 1e-12 + 1e-12 * before[0].abs().maximum(before[1].abs())
    after = (before[0] + delta[0] - room, before[1] + delta[1] + room)
    planes = difference.planes(function, function, (before[0], before[1]), after, delta)
    z, moved = inside(before[0], before[1], 4, generator), inside(*delta, 4, generator)
    for at in range(count):
        for number, step in zip(z[:, at].tolist(), moved[:, at].tolist(), strict=True):
            first, change = mp.mpf(number), mp.mpf(step)
            value = EXACT[name](first + change) - EXACT[name](first)
            heights = [
                mp.mpf(float(plane.of_z[at])) * first
                + mp.mpf(float(plane.of_delta[at])) * change
                + mp.mpf(float(plane.offset[at]))
                for plane in (planes.low, planes.high)
            ]
            # what the engine adds for rounding the plane itself (``Change.weight``) is not among these numbers
            own = mp.mpf(2) ** -50 * (abs(first) + abs(change) + 1)
            assert heights[0] - own <= value <= heights[1] + own


# ---- exact forwards ------------------------------------------------------------------------------------------------


def exact_forward(model: nn.Sequential, x: Tensor) -> list[Fraction]:
    """Return the outputs of linear layers and ReLUs in rational numbers."""
    values = [Fraction(number) for number in x.tolist()]
    for layer in model:
        if isinstance(layer, nn.Linear):
            rows = zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
            values = [
                sum((Fraction(w) * v for w, v in zip(row, values, strict=True)), Fraction(bias)) for row, bias in rows
            ]
        else:
            values = [max(value, Fraction(0)) for value in values]
    return values


@pytest.mark.parametrize("seed", range(20))
def test_a_box_of_one_point_holds_the_exact_value(seed: int) -> None:
    torch.manual_seed(seed)
    old = perceptron(nn.ReLU, 12)
    if seed % 2:
        with torch.no_grad():
            for parameter in old.parameters():
                parameter.mul_(10.0 ** (3 * torch.randn_like(parameter)))
    new = shaken(old, (1e-7, 0.1, 3.0)[seed % 3])
    assert isinstance(new, nn.Sequential)
    points = torch.randn(3, 4).double() * 10
    graphs = [record(model.eval(), [torch.zeros(1, 4)]) for model in (old, new)]
    one = torch.eye(2, dtype=torch.float64)
    comparison = Comparison(graphs[0], graphs[1], matches(graphs[0], graphs[1]), around(points, 0.0))
    bound = comparison.bound(torch.cat([one, -one]))
    for at, point in enumerate(points):
        outputs = exact_forward(old, point), exact_forward(new, point)
        for k in range(2):
            change = outputs[1][k] - outputs[0][k]
            for found in (bound.differential, bound.apart):
                assert change <= Fraction(float(found[at, k]))
                assert -change <= Fraction(float(found[at, k + 2]))
            for side, graph in enumerate(graphs):
                low, high = (
                    float(end[side, graph.output][at, 0, k]) for end in (comparison.known.low, comparison.known.high)
                )
                assert Fraction(low) <= outputs[side][k] <= Fraction(high)


def float32_in_order(model: nn.Sequential, x: Tensor, generator: torch.Generator) -> Tensor:
    """Return the outputs in float32, every sum in an order of its own."""
    values = x
    for layer in model:
        if isinstance(layer, nn.Linear):
            sums = []
            for row, bias in zip(layer.weight.detach(), layer.bias.detach(), strict=True):
                terms = torch.cat([row * values, bias[None]])
                total = torch.zeros(())
                for term in terms[torch.randperm(len(terms), generator=generator)]:
                    total = total + term
                sums.append(total)
            values = torch.stack(sums)
        else:
            values = values.clamp(min=0)
    return values


def test_float32_in_any_order_stays_within_its_bound() -> None:
    generator = torch.Generator().manual_seed(0)
    beyond_real = 0
    for seed in range(6):
        torch.manual_seed(seed)
        old = perceptron(nn.ReLU, 40)
        new = shaken(old, 1e-6)
        assert isinstance(new, nn.Sequential)
        graphs = [record(model.eval(), [torch.zeros(1, 4)]) for model in (old, new)]
        point = torch.randn(1, 4) * 100
        one = torch.eye(2, dtype=torch.float64)
        forms, pairs = torch.cat([one, -one]), matches(graphs[0], graphs[1])
        deployed, real = (
            Comparison(graphs[0], graphs[1], pairs, around(point, 0.0), arithmetic).bound(forms).bound[0]
            for arithmetic in (FLOAT32, REAL)
        )
        for _ in range(10):
            outputs = [float32_in_order(model, point[0], generator).double() for model in (old, new)]
            change = forms @ (outputs[1] - outputs[0])
            assert bool((change <= deployed).all())
            beyond_real += int((change > real).any())
    assert beyond_real > 0  # or nothing was tested


# ---- a change that hides -------------------------------------------------------------------------------------------


class Hidden(nn.Module):
    """A network plus a spike: height · relu(1 − steepness · Σ|x − place|)."""

    def __init__(self, base: nn.Module, place: Tensor, height: float, steepness: float) -> None:
        super().__init__()
        self.base = base
        self.apart = nn.Linear(4, 8)
        self.near = nn.Linear(8, 1)
        self.height = height
        with torch.no_grad():
            self.apart.weight.copy_(torch.cat([torch.eye(4), -torch.eye(4)]))
            self.apart.bias.copy_(torch.cat([-place, place]))
            self.near.weight.fill_(-steepness)
            self.near.bias.fill_(1.0)

    def forward(self, x: Tensor) -> Tensor:
        spike = torch.relu(self.near(torch.relu(self.apart(x))))
        found: Tensor = self.base(x) + self.height * spike
        return found


@pytest.mark.parametrize("seed", range(6))
def test_a_hidden_change_is_never_bounded_away(seed: int) -> None:
    torch.manual_seed(seed)
    old = perceptron(nn.ReLU)
    place, height = torch.rand(4), 0.5 + 4 * float(torch.rand(()))
    new = Hidden(copy.deepcopy(old), place, height, 200.0)
    box = Box(torch.zeros(1, 1, 4).double(), torch.ones(1, 1, 4).double())
    points = torch.rand(20_000, 1, 4)
    graphs = [record(model.eval(), [torch.zeros(1, 4)]) for model in (old, new)]
    one = torch.eye(2, dtype=torch.float64)
    forms = torch.cat([one, -one])
    pairs = matches(graphs[0], graphs[1], moved=lambda path: f"base.{path}")
    assert pairs
    true = float((graphs[1].run(place.double()[None, None]) - graphs[0].run(place.double()[None, None])).max())
    with torch.no_grad():
        seen = float((new(points) - old(points)).abs().max())
    assert seen < 0.8 * true  # it hides

    def bound(region: Region) -> ChangeBound:
        return Comparison(graphs[0], graphs[1], pairs, region).bound(forms)

    assert float(bound(Region({0: box})).bound.max()) >= true
    found = split(bound, Region({0: box}), 0.9 * true, seconds=1.5)
    assert found.bound >= true
