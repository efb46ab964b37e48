"""ACAS Xu: how far 16-bit rounding and pruning move collision-avoidance networks, over a whole region of inputs.

    python benchmarks/acasxu.py DIR [--seconds 20]

DIR holds ``.nnet`` files (Julian and co-authors, CC BY 4.0): five inputs, six hidden layers of 50 ReLUs, five outputs.
The region is that of property 3 (Katz et al. 2017), as in ReluDiff and NeuroDiff. Each network is compared with its
copy rounded to 16-bit floats, and with one without the 5 % smallest weights; one thread, CPU seconds, reading included.
"""

import argparse
import copy
import time
from itertools import pairwise
from pathlib import Path
from statistics import mean

import torch
from torch import Tensor, nn

from surgery_dsl.evidence.bounds.attack import attack
from surgery_dsl.evidence.bounds.change import ChangeBound, Comparison
from surgery_dsl.evidence.bounds.pairing import matches
from surgery_dsl.evidence.bounds.record import record
from surgery_dsl.evidence.bounds.region import Box, Region
from surgery_dsl.evidence.bounds.splitting import split

LOW = (1500.0, -0.06, 3.10, 980.0, 960.0)
HIGH = (1800.0, 0.06, 3.141593, 1200.0, 1200.0)
FORMS = torch.cat([torch.eye(5), -torch.eye(5)]).double()


def read(path: Path) -> tuple[nn.Sequential, Box]:
    """Return a network and the region in its own units."""
    lines = [line.strip().rstrip(",") for line in path.read_text().splitlines() if not line.startswith("//")]
    rows = [[float(number) for number in line.split(",")] for line in lines if line]
    sizes, means, ranges = [int(n) for n in rows[1]], rows[5], rows[6]
    layers: list[nn.Module] = []
    at = 7
    for inputs, outputs in pairwise(sizes):
        layer = nn.Linear(inputs, outputs)
        layer.weight.data = torch.tensor(rows[at : at + outputs])
        layer.bias.data = torch.tensor(rows[at + outputs : at + 2 * outputs]).flatten()
        at += 2 * outputs
        layers += [layer, nn.ReLU()]
    corners = [
        torch.tensor([(x - m) / r for x, m, r in zip(side, means, ranges, strict=False)], dtype=torch.float64)
        for side in (LOW, HIGH)
    ]
    return nn.Sequential(*layers[:-1]).eval(), Box(corners[0][None, None], corners[1][None, None])


def rounded(network: nn.Module) -> nn.Module:
    """Return a copy with weights rounded to 16-bit floats."""
    other = copy.deepcopy(network)
    for parameter in other.parameters():
        parameter.data = parameter.data.half().float()
    return other


def pruned(network: nn.Module, share: float) -> nn.Module:
    """Return a copy without the smallest weights, over all layers."""
    other = copy.deepcopy(network)
    weights = torch.cat([p.detach().abs().flatten() for p in other.parameters() if p.dim() > 1])
    limit = weights.kthvalue(int(share * weights.numel())).values
    for parameter in other.parameters():
        if parameter.dim() > 1:
            parameter.data[parameter.abs() <= limit] = 0
    return other


def bounded(old: nn.Module, new: nn.Module, box: Box, limit: float, seconds: float) -> tuple[float, int, float, Tensor]:
    """Return bound, parts, CPU seconds and the value of an attack."""
    began = time.process_time()
    first, second = (record(model, [torch.zeros(1, 5)]) for model in (old, new))
    pairs = matches(first, second)

    def bound(region: Region) -> ChangeBound:
        return Comparison(first, second, pairs, region).bound(FORMS)

    found = split(bound, Region({0: box}), limit, seconds)
    spent = time.process_time() - began
    return found.bound, found.parts, spent, attack(first, second, box, FORMS).values


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--seconds", type=float, default=20.0)
    given = arguments.parse_args()
    torch.set_num_threads(1)
    networks = [read(path) for path in sorted(given.folder.glob("*.nnet"))]
    print("| edit | limit | proved | CPU s a network (worst) | parts (most) | median bound | median attack |")
    print("|---|---|---|---|---|---|---|")
    for name, edit, limit in (
        ("16-bit floats", rounded, 0.05),
        ("16-bit floats", rounded, 0.01),
        ("5 % pruned", lambda network: pruned(network, 0.05), 0.0),
    ):
        seconds = given.seconds if limit else 2.0
        rows = [bounded(network, edit(network), box, limit, seconds) for network, box in networks]
        bounds, parts, spent, values = zip(*rows, strict=True)
        held = f"{sum(bound <= limit for bound in bounds)} of {len(rows)}" if limit else "2 s of halving"
        middle = len(rows) // 2
        cost = f"{mean(spent):.2f} ({max(spent):.2f}) | {mean(parts):.0f} ({max(parts)})"
        median = f"{sorted(bounds)[middle]:.4f} | {sorted(float(v.max()) for v in values)[middle]:.4f}"
        print(f"| {name} | {limit or 'none'} | {held} | {cost} | {median} |", flush=True)


if __name__ == "__main__":
    main()
