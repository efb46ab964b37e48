"""Compare taking half the channels of a network with merely copying the weights that stay.

Run it with ``python benchmarks/structural_copy.py``. A chain of layers with 100 M parameters loses a random half of
every inner axis, so that most tensors lose rows and columns. Every method runs in a process of its own with
one thread and keeps all results, as surgery does. ``clone`` copies tensors that already have the final size and is
the least that any method can do; ``indexing`` is ``weight[rows][:, columns]``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from global_threshold import MIB, resident_peak  # noqa: E402

from surgery_dsl.kernels.gather import take_block  # noqa: E402

NETWORKS = {
    "linear, 96 of 1024 x 1024": ((1024, 1024), 96),
    "linear, 6 of 4096 x 4096": ((4096, 4096), 6),
    "conv, 11 of 1024 x 1024 x 3 x 3": ((1024, 1024, 3, 3), 11),
}
Task = tuple[Tensor, dict[int, Tensor]]


def tasks(shape: tuple[int, ...], layers: int) -> list[Task]:
    """Build weights, and the rows and columns that stay in each."""
    generator = torch.Generator().manual_seed(0)

    def half(size: int) -> Tensor:
        return torch.randperm(size, generator=generator)[: size // 2].sort().values

    axes = [half(shape[0]) for _ in range(layers + 1)]
    built = []
    for layer in range(layers):
        keep = {0: axes[layer + 1]} if layer == 0 else {0: axes[layer + 1], 1: axes[layer]}
        built.append((torch.randn(shape, generator=generator), keep))
    return built


def ours(work: list[Task]) -> list[Tensor]:
    """Gather rows and columns in one go."""
    return [take_block(weight, keep) for weight, keep in work]


def indexing(work: list[Task]) -> list[Tensor]:
    """Index one dimension after the other."""
    results = []
    for weight, keep in work:
        for dim, indices in keep.items():
            weight = weight.index_select(dim, indices)
        results.append(weight)
    return results


def clone(work: list[Task]) -> list[Tensor]:
    """Copy weights that have been cut before."""
    return [weight.clone() for weight, _ in work]


METHODS: dict[str, Callable[[list[Task]], list[Tensor]]] = {
    "clone of what stays": clone,
    "surgery-dsl": ours,
    "indexing, dimension by dimension": indexing,
}


def measure(name: str, network: str) -> dict[str, float]:
    """Run one method in this process."""
    torch.set_num_threads(1)
    work = tasks(*NETWORKS[network])
    largest = max(weight.numel() * weight.element_size() for weight, _ in work)
    if name == "clone of what stays":
        work = [(take_block(weight, keep), {}) for weight, keep in work]
    before = resident_peak(since=False)
    start = time.process_time()
    results = METHODS[name](work)
    seconds = time.process_time() - start
    extra = resident_peak(since=True) - before
    kept = sum(result.numel() * result.element_size() for result in results)
    return {"seconds": seconds, "beyond": (extra - kept) / MIB, "largest": largest / MIB, "kept": kept / MIB}


def main() -> None:
    """Run every method in child processes and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        print(json.dumps(measure(*arguments.child)))
        return
    print("| network | method | CPU ms | ratio to clone | MiB beyond the result | largest tensor, MiB |")
    print("|---|---|---|---|---|---|")
    for network in NETWORKS:
        least = 0.0
        for name in METHODS:
            rows = []
            for _ in range(arguments.repeat):
                command = [sys.executable, __file__, "--child", name, network]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                rows.append(json.loads(done.stdout))
            best = min(rows, key=lambda row: row["seconds"])
            least = least or best["seconds"]
            cells = [network, name, f"{best['seconds'] * 1e3:.0f}", f"{best['seconds'] / least:.2f}"]
            print("|", " | ".join([*cells, f"{best['beyond']:.0f}", f"{best['largest']:.0f}"]), "|")


if __name__ == "__main__":
    main()
