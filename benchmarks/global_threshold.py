"""Compare global unstructured magnitude pruning: ours, torch's own, and a join of all magnitudes.

Run it with ``python benchmarks/global_threshold.py``. Every method gets the same weights in a process of its
own with one thread, and zeroes the same share of them. Reported are CPU seconds, the peak of resident memory
above what the weights already took, and the ratios to ours; at the end the zeros are compared, entry by entry.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.utils import prune

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from surgery_dsl.kernels.masks import pack_bits  # noqa: E402
from surgery_dsl.kernels.thresholds import Scores, choose, removable, zero_chosen_  # noqa: E402

MIB = 1 << 20


def weights(tensors: int, side: int) -> list[nn.Linear]:
    """Build layers with random weights, the same in every process."""
    layers = []
    for seed in range(tensors):
        layer = nn.Linear(side, side, bias=False)
        with torch.no_grad():
            layer.weight.normal_(generator=torch.Generator().manual_seed(seed))
        layers.append(layer)
    return layers


def ours(layers: list[nn.Linear], count: int) -> None:
    """Choose by streaming histograms, then zero in place."""
    scores = [Scores((layer.weight,)) for layer in layers]
    zero_chosen_([layer.weight for layer in layers], scores, choose(scores, count))


def ours_with_floors(layers: list[nn.Linear], count: int) -> None:
    """Do the same, and keep at least five per cent of each tensor."""
    scores = [Scores((layer.weight,)) for layer in layers]
    limits = [removable(one.size, floor=one.size // 20) for one in scores]
    zero_chosen_([layer.weight for layer in layers], scores, choose(scores, count, limits=limits))


def torch_prune(layers: list[nn.Linear], count: int) -> None:
    """Call ``torch.nn.utils.prune.global_unstructured`` and make its masks permanent."""
    prune.global_unstructured([(layer, "weight") for layer in layers], prune.L1Unstructured, amount=count)
    for layer in layers:
        prune.remove(layer, "weight")


def joined_kthvalue(layers: list[nn.Linear], count: int) -> None:
    """Join all magnitudes and ask for the k-th."""
    with torch.no_grad():
        threshold = torch.cat([layer.weight.abs().view(-1) for layer in layers]).kthvalue(count).values
        for layer in layers:
            layer.weight[layer.weight.abs() <= threshold] = 0.0


METHODS: dict[str, Callable[[list[nn.Linear], int], None]] = {
    "surgery-dsl": ours,
    "surgery-dsl, floor 5 %": ours_with_floors,
    "torch.nn.utils.prune.global_unstructured": torch_prune,
    "torch.cat + kthvalue": joined_kthvalue,
}


def resident_peak(since: bool) -> int:
    """Return resident bytes now, or their peak since the last call with ``since=False``."""
    try:
        if not since:
            Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark (Linux)
        status = Path("/proc/self/status").read_text()
        field = "VmHWM:" if since else "VmRSS:"
        return int(status.split(field)[1].split()[0]) * 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(name: str, tensors: int, side: int, amount: float, masks: Path) -> dict[str, float]:
    """Run one method in this process; write the zeros' packed masks to a file."""
    torch.set_num_threads(1)
    warm_up = weights(2, 64)
    METHODS[name](warm_up, 1000)
    layers = weights(tensors, side)
    count = round(amount * tensors * side * side)
    before = resident_peak(since=False)
    start = time.process_time()
    METHODS[name](layers, count)
    seconds = time.process_time() - start
    extra = resident_peak(since=True) - before
    with masks.open("wb") as file:
        for layer in layers:
            file.write(pack_bits(layer.weight.detach() == 0).numpy().tobytes())
    zeros = sum(int((layer.weight == 0).sum()) for layer in layers)
    return {"seconds": seconds, "mib": extra / MIB, "zeros": zeros}


def differing(first: Path, second: Path, tensors: int, side: int) -> tuple[int, int]:
    """Count entries zeroed by one method only, and the distinct magnitudes among them (1 means: ties)."""
    unlike = 0
    magnitudes: set[float] = set()
    size = side * side
    left, right = (np.memmap(path, dtype=np.uint8, mode="r") for path in (first, second))
    step = (size + 7) // 8
    for seed in range(tensors):
        part = slice(seed * step, (seed + 1) * step)
        flips = np.unpackbits(left[part] ^ right[part], bitorder="little")[:size].nonzero()[0]
        if len(flips):
            weight = torch.empty(side, side).normal_(generator=torch.Generator().manual_seed(seed))
            unlike += len(flips)
            magnitudes.update(weight.abs().view(-1)[torch.from_numpy(flips)].tolist())
    return unlike, len(magnitudes)


def main() -> None:
    """Run every method in a child process and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tensors", type=int, default=96)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--amount", type=float, default=0.5)
    parser.add_argument("--child", choices=list(METHODS), help=argparse.SUPPRESS)
    parser.add_argument("--masks", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    shape = (arguments.tensors, arguments.side)
    if arguments.child:
        print(json.dumps(measure(arguments.child, *shape, arguments.amount, arguments.masks)))
        return
    size = shape[0] * shape[1] ** 2
    print(f"{size / 1e6:.1f} M float32 weights ({size * 4 / MIB:.0f} MiB), {arguments.amount:.0%} zeroed, one thread")
    print()
    print("| method | CPU s | ratio | extra MiB | ratio | zeros |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        rows: dict[str, dict[str, float]] = {}
        for index, name in enumerate(METHODS):
            command = [sys.executable, __file__, "--child", name, "--masks", f"{folder}/{index}"]
            options = ["--tensors", str(shape[0]), "--side", str(shape[1]), "--amount", str(arguments.amount)]
            done = subprocess.run([*command, *options], check=True, capture_output=True, text=True)
            row = rows[name] = json.loads(done.stdout)
            base = rows["surgery-dsl"]
            ratios = row["seconds"] / base["seconds"], row["mib"] / max(base["mib"], 1.0)
            cells = [name, f"{row['seconds']:.2f}", f"{ratios[0]:.1f}", f"{row['mib']:.0f}", f"{ratios[1]:.1f}"]
            print("|", " | ".join([*cells, f"{row['zeros']:.0f}"]), "|")
        print()
        for index, name in enumerate(METHODS):
            if index:
                unlike, magnitudes = differing(Path(folder, "0"), Path(folder, str(index)), *shape)
                print(f"zeros that differ from {name}: {unlike} (of {magnitudes} distinct magnitudes)")


if __name__ == "__main__":
    main()
