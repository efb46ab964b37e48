"""Random functions, networks, edits and boxes, and what of a bound is found to be broken there.

Whoever asks takes what is yielded first: nothing, as long as the bounds hold.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from surgery_dsl.evidence.bounds import difference, scalar
from surgery_dsl.evidence.bounds.attack import attack
from surgery_dsl.evidence.bounds.backward import Form
from surgery_dsl.evidence.bounds.change import Comparison
from surgery_dsl.evidence.bounds.difference import Centre, Plane, Planes
from surgery_dsl.evidence.bounds.graph import Graph, Node, Pointwise
from surgery_dsl.evidence.bounds.known import Change
from surgery_dsl.evidence.bounds.lengths import Centred
from surgery_dsl.evidence.bounds.pairing import matches, same_shape
from surgery_dsl.evidence.bounds.record import record
from surgery_dsl.evidence.bounds.region import Box, Region
from surgery_dsl.evidence.bounds.scalar import Scalar

Activation = Callable[[], nn.Module]

FUNCTIONS: dict[str, Activation] = {
    "relu": nn.ReLU,
    "leaky_relu": lambda: nn.LeakyReLU(0.2),
    "prelu": lambda: nn.PReLU(init=-1.5),
    "relu6": nn.ReLU6,
    "hardtanh": lambda: nn.Hardtanh(-0.5, 0.3),
    "hardsigmoid": nn.Hardsigmoid,
    "hardswish": nn.Hardswish,
    "elu": lambda: nn.ELU(1.6),
    "celu": lambda: nn.CELU(0.3),
    "selu": nn.SELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "softplus": lambda: nn.Softplus(2.0, 4.0),
    "silu": nn.SiLU,
    "gelu": nn.GELU,
    "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
}


def scalar_of(name: str) -> Scalar:
    """Return the function that an activation is recorded as."""
    graph = record(FUNCTIONS[name]().eval(), [torch.zeros(1, 1)])
    node = graph.nodes[graph.output]
    assert isinstance(node, Pointwise)
    return node.scalar


def intervals(count: int, generator: torch.Generator, breaks: tuple[float, ...] = ()) -> tuple[Tensor, Tensor]:
    """Return intervals of all widths, [count]: from points over neighbouring numbers to hundreds."""
    spread = 10 ** (torch.rand(count, generator=generator, dtype=torch.float64) * 3 - 1)
    middle = torch.randn(count, generator=generator, dtype=torch.float64) * spread
    width = 10 ** (torch.rand(count, generator=generator, dtype=torch.float64) * 18 - 16)
    width[: count // 8] = 0
    low, high = middle - width / 2, middle + width / 2
    for number, at in enumerate(breaks):
        low[number :: 3 * len(breaks)] = at
        high[number + 1 :: 5 * len(breaks)] = at
    low, high = torch.minimum(low, high), torch.maximum(low, high)
    high[-4:] = torch.nextafter(low[-4:], torch.full_like(low[-4:], torch.inf))
    return low, high


def inside(low: Tensor, high: Tensor, points: int, generator: torch.Generator) -> Tensor:
    """Return points of intervals, [points, count], both ends among them."""
    share = torch.rand(points, *low.shape, generator=generator, dtype=torch.float64)
    share[0], share[1] = 0, 1
    return (low + (high - low) * share).clamp(low, high)


def relaxations(count: int, points: int, seed: int = 0) -> Iterator[str]:
    """Yield each line, span or bound of slopes that a point lies beyond."""
    generator = torch.Generator().manual_seed(seed)
    for name in FUNCTIONS:
        function = scalar_of(name)
        low, high = intervals(count, generator, function.breaks)
        z = inside(low, high, points, generator)
        values = function.value(z)
        found = scalar.lines(function, low, high)
        if bool((found.low_slope * z + found.low > values).any()):
            yield f"{name}: a point below its line"
        if bool((found.high_slope * z + found.high < values).any()):
            yield f"{name}: a point above its line"
        band = scalar.band(function, low, high)
        if bool(((band.slope * z + band.low > values) | (band.slope * z + band.high < values)).any()):
            yield f"{name}: a point outside its band"
        least, most = scalar.span(function, low, high)
        if bool(((values < least) | (values > most)).any()):
            yield f"{name}: a value outside its span"
        lowest, steepest = scalar.slopes(function, low, high)
        x, y = z[:-1], z[1:]
        wide = (y - x).abs() > 1e-6 * (1 + x.abs())
        quotient = (values[1:] - values[:-1]) / torch.where(wide, y - x, 1.0)
        own = 1e-8 * (1 + quotient.abs())  # of the quotient itself, as it is computed here
        if bool((wide & ((quotient < lowest - own) | (quotient > steepest + own))).any()):
            yield f"{name}: a slope outside its bounds"
        slope = function.slope(z)
        if bool(((slope < lowest - 1e-12) | (slope > steepest + 1e-12))[2:, low < high].any()):
            yield f"{name}: a derivative outside its bounds"


def changes(count: int, points: int, seed: int = 0) -> Iterator[str]:
    """Yield each plane that the change of a function lies beyond."""
    generator = torch.Generator().manual_seed(seed)
    names = list(FUNCTIONS)
    for number, name in enumerate(names):
        for other in (name, names[(number + 1) % len(names)], "relu"):
            old, new = scalar_of(name), scalar_of(other)
            before = intervals(count, generator, old.breaks)
            shift = 10 ** (torch.rand(count, generator=generator, dtype=torch.float64) * 10 - 9)
            delta = intervals(count, generator)[0].clamp(-1, 1) * shift
            delta = (torch.minimum(delta, -delta * 0.3), torch.maximum(delta, -delta * 0.3))  # type: ignore[assignment]
            after = (before[0] + delta[0] * 0.7, before[1] + delta[1] * 0.7)
            after = (torch.minimum(*after), torch.maximum(*after))
            found = difference.planes(old, new, before, after, delta)  # type: ignore[arg-type]
            z, moved = inside(*before, points, generator), inside(*delta, points, generator)  # type: ignore[call-arg]
            moved = (z + moved).clamp(*after) - z
            after_z = z + moved
            held = (moved >= delta[0]) & (moved <= delta[1]) & (after_z >= after[0]) & (after_z <= after[1])
            value = new.value(after_z) - old.value(z)
            # of the difference itself and of z + δ, as they are computed here
            own = 2.0**-50 * (1 + new.value(after_z).abs() + old.value(z).abs() + after_z.abs() + z.abs())
            if bool((held & (found.low.at(z, moved) > value + own)).any()):
                yield f"{name} to {other}: a change below its plane"
            if bool((held & (found.high.at(z, moved) < value - own)).any()):
                yield f"{name} to {other}: a change above its plane"
            far = torch.maximum(delta[0].abs(), delta[1].abs()).clamp(min=1e-100)
            centre = difference.centre(old, new, before, after, far)
            reach = centre.reach * moved.abs() / far + centre.rest
            if bool((held & ((value - centre.plane.at(z, moved)).abs() > reach + own)).any()):
                yield f"{name} to {other}: a change away from its centre"


# ---- networks ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pair:
    """Two networks to be compared.

    Attributes:
        name: What was done.
        old: Before.
        new: After.
        shape: Of one example.
        kept: For units that were removed or added: positions in the old one, those in the new one.
    """

    name: str
    old: nn.Module
    new: nn.Module
    shape: tuple[int, ...]
    kept: "tuple[Tensor, Tensor] | None" = None


class Residual(nn.Module):
    """x + W₂ φ(W₁ x), twice, and a head."""

    def __init__(self, act: Activation, branches: tuple[nn.Module, ...] = ()) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.act, self.head = act(), nn.Linear(4, 2)
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.act(self.first(x))
        x = x - 0.5 * self.act(self.second(x))
        for branch in self.branches:
            x = x + branch(x)
        found: Tensor = self.head(x)
        return found


class Joined(nn.Module):
    """φ(W₂ y + W₃ y + y) with y = W₁ x, which the result reads once more, and a head."""

    def __init__(self, act: Activation) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(4, 4) for _ in range(3))
        self.act, self.head = act(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        found: Tensor = self.head(self.act(self.second(y) + self.third(y) + y) * 0.5 + y)
        return found


def perceptron(act: Activation, width: int = 5) -> nn.Sequential:
    """Return four inputs, two hidden layers, two outputs."""
    return nn.Sequential(nn.Linear(4, width), act(), nn.Linear(width, 4), act(), nn.Linear(4, 2))


def wide(act: Activation) -> nn.Sequential:
    """Return as many inputs and units as make the length of a layer's change less than its elements would."""
    return nn.Sequential(nn.Linear(16, 24), act(), nn.Linear(24, 20), act(), nn.Linear(20, 12), act(), nn.Linear(12, 2))


def convolutional(act: Activation, pool: nn.Module) -> nn.Sequential:
    """Return a network of 5 by 5 images with batch norm and a pool."""
    norm = nn.BatchNorm2d(3)
    for buffer in (norm.running_mean, norm.running_var):
        assert buffer is not None
        buffer.copy_(torch.rand(3) + 0.2)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), norm, act(), pool, nn.Conv2d(3, 2, 2), act(), nn.Flatten(), nn.LazyLinear(2)
    )  # fmt: skip


def shaken(model: nn.Module, size: float) -> nn.Module:
    """Return a copy whose parameters are moved at random."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return other


def without_units(old: nn.Sequential, size: float) -> Pair:
    """Remove two hidden units of the first layer."""
    kept = torch.tensor([0, 2, 4])
    new = shaken(old, size)
    assert isinstance(new, nn.Sequential)
    first, second = nn.Linear(4, 3), nn.Linear(3, 4)
    with torch.no_grad():
        first.weight.copy_(new[0].weight[kept])  # type: ignore[index]
        first.bias.copy_(new[0].bias[kept])  # type: ignore[index]
        second.weight.copy_(new[2].weight[:, kept])  # type: ignore[index]
        second.bias.copy_(new[2].bias)  # type: ignore[arg-type]
    new[0], new[2] = first, second
    return Pair("units removed", old, new, (4,), (kept, torch.arange(3)))


def pairs(seed: int) -> Iterator[Pair]:
    """Yield one pair of each kind."""
    torch.manual_seed(seed)
    names = list(FUNCTIONS)
    size = (0.0, 1e-6, 0.01, 0.2)[seed % 4]
    act = FUNCTIONS[names[seed % len(names)]]
    for name in ("relu", names[seed % len(names)], "silu", "softplus"):
        old: nn.Module = perceptron(FUNCTIONS[name])
        yield Pair(name, old, shaken(old, size), (4,))
    old = convolutional(nn.ReLU, nn.MaxPool2d(2, stride=2, padding=1, ceil_mode=True))
    _settle(old)
    yield Pair("convolutional", old, shaken(old, size), (1, 5, 5))
    old = convolutional(act, nn.AvgPool2d(2))
    _settle(old)
    yield Pair("convolutional, averaged", old, shaken(old, size), (1, 5, 5))
    old = Residual(act)
    yield Pair("residual", old, shaken(old, size), (4,))
    old = Joined(act)
    yield Pair("joined", old, shaken(old, size), (4,))
    old = perceptron(nn.ReLU)
    swapped = copy.deepcopy(old)
    for at in (1, 3):
        swapped[at] = FUNCTIONS[names[(seed + 7) % len(names)]]()
    yield Pair("another activation", old, shaken(swapped, size), (4,))
    smooth = perceptron(nn.GELU)
    swapped = copy.deepcopy(smooth)
    swapped[1], swapped[3] = nn.GELU(approximate="tanh"), nn.ReLU()
    yield Pair("gelu by tanh", smooth, shaken(swapped, size), (4,))
    wider = wide(nn.ReLU)
    yield Pair("wide", wider, shaken(wider, size), (16,))
    swapped = copy.deepcopy(wider)
    for at in (1, 3, 5):
        swapped[at] = act()
    yield Pair("wide, another activation", wider, shaken(swapped, size / 10), (16,))
    yield without_units(perceptron(nn.ReLU), size)
    gone = without_units(perceptron(act), size)
    assert gone.kept is not None
    yield Pair("units added", gone.new, gone.old, (4,), (gone.kept[1], gone.kept[0]))
    old = perceptron(act)
    factored = copy.deepcopy(old)
    factored[2] = nn.Sequential(nn.Linear(5, 2, bias=False), nn.Linear(2, 4))
    yield Pair("a layer factored", old, factored, (4,))
    old = Residual(nn.ReLU)
    inserted = Residual(nn.ReLU, (nn.Sequential(nn.Linear(4, 2), nn.Tanh(), nn.Linear(2, 4)),))
    inserted.load_state_dict(old.state_dict(), strict=False)
    yield Pair("an adapter inserted", old, shaken(inserted, size), (4,))
    pooled = (nn.Conv1d(1, 2, 3), nn.MaxPool1d(3, 2, 1), nn.Tanh(), nn.ConvTranspose1d(2, 2, 2))
    old = nn.Sequential(*pooled, nn.Flatten(), nn.LazyLinear(2))
    old(torch.zeros(1, 1, 7))
    yield Pair("pooled first", old, shaken(old, size), (1, 7))


def _settle(model: nn.Module) -> None:
    model.eval()
    model(torch.zeros(1, 1, 5, 5))


def graphs_of(pair: Pair) -> tuple[Graph, Graph]:
    """Record both networks."""
    example = [torch.zeros(1, *pair.shape)]
    return record(pair.old.eval(), example), record(pair.new.eval(), example)


def compared(pair: Pair, old: Graph, new: Graph, region: Region) -> Comparison:
    """Compare two networks with the units that they share."""

    def units(one: Node, other: Node) -> "tuple[Tensor, Tensor] | None":
        return pair.kept if one.shape != other.shape else same_shape(one, other)

    return Comparison(old, new, matches(old, new, units), region)


def networks(seeds: range, points: int, boxes: int = 6) -> Iterator[str]:
    """Yield each (network, edit, box) case whose change, or whose values, lie beyond a bound."""
    one = torch.eye(2, dtype=torch.float64)
    forms = torch.cat([one, -one, torch.tensor([[1.0, -1.0], [0.3, 2.0]], dtype=torch.float64)])
    radii = torch.tensor([0.0, 1e-9, 0.01, 0.1, 0.5, 2.0], dtype=torch.float64)
    yield from lengths_attained()
    for seed in seeds:
        for pair in pairs(seed):
            old, new = graphs_of(pair)
            generator = torch.Generator().manual_seed(seed)
            centre = torch.randn(boxes, *pair.shape, generator=generator, dtype=torch.float64)
            radius = radii[torch.arange(boxes) % len(radii)].reshape(-1, *[1] * len(pair.shape))
            low, high = centre - radius, centre + radius
            box = Box(low.unsqueeze(1), high.unsqueeze(1))
            region = Region({0: box})
            comparison = compared(pair, old, new, region)
            bound = comparison.bound(forms)
            share = torch.rand(points, *low.shape, generator=generator, dtype=torch.float64).unsqueeze(2)
            share[: points // 3] = share[: points // 3].round()
            spots = (box.low + (box.high - box.low) * share).clamp(box.low, box.high)
            worst = attack(old, new, box, forms, seed, starts=2, steps=12).points
            spots = torch.cat([spots, worst.unsqueeze(0)])
            outputs = [graph.run(spots.flatten(0, 1)).unflatten(0, spots.shape[:2]) for graph in (old, new)]  # type: ignore[no-untyped-call]
            change = ((outputs[1] - outputs[0]).flatten(2) @ forms.T).amax(0)
            for kind, limits in (("differential", bound.differential), ("apart", bound.apart)):
                if not bool((change <= limits).all()):
                    yield f"{pair.name}, seed {seed}: a change beyond the {kind} bound"
            for what in inner(comparison, (old, new), spots):
                yield f"{pair.name}, seed {seed}: {what}"


HADAMARD = torch.ones(1, 1, dtype=torch.float64)
for _ in range(4):
    HADAMARD = torch.cat([torch.cat([HADAMARD, HADAMARD], 1), torch.cat([HADAMARD, -HADAMARD], 1)])
BENT = torch.tensor([(-1.0) ** ((i & 1) * (i >> 1 & 1) + (i >> 2 & 1) * (i >> 3)) for i in range(16)]).double()
"""A bent function (Rothaus 1976): its transform by Hadamard's matrix is 4 in size everywhere."""


def bent(act: Activation, size: float = 2.0**-10) -> tuple[Pair, Tensor]:
    """Return a pair whose change is as great as the lengths of its layers allow, and the inputs where it is.

    Sixteen units z = v change by δ = size · H x, for inputs x and v in [-1, 1]. For bent x all |δ| are the same, so
    that Cauchy's and Schwarz's inequality is one of equals; and v, hardly more than zero, gives every unit the phase
    that adds to the sum of all (first point) or takes from it (second). At the third every v is least.
    """
    eye = torch.eye(16)
    models: list[nn.Module] = []
    for matrix in (torch.zeros(16, 16), size * HADAMARD.float()):
        first, second, third = nn.Linear(32, 32), nn.Linear(32, 16), nn.Linear(16, 2)
        for layer, weight, bias in (
            (first, torch.eye(32), torch.full((32,), 2.0)),
            (second, torch.cat([matrix, eye], 1), -2 * torch.cat([matrix, eye], 1).sum(1)),
            (third, torch.tensor([[1.0], [-1.0]]).expand(2, 16), torch.zeros(2)),
        ):
            layer.weight.data, layer.bias.data = weight.clone(), bias
        models.append(nn.Sequential(first, nn.ReLU(), second, act() if models else nn.ReLU(), third))
    delta = size * HADAMARD @ BENT
    points = torch.stack([
        torch.cat([BENT, 8 * delta]),
        torch.cat([-BENT, 8 * delta]),
        torch.cat([BENT, -torch.ones(16).double()]),
    ])  # fmt: skip
    return Pair("bent", models[0], models[1], (32,)), points.unsqueeze(1)


def lengths_attained() -> Iterator[str]:
    """Yield where the bound of a change, or of a length, is below one that is attained."""
    box = Box(*(sign * torch.ones(1, 1, 32, dtype=torch.float64) for sign in (-1, 1)))
    for act in (nn.ReLU, FUNCTIONS["leaky_relu"]):
        pair, points = bent(act)
        old, new = graphs_of(pair)
        bound = compared(pair, old, new, Region({0: box})).bound(torch.eye(2).double()).differential[0]
        change = (new.run(points) - old.run(points)).flatten(1).amax(0)
        if not bool((change <= bound).all()):
            yield f"{pair.name}: a change beyond what lengths allow"
    generator = torch.Generator().manual_seed(0)
    rows, reach = torch.randn(1, 9, 30, generator=generator).double(), torch.rand(1, 30, generator=generator).double()
    zero, one = torch.zeros(1, 30, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    plane, every = Plane(zero, zero, zero), torch.arange(30)
    change_of = Change(every, every, Planes(plane, plane), Centre(plane, reach, zero), (zero, zero), zero, 3 * one)
    centred = Centred()
    centred.on_planes(Form({}, zero[:, :9], zero[:, :9]), rows, change_of, zero)
    if not bool(centred.greatest() >= 3 * torch.linalg.matrix_norm(rows * reach, 2)):
        yield "a sum over a ball beyond its bound"


def inner(comparison: Comparison, graphs: tuple[Graph, Graph], spots: Tensor) -> Iterator[str]:
    """Yield each value of the networks, and each change of a shared function, that is beyond what is known of it."""
    known = comparison.known

    def value(side: int, at: int) -> Tensor:
        return replace(graphs[side], output=at).run(spots.flatten(0, 1)).unflatten(0, spots.shape[:2])  # type: ignore[no-any-return,no-untyped-call]

    for side, graph in enumerate(graphs):
        for at in {*graph.bends, *(graph.nodes[bend].sources[0] for bend in graph.bends), graph.output}:
            found = value(side, at)
            if not bool(((found >= known.low[side, at]) & (found <= known.high[side, at])).all()):
                yield f"value {at} of network {side} outside its bounds"
    for (old, new), change in known.changes.items():
        nodes = [graph.nodes[at] for graph, (_, at) in zip(graphs, (old, new), strict=True)]
        if not all(isinstance(node, Pointwise) for node in nodes):
            continue
        z, after = (value(side, node.sources[0]).flatten(2) for side, node in enumerate(nodes))
        a, b = (value(*key).flatten(2) for key in (old, new))
        delta, moved = after[..., change.new] - z[..., change.old], b[..., change.new] - a[..., change.old]
        own = 2.0**-46 * (1 + z.abs().amax() + after.abs().amax() + a.abs().amax() + b.abs().amax())
        low, high = (plane.at(z[..., change.old], delta) for plane in (change.planes.low, change.planes.high))
        if not bool(((low <= moved + own) & (moved - own <= high)).all()):
            yield f"a change of value {old[1]} beyond its planes"
        centre = change.centre
        away = (moved - centre.plane.at(z[..., change.old], delta)).abs() - centre.rest - own
        if not bool((away <= centre.reach).all()):
            yield f"a change of value {old[1]} away from its centre"
        shares = torch.where(centre.reach > 0, away.clamp(min=0) / centre.reach, 0.0)
        if change.length is not None and not bool((torch.linalg.vector_norm(shares, dim=2) <= change.length).all()):
            yield f"the changes of value {old[1]} are longer than their length"


def problems(count: int, points: int, seeds: range) -> Iterator[str]:
    """Yield everything that is broken."""
    yield from relaxations(count, points)
    yield from changes(count, points)
    yield from networks(seeds, points)
