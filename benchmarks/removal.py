"""Structural removal of half the channels of a 100 M-parameter network, as `apply` does it.

    python benchmarks/removal.py

The network stands in memory and its weights in a file. The edit (index lists included) is carried out under a
transaction that could still bring every byte back; beside it, a process that merely copies the weights that stay.
One thread, a fresh process each, the least of several runs; memory is the growth of the peak beyond the loaded network.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from global_threshold import resident_peak
from networks import build_wide_100m
from safetensors import safe_open
from safetensors.torch import save_file

from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Extent
from surgery_dsl.run.changes import carry_out
from surgery_dsl.run.transaction import Transaction
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.context import Change
from surgery_dsl.vocabulary.modes.remove import Remove
from surgery_dsl.vocabulary.selection import Picked, Pool, Selection, Site

RUNS = 5
MIB = 1 << 20


def load(path: Path) -> torch.nn.Module:
    """Build the network and fill it tensor by tensor."""
    with torch.device("meta"):
        net = build_wide_100m()
    net = net.to_empty(device="cpu").eval()
    with safe_open(path, framework="pt") as file, torch.no_grad():
        for name, tensor in net.state_dict().items():
            tensor.copy_(file.get_tensor(name))
    return net


def change_of(net: torch.nn.Module) -> Change:
    """Return the edit that removes a random half of every hidden axis."""
    graph = trace(net, (InputSpec(name="x", dtype="f32", dims=("N", 4096)),))
    axes = [axis for axis in graph.axes if not axis.frozen and not axis.parts]
    generator = torch.Generator().manual_seed(0)
    pools, indices = [], []
    for axis in axes:
        size = graph.exact_size(axis.id)
        assert size is not None
        site = Site(word="linear", path=axis.label, module=axis.label)
        pools.append(Pool(key=axis.label, size=size, sites=(site,), axis=axis.id))
        indices.append(tuple(torch.randperm(size, generator=generator)[: size // 2].sort().values.tolist()))
    taken = tuple(Extent(least=len(i), most=len(i)) for i in indices)
    selection = Selection(step="half", unit="channels", pools=tuple(pools), taken=taken)

    class Minimal:
        interface = graph
        model = net

        def tensor(self, name: str) -> torch.Tensor:
            return net.get_parameter(name)

    (change,) = Remove().execute(Picked(selection, tuple(indices)), Minimal())  # type: ignore[arg-type]
    return change


def measure(method: str, path: Path) -> dict[str, float]:
    """Run one method in this process."""
    torch.set_num_threads(1)
    net = load(path)
    change = change_of(net)

    def reader(name: str) -> Callable[[], torch.Tensor]:
        def read() -> torch.Tensor:
            with safe_open(path, framework="pt") as file:
                return file.get_tensor(name)

        return read

    readers = {name: reader(name) for name in net.state_dict()}
    kept = {
        name: tuple(len(change.edit.indices[s.indices]) if s.dim == d else n for d, n in enumerate(tensor.shape))
        for name, tensor in net.state_dict().items()
        for s in change.edit.slices  # type: ignore[union-attr]
        if s.tensor == name
    }
    for s in change.edit.slices:  # type: ignore[union-attr]
        kept[s.tensor] = tuple(
            len(change.edit.indices[s.indices]) if d == s.dim else n  # type: ignore[union-attr]
            for d, n in enumerate(kept[s.tensor])
        )
    copies = [torch.ones(shape) for shape in kept.values()] if method == "copy" else []
    before = resident_peak(since=False)
    start = time.perf_counter()
    if method == "copy":
        results = [tensor.clone() for tensor in copies]
        seconds = time.perf_counter() - start
        assert results
    else:
        transaction = Transaction(net, readers)
        carry_out(net, change, transaction)
        seconds = time.perf_counter() - start
    growth = (resident_peak(since=True) - before) / MIB
    return {"seconds": seconds, "growth": growth}


def main() -> None:
    """Compare, each method in processes of its own, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--method")
    parser.add_argument("--weights", type=Path)
    arguments = parser.parse_args()
    if arguments.method:
        print(json.dumps(measure(arguments.method, arguments.weights)))
        return
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "wide.safetensors"
        torch.manual_seed(0)
        net = build_wide_100m()
        total = sum(p.numel() for p in net.parameters())
        largest = max(p.numel() for p in net.parameters()) * 4 / MIB
        save_file(dict(net.state_dict()), path)
        del net
        found = {}
        for method in ("copy", "remove"):
            runs = []
            for _ in range(RUNS):
                command = [sys.executable, __file__, "--method", method, "--weights", str(path)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                runs.append(json.loads(done.stdout))
            found[method] = {key: min(run[key] for run in runs) for key in ("seconds", "growth")}
        copy, remove = found["copy"], found["remove"]
        print(f"{total / 1e6:.1f} M parameters, largest tensor {largest:.0f} MiB")
        print(f"copy the kept weights   {1000 * copy['seconds']:7.0f} ms")
        print(f"remove half, journaled  {1000 * remove['seconds']:7.0f} ms   peak grows by {remove['growth']:.0f} MiB")
        print(f"time ratio {remove['seconds'] / copy['seconds']:.2f} (limit 2), ", end="")
        print(f"memory {remove['growth'] / largest:.2f} of the largest tensor (limit 1.2)")


if __name__ == "__main__":
    main()
