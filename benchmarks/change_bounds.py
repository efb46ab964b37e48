"""Bounds on how far an edit moves a network, on trained digit classifiers: five methods and an attack side by side.

    python benchmarks/change_bounds.py [--cases 300] [--points 3500] [--seeds 5]

A perceptron 64-64-64-10 and a convolutional network (8 and 16 channels, stride 2, 32 units) are trained on half of
scikit-learn's digits, pixels in [0, 1]. Each edit is bounded over balls around six test images (radius 4/255, median of
the ratios) and over the whole cube of inputs; values are the bound of max_k |f'_k(x) - f_k(x)|, with the ratio to the
best attack in brackets. Then bounds of many (network, edit, box) cases are held against sampled and attacked points,
and the int8 row of the convolutional network is repeated for networks of other seeds (stratified halves, Adam at 1e-3,
40 epochs).
"""

import argparse
import copy
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

from surgery_dsl.evidence.bounds import scalar
from surgery_dsl.evidence.bounds.analysis import Analysis
from surgery_dsl.evidence.bounds.attack import Attack, ascended, attack, climbed
from surgery_dsl.evidence.bounds.change import Comparison
from surgery_dsl.evidence.bounds.graph import Affine, Graph, Input, Pointwise
from surgery_dsl.evidence.bounds.pairing import matches
from surgery_dsl.evidence.bounds.record import record
from surgery_dsl.evidence.bounds.region import Box, Region, around

FORMS = torch.cat([torch.eye(10), -torch.eye(10)]).double()
EXAMPLE = [torch.zeros(1, 64)]
CUBE = Region({0: Box(torch.zeros(1, 1, 64, dtype=torch.float64), torch.ones(1, 1, 64, dtype=torch.float64))})


def perceptron() -> nn.Sequential:
    """Return the perceptron, untrained."""
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def convolutional() -> nn.Sequential:
    """Return the convolutional network, untrained."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(256, 32),
        nn.ReLU(),
        nn.Linear(32, 10),
    )


def trained(model: nn.Sequential, x: Tensor, y: Tensor, rate: float = 2e-3, epochs: int = 60) -> nn.Sequential:
    """Train by Adam."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(epochs):
        for part in torch.split(torch.randperm(len(x)), 64):
            optimizer.zero_grad()
            torch.autograd.backward(nn.functional.cross_entropy(model(x[part]), y[part]))
            optimizer.step()
    return model.eval()


# ---- edits -------------------------------------------------------------------------------------------------------


def _weights(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.dim() > 1]


def pruned(model: nn.Sequential, share: float) -> nn.Sequential:
    """Zero the smallest weights of each layer."""
    other = copy.deepcopy(model)
    for weight in _weights(other):
        limit = weight.detach().abs().flatten().kthvalue(int(share * weight.numel())).values
        weight.data[weight.abs() <= limit] = 0
    return other


def int8(model: nn.Sequential) -> nn.Sequential:
    """Round the weights of each output to 255 levels."""
    other = copy.deepcopy(model)
    for weight in _weights(other):
        step = weight.detach().abs().flatten(1).amax(1).reshape(-1, *[1] * (weight.dim() - 1)) / 127
        weight.data = (weight / step).round() * step
    return other


def without_channels(model: nn.Sequential, share: float) -> nn.Sequential:
    """Zero the outputs with the smallest weights, a share of each hidden layer."""
    other = copy.deepcopy(model)
    layers = [layer for layer in other if isinstance(layer, nn.Linear | nn.Conv2d)]
    for layer in layers[:-1]:
        gone = layer.weight.detach().flatten(1).norm(dim=1).argsort()[: int(share * layer.weight.shape[0])]
        layer.weight.data[gone] = 0
        assert layer.bias is not None
        layer.bias.data[gone] = 0
    return other


def leaky(model: nn.Sequential) -> nn.Sequential:
    """Put leaky ReLUs in the place of ReLUs."""
    return nn.Sequential(*(nn.LeakyReLU(0.01) if isinstance(m, nn.ReLU) else copy.deepcopy(m) for m in model)).eval()


EDITS: dict[str, Callable[[nn.Sequential], nn.Sequential]] = {
    "prune 30 %": lambda model: pruned(model, 0.3),
    "prune 50 %": lambda model: pruned(model, 0.5),
    "prune 80 %": lambda model: pruned(model, 0.8),
    "int8": int8,
    "channels 25 %": lambda model: without_channels(model, 0.25),
    "leaky 0.01": leaky,
}


# ---- methods -----------------------------------------------------------------------------------------------------


def interval(graph: Graph, box: Box) -> tuple[Tensor, Tensor]:
    """Return bounds of the outputs by interval arithmetic alone."""
    values: dict[int, tuple[Tensor, Tensor]] = {}
    for at, node in enumerate(graph.nodes):
        if isinstance(node, Input):
            values[at] = box.low, box.high
            continue
        low, high = values[node.sources[0]]
        if isinstance(node, Affine):
            middle, radius = node.apply((low + high) / 2), node.spread((high - low) / 2)
            values[at] = middle - radius, middle + radius
        else:
            assert isinstance(node, Pointwise)
            values[at] = scalar.span(node.scalar, low, high)
    return values[graph.output]


def apart(first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
    """Return the largest difference of two outputs of which only bounds are known."""
    return torch.maximum(second[1] - first[0], first[1] - second[0]).flatten(1).amax(1)


def methods(old: Graph, new: Graph, region: Region) -> tuple[dict[str, Tensor], float]:
    """Return the bound of each method, and the time of the differential pass in that of two CROWN passes."""
    box = region.boxes[0]
    pairs = matches(old, new)
    found = {"IBP": apart(interval(old, box), interval(new, box))}
    crowns, spent = _times(lambda: Analysis((old, new), region), lambda: Comparison(old, new, pairs, region))
    analysis = Analysis((old, new), region)
    ends = []
    every = torch.arange(10)
    for side, graph in enumerate((old, new)):
        ends.append(analysis.of_units(analysis.alone[side], {(side, graph.output): (every, 1.0)}))
    found["CROWN each"] = apart(ends[0], ends[1])
    comparison = Comparison(old, new, pairs, region)
    bound = comparison.bound(FORMS)
    found["CROWN joint"] = bound.apart.amax(1)
    found["differential"] = bound.bound.amax(1)
    return found, (spent - crowns) / max(crowns, 1e-6)


def _times(*runs: Callable[[], object], times: int = 7) -> tuple[float, ...]:
    """Return the median CPU time of each, in turns."""
    spent = []
    for _ in range(times):
        ends = [time.process_time()]
        for run in runs:
            run()
            ends.append(time.process_time())
        spent.append([last - first for first, last in pairwise(ends)])
    return tuple(median(column) for column in zip(*spent, strict=True))


def table(networks: dict[str, nn.Sequential], images: Tensor) -> None:
    """Print every method on every edit."""
    print("| network | edit | box | attack | IBP | CROWN each | CROWN joint | **differential** | time of two CROWNs |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, network in networks.items():
        for edit, change in EDITS.items():
            old, new = (record(model, EXAMPLE) for model in (network, change(network)))
            for place, region in (("4/255", around(images[:6], 4 / 255, 0, 1)), ("cube", CUBE)):
                found, ratio = methods(old, new, region)
                values = best_attack(old, new, region.boxes[0], 20 if region.count == 1 else 4)
                cells = [
                    f"{median(bound.tolist()):.3g} ({median((bound / values).tolist()):.3g})"
                    for bound in found.values()
                ]
                row = [name, edit, place, f"{median(values.tolist()):.3g}", *cells, f"{ratio:.2f}"]
                print(f"| {' | '.join(row)} |", flush=True)


def best_attack(old: Graph, new: Graph, box: Box, starts: int) -> Tensor:
    """Return the most that an attack reaches in each box: each form by itself from many starts, and the best go on."""
    return torch.stack(
        [_best_attack(old, new, Box(low, high), starts) for low, high in zip(box.low, box.high, strict=True)]
    )


def _best_attack(old: Graph, new: Graph, box: Box, starts: int) -> Tensor:
    forms = FORMS.repeat(starts, 1)
    generator = torch.Generator().manual_seed(0)
    share = torch.rand(len(forms), *box.low.shape, generator=generator, dtype=torch.float64)
    share[::2] = share[::2].round()
    many = Box(*(corner.expand(share.shape) for corner in (box.low, box.high)))
    nothing = Attack(share, torch.full((len(forms),), -torch.inf, dtype=torch.float64))

    def value(x: Tensor, forms: Tensor = forms) -> Tensor:
        return ((new.run(x) - old.run(x)).flatten(1) * forms).sum(1)

    found = ascended(value, many, box.low + (box.high - box.low) * share, 20, nothing)
    top = found.values.topk(2 * starts).indices
    part = Box(many.low[top], many.high[top])
    best = Attack(found.points[top], found.values[top])
    return climbed(lambda x: value(x, forms[top]), part, best, 60, tries=64).values.max()


def spread(seeds: int, x: Tensor, y: Tensor) -> None:
    """Print the ratios of the int8 convolutional network for networks of other seeds."""
    print("\n| seed | cube: bound | attack | ratio | time | 4/255, median of 12: ratio | worst | time |")
    print("|---|---|---|---|---|---|---|---|")
    for seed in range(seeds):
        torch.manual_seed(seed)
        half, rest = train_test_split(
            torch.arange(len(x)).numpy(), test_size=0.5, random_state=seed, stratify=y.numpy()
        )
        network = trained(convolutional(), x[half], y[half], 1e-3, 40)
        old, new = (record(model, EXAMPLE) for model in (network, int8(network)))
        cells = [str(seed)]
        for region in (CUBE, around(x[rest[:12]], 4 / 255, 0, 1)):
            found, ratio = methods(old, new, region)
            values = best_attack(old, new, region.boxes[0], 20 if region.count == 1 else 4)
            ratios = found["differential"] / values
            if len(values) == 1:
                cells += [f"{float(found['differential']):.3g}", f"{float(values):.3g}", f"{float(ratios):.3g}"]
            else:
                cells += [f"{median(ratios.tolist()):.3g}", f"{float(ratios.max()):.3g}"]
            cells.append(f"{ratio:.2f}")
        print(f"| {' | '.join(cells)} |", flush=True)


def held(networks: dict[str, nn.Sequential], images: Tensor, cases: int, points: int) -> None:
    """Hold bounds against points of their boxes, sampled and attacked."""
    generator = torch.Generator().manual_seed(1)
    tried = violations = count = 0
    tightest = torch.inf
    pairs = [
        tuple(record(model, EXAMPLE) for model in (network, change(network)))
        for network in networks.values()
        for change in EDITS.values()
    ]
    radii = (0.0, 1 / 255, 4 / 255, 16 / 255, 0.2, 1.0)
    while count < cases:
        old, new = pairs[count % len(pairs)]
        radius = radii[(count // len(pairs)) % len(radii)]
        image = images[int(torch.randint(len(images), (1,), generator=generator))][None]
        region = around(image, radius, 0, 1)
        box = region.boxes[0]
        bound = Comparison(old, new, matches(old, new), region).bound(FORMS).bound[0]
        share = torch.rand(points, 1, 64, generator=generator, dtype=torch.float64)
        share[: points // 2] = share[: points // 2].round()
        spots = torch.cat([box.low + (box.high - box.low) * share, attack(old, new, box, FORMS, steps=20).points])
        spots = spots.clamp(box.low, box.high)
        change = ((new.run(spots) - old.run(spots)).flatten(1) @ FORMS.T).amax(0)
        violations += int((change > bound).sum())
        tightest = min(tightest, float(bound.amax() / change.amax()) if float(change.amax()) > 0 else torch.inf)
        tried += spots.shape[0]
        count += 1
    print(f"\n{count} cases, {tried:,} points: {violations} violations; tightest bound {tightest:.12f} of a value")


def main() -> None:
    """Train, and print both parts."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--cases", type=int, default=300)
    arguments.add_argument("--points", type=int, default=3500)
    arguments.add_argument("--seeds", type=int, default=5)
    given = arguments.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    digits = load_digits()
    x, y = torch.tensor(digits.data / 16, dtype=torch.float32), torch.tensor(digits.target)
    networks = {
        "MLP": trained(perceptron(), x[:898], y[:898]),
        "CNN": trained(convolutional(), x[:898], y[:898]),
    }
    table(networks, x[898:])
    spread(given.seeds, x, y)
    held(networks, x[898:], given.cases, given.points)


if __name__ == "__main__":
    main()
