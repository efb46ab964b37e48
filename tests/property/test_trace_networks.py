"""Drawn networks: every axis that the tracer calls free passes the oracle, and what was cut traces as predicted."""

from math import prod

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.interface.frozen import INPUT, OUTPUT
from surgery_dsl.interface.model import Interface
from surgery_dsl.trace.capture import trace
from tests.unit.trace.oracle import assert_right, kept, spec, width

torch.set_num_threads(1)

# ---- layers with weights -----------------------------------------------------------------------------------------

Step = tuple[str, int, int]

CONVOLUTIONAL = ("conv", "strided", "grouped", "depthwise", "norm", "act", "pool", "residual", "dense", "skip", "split")
FLAT = ("linear", "act", "residual", "dense", "split", "norm")


class Drawn(nn.Module):
    """A chain of drawn steps on images, then on rows; every step is built for the shape that reaches it."""

    def __init__(self, image: tuple[Step, ...], flat: tuple[Step, ...], pooled: bool) -> None:
        super().__init__()
        self.image, self.flat, self.pooled = image, flat, pooled
        self.layers = nn.ModuleDict()
        self.decided: dict[str, bool] = {}
        self.building = True
        with torch.no_grad():
            self(torch.zeros(2, 2, 8, 10))
        self.building = False
        self.eval()

    def layer(self, name: str, kind: type[nn.Module], *args: int, **kwargs: int) -> nn.Module:
        if self.building:
            self.layers[name] = kind(*args, **kwargs)
        return self.layers[name]

    def decide(self, name: str, now: bool) -> bool:
        """Decide once: a forward that decides by its own widths is another forward at other widths."""
        return self.decided.setdefault(name, now)

    def forward(self, x: Tensor) -> Tensor:
        kept: list[Tensor] = []
        for position, step in enumerate(self.image):
            x = self.convolve(f"i{position}", x, kept, step)
        x = x.mean((2, 3)) if self.pooled else torch.flatten(x, 1)
        for position, step in enumerate(self.flat):
            x = self.project(f"f{position}", x, step)
        return self.layer("head", nn.Linear, x.shape[1], 3)(x)

    def convolve(self, name: str, x: Tensor, kept: list[Tensor], step: Step) -> Tensor:
        kind, a, b = step
        channels, spatial = x.shape[1], min(x.shape[2:])
        if kind == "conv":
            return self.layer(name, nn.Conv2d, channels, 2 + a, 3, padding=1)(x)
        if kind == "strided" and spatial > 2:
            return self.layer(name, nn.Conv2d, channels, 2 + a, 1 + b, stride=2, padding=b, dilation=1)(x)
        if kind == "grouped":
            x = self.layer(name, nn.Conv2d, channels, 2 * (1 + a), 1)(x)
            return self.layer(name + "g", nn.Conv2d, 2 * (1 + a), 2 * (1 + b), 3, padding=1, groups=2)(x)
        if kind == "depthwise":
            return self.layer(name, nn.Conv2d, channels, channels * (1 + b % 2), 3, padding=1, groups=channels)(x)
        if kind == "norm":
            return self.layer(name, nn.BatchNorm2d, channels)(x)
        if kind == "pool" and spatial > 2:
            return F.max_pool2d(x, 2) if a % 2 else F.avg_pool2d(x, 3, 2, 1)
        if kind == "residual":
            inner = self.layer(name, nn.Conv2d, channels, 2 + a, 3, padding=1)(x)
            return x + self.layer(name + "o", nn.Conv2d, 2 + a, channels, 1)(torch.tanh(inner))
        if kind == "dense":
            return torch.cat([x, torch.tanh(self.layer(name, nn.Conv2d, channels, 1 + a, 3, padding=1)(x))], 1)
        if kind == "skip":
            same = [y for y in kept if y.shape[2:] == x.shape[2:]]
            kept.append(x)
            return torch.cat([same[b % len(same)], x], 1) if same else x
        if kind == "split" and self.decide(name, channels % 2 == 0):
            left, right = x.chunk(2, 1)
            return left * torch.sigmoid(right)
        return activate(x, a)

    def project(self, name: str, x: Tensor, step: Step) -> Tensor:
        kind, a, b = step
        features = x.shape[1]
        if kind == "linear":
            return self.layer(name, nn.Linear, features, 2 + a, bias=b % 2)(x)
        if kind == "residual":
            inner = self.layer(name, nn.Linear, features, 2 + a)(x)
            return x + self.layer(name + "o", nn.Linear, 2 + a, features)(torch.tanh(inner))
        if kind == "dense":
            return torch.cat([torch.tanh(self.layer(name, nn.Linear, features, 1 + a)(x)), x], 1)
        if kind == "split" and self.decide(name, features % 2 == 0):
            left, right = x.split(features // 2, 1)
            return left + torch.tanh(right)
        if kind == "norm":
            return self.layer(name, nn.BatchNorm1d, features)(x)
        return activate(x, a)


def activate(x: Tensor, which: int) -> Tensor:
    return (F.leaky_relu, F.gelu, F.silu, torch.tanh, F.elu)[which % 5](x)


def steps(kinds: tuple[str, ...], most: int) -> st.SearchStrategy[tuple[Step, ...]]:
    step = st.tuples(st.sampled_from(kinds), st.integers(0, 4), st.integers(0, 2))
    return st.lists(step, max_size=most).map(tuple)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(image=steps(CONVOLUTIONAL, 6), flat=steps(FLAT, 4), pooled=st.booleans())
def test_drawn_networks(image: tuple[Step, ...], flat: tuple[Step, ...], pooled: bool) -> None:
    def build() -> nn.Module:
        torch.manual_seed(0)
        return Drawn(image, flat, pooled)

    assert_right(build, spec("N", 2, 8, 10), {"N": 2}, least=0, control=False)


# ---- views alone -------------------------------------------------------------------------------------------------

SHAPE = (2, 6, 4)


class Moves(nn.Module):
    """Drawn views, permutations, slices, concatenations; no weights."""

    def __init__(self, moves: tuple[tuple[str, int, int], ...]) -> None:
        super().__init__()
        self.moves = moves

    def forward(self, x: Tensor) -> Tensor:
        for move in self.moves:
            x = self.move(x, *move)
        return x

    def move(self, x: Tensor, kind: str, a: int, b: int) -> Tensor:
        dim = a % x.dim()
        if kind == "merge" and x.dim() > 1:
            dim = a % (x.dim() - 1)
            return x.flatten(dim, dim + 1)
        if kind == "take apart" and x.dim() < 6:
            divisors = [d for d in range(1, x.shape[dim] + 1) if x.shape[dim] % d == 0]
            return x.unflatten(dim, (divisors[b % len(divisors)], -1))
        if kind == "regroup":
            divisors = [d for d in range(1, x.numel() + 1) if x.numel() % d == 0]
            return x.reshape(divisors[(7 * a + b) % len(divisors)], -1)
        if kind == "transpose":
            return x.transpose(dim, b % x.dim())
        if kind == "slice" and x.shape[dim] > 1:
            start = b % (x.shape[dim] - 1)
            return x.narrow(dim, start, max(1, (x.shape[dim] - start) // 2))
        if kind == "halves" and x.shape[dim] % 2 == 0:
            left, right = x.chunk(2, dim)
            return torch.cat([right, left.neg()], dim) if b % 2 else torch.stack([left, right], b % x.dim())
        if kind == "twice" and x.numel() < 1000:
            return torch.cat([x, x * 2], dim)
        if kind == "add":
            return x + x.mean(dim, keepdim=True)
        if kind == "squeeze":
            return x.squeeze(dim).unsqueeze(0) if x.shape[dim] == 1 else x.unsqueeze(b % (x.dim() + 1))
        return x.tanh()


KINDS = ("merge", "take apart", "regroup", "transpose", "slice", "halves", "twice", "add", "squeeze", "tanh")


def shuffled(interface: Interface, value: int, tensor: Tensor, axis: int) -> Tensor:
    """The tensor with one axis turned by one index in every dimension that carries it."""
    size = width(interface, axis)
    order = {axis: [(i + 1) % size for i in range(size)]}
    for position, dim in enumerate(interface.values[value].dims):
        tensor = tensor.index_select(position, torch.tensor(kept(interface, dim, order)))
    return tensor


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 9), st.integers(0, 9)), max_size=8).map(tuple))
def test_views_move_indices_as_torch_does(moves: tuple[tuple[str, int, int], ...]) -> None:
    """Turning an axis before the forward is the same as turning it afterwards, unless it is frozen for a reason."""
    model = Moves(moves)
    interface = trace(model, spec(*SHAPE))
    (source,), (result,) = interface.inputs, interface.outputs
    x = torch.randn(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = model(x)
    sizes = [interface.exact(dim) for dim in interface.values[result.value].dims]
    assert sizes == list(y.shape)
    assert prod(SHAPE) == prod(interface.exact(dim) or 0 for dim in interface.values[source.value].dims)
    for axis in interface.axes:
        if not axis.parts and axis.frozen in (INPUT, OUTPUT):
            before = model(shuffled(interface, source.value, x, axis.id))
            after = shuffled(interface, result.value, y, axis.id)
            torch.testing.assert_close(before, after, rtol=1e-12, atol=1e-12)
