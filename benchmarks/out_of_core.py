"""A structural plan on a checkpoint of several gigabytes that is never loaded, against copying its files.

    python benchmarks/out_of_core.py --folder /some/disk

A decoder like Llama's (8 key/value heads for 32 query heads) stands on disk in bfloat16 shards. The plan drops a
quarter of the layers, halves the key/value groups and cuts the MLPs to three quarters of their width. The same run
copies with ``cp -r`` and a flush to the disk: the whole checkpoint, and as many bytes as the result has. What is read
is brought into the page cache before each. Times are wall times, the least of several runs in turn; seconds of
processors are those of the programs, without the system's own threads; memory is the peak of resident memory of the
process (``VmHWM``). What is written is deleted at the end.
"""

import argparse
import json
import math
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from surgery_dsl.interface.safetensors_header import header_bytes  # noqa: E402
from surgery_dsl.interface.shards import INDEX, divide, file_names, index_text  # noqa: E402

MIB = 1 << 20
HIDDEN, MLP, VOCABULARY, QUERIES, GROUPS, HEAD = 4096, 14336, 32000, 32, 8, 128

NETWORK = """
import torch
import torch.nn.functional as F
from torch import nn


class Attention(nn.Module):
    def __init__(self, hidden, heads, groups, size):
        super().__init__()
        self.heads, self.groups, self.size = heads, groups, size
        self.q_proj = nn.Linear(hidden, heads * size, bias=False)
        self.k_proj = nn.Linear(hidden, groups * size, bias=False)
        self.v_proj = nn.Linear(hidden, groups * size, bias=False)
        self.o_proj = nn.Linear(heads * size, hidden, bias=False)

    def forward(self, x):
        b, t, _ = x.shape
        q = self.q_proj(x).view(b, t, self.heads, self.size).transpose(1, 2)
        k = self.k_proj(x).view(b, t, self.groups, self.size).transpose(1, 2)
        v = self.v_proj(x).view(b, t, self.groups, self.size).transpose(1, 2)
        k = k[:, :, None].expand(b, self.groups, self.heads // self.groups, t, self.size)
        v = v[:, :, None].expand(b, self.groups, self.heads // self.groups, t, self.size)
        k = k.reshape(b, self.heads, t, self.size)
        v = v.reshape(b, self.heads, t, self.size)
        x = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(x.transpose(1, 2).reshape(b, t, self.heads * self.size))


class Mlp(nn.Module):
    def __init__(self, hidden, width):
        super().__init__()
        self.gate_proj = nn.Linear(hidden, width, bias=False)
        self.up_proj = nn.Linear(hidden, width, bias=False)
        self.down_proj = nn.Linear(width, hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, hidden, width, heads, groups, size):
        super().__init__()
        self.before = nn.RMSNorm(hidden)
        self.self_attn = Attention(hidden, heads, groups, size)
        self.after = nn.RMSNorm(hidden)
        self.mlp = Mlp(hidden, width)

    def forward(self, x):
        x = x + self.self_attn(self.before(x))
        return x + self.mlp(self.after(x))


class Decoder(nn.Module):
    def __init__(self, layers, hidden, width, heads, groups, size, vocabulary):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocabulary, hidden)
        self.layers = nn.ModuleList(Layer(hidden, width, heads, groups, size) for _ in range(layers))
        self.norm = nn.RMSNorm(hidden)
        self.lm_head = nn.Linear(hidden, vocabulary, bias=False)

    def forward(self, tokens):
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(self.norm(x))


def build(layers, hidden, width, heads, groups, size, vocabulary):
    dtype = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        return Decoder(layers, hidden, width, heads, groups, size, vocabulary)
    finally:
        torch.set_default_dtype(dtype)
"""

PLAN = """\
surg 1

model lm {{
  load = python("decoder:build", {arguments})
  weights = "checkpoint"
  input = tokens("i64", [B, T], below = {vocabulary})
}}
identify narrow {{
  in = linear("layers.*.mlp.gate_proj")
  unit = channels
  {narrow}
}}
identify quiet {{
  in = attention("layers.*.self_attn")
  unit = kv_groups
  take = only([1, 3, 5, 7])
}}
identify late {{
  in = module("layers.*")
  unit = modules
  take = only({first}..{last})
}}
excise narrow {{ mode = remove }}
excise quiet {{ mode = remove }}
excise late {{ mode = remove }}
control final {{
  prove params <= 0.8 * base.params
}}
"""
TAKES = {
    "only": "take = only([{indices}])",
    "magnitude": "by = magnitude(p = 1)\n  take = lowest(25%)",
}


def forms(layers: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the checkpoint's tensors, in order."""
    found: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (VOCABULARY, HIDDEN)}
    for number in range(layers):
        found |= {
            f"layers.{number}.before.weight": (HIDDEN,),
            f"layers.{number}.self_attn.q_proj.weight": (QUERIES * HEAD, HIDDEN),
            f"layers.{number}.self_attn.k_proj.weight": (GROUPS * HEAD, HIDDEN),
            f"layers.{number}.self_attn.v_proj.weight": (GROUPS * HEAD, HIDDEN),
            f"layers.{number}.self_attn.o_proj.weight": (HIDDEN, QUERIES * HEAD),
            f"layers.{number}.after.weight": (HIDDEN,),
            f"layers.{number}.mlp.gate_proj.weight": (MLP, HIDDEN),
            f"layers.{number}.mlp.up_proj.weight": (MLP, HIDDEN),
            f"layers.{number}.mlp.down_proj.weight": (HIDDEN, MLP),
        }
    return found | {"norm.weight": (HIDDEN,), "lm_head.weight": (VOCABULARY, HIDDEN)}


def write_checkpoint(folder: Path, layers: int) -> None:
    """Write small random numbers quickly: every tensor is a stretch of one drawn block, from a place of its own."""
    import torch

    folder.mkdir()
    block = (torch.randn(32 << 20, generator=torch.Generator().manual_seed(0)) * 0.02).to(torch.bfloat16)
    raw = memoryview(block.view(torch.uint8).numpy().data)
    shapes = forms(layers)
    shards = divide({name: 2 * math.prod(shape) for name, shape in shapes.items()}, 1_000_000_000)
    places = dict(zip(file_names(len(shards)), shards, strict=True))
    start = 0
    for file, names in places.items():
        with (folder / file).open("wb") as out:
            out.write(header_bytes([(name, "bf16", shapes[name]) for name in names], {"format": "pt"}))
            for name in names:
                left = 2 * math.prod(shapes[name])
                start = (start + 4_098) % (len(raw) // 2)
                while left:
                    part = raw[start : start + left]
                    out.write(part)
                    left, start = left - len(part), 0
    total = sum(2 * math.prod(shape) for shape in shapes.values())
    (folder / INDEX).write_text(index_text(places, total, {}))


def write_plan(folder: Path, layers: int, take: str) -> Path:
    """Write the plan of one way to choose."""
    sizes = {
        "layers": layers,
        "hidden": HIDDEN,
        "width": MLP,
        "heads": QUERIES,
        "groups": GROUPS,
        "size": HEAD,
        "vocabulary": VOCABULARY,
    }
    gone = ", ".join(str(4 * n + n % 3) for n in range(MLP // 4))  # scattered, as a ranking gives it
    text = PLAN.format(
        arguments=", ".join(f"{name} = {value}" for name, value in sizes.items()),
        vocabulary=VOCABULARY,
        narrow=TAKES[take].format(indices=gone),
        first=layers // 2,
        last=layers // 2 + layers // 4 - 1,
    )
    path = folder / f"{take}.surg"
    path.write_text(text)
    return path


def peak() -> float:
    """Return the peak of resident memory of this process in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise OSError("the system does not tell the peak of resident memory")


def child(plan: Path, output: Path) -> None:
    """Apply a plan out of core in this process, and print what it took."""
    from surgery_dsl.run.apply import apply
    from surgery_dsl.run.streaming.shards import Writer

    worked, original = 0.0, Writer.write

    def write(self: Writer) -> dict[str, str]:
        nonlocal worked
        before = processors(resource.RUSAGE_SELF)
        digests = original(self)
        worked = processors(resource.RUSAGE_SELF) - before
        return digests

    Writer.write = write  # type: ignore[method-assign]
    began = time.perf_counter()
    outcome = apply(plan, output, allow_code=["decoder:*"], out_of_core=True)
    seconds = time.perf_counter() - began
    if not outcome.accepted:
        raise SystemExit("\n".join(f"{d.code.id} {d.message}" for d in outcome.diagnostics))
    print(json.dumps({"seconds": seconds, "peak": peak(), "processors": worked, **outcome.timings}))


def processors(who: int) -> float:
    """Return the seconds that processors worked for a program, in it and in the system."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def warm(folder: Path) -> None:
    """Bring the tensor files of a folder into the page cache."""
    block = bytearray(1 << 20)
    for path in folder.glob("*.safetensors"):
        with path.open("rb", buffering=0) as file:
            while file.readinto(block):
                pass


def applied(plan: Path, output: Path) -> dict[str, float]:
    """Apply a plan in a process of its own."""
    warm(plan.parent / "checkpoint")
    command = [sys.executable, __file__, "--child", str(plan), str(output)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=plan.parent)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def copied(source: Path, target: Path, pattern: str = "") -> tuple[float, float]:
    """Return the seconds of a copy with a flush to the disk, and those of processors; delete it."""
    warm(source)
    began, before = time.perf_counter(), processors(resource.RUSAGE_CHILDREN)
    if pattern:
        target.mkdir()
        subprocess.run(["cp", *map(str, sorted(source.glob(pattern))), str(target)], check=True)
    else:
        subprocess.run(["cp", "-r", str(source), str(target)], check=True)
    subprocess.run(["sync", *map(str, sorted(target.iterdir()))], check=True)
    seconds, worked = time.perf_counter() - began, processors(resource.RUSAGE_CHILDREN) - before
    shutil.rmtree(target)
    return seconds, worked


def size_of(folder: Path) -> int:
    """Return the bytes of the tensor files of a folder."""
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def main() -> None:
    """Make the checkpoint, run everything in turn, print a table, clean up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=2, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help="a place on the disk to measure")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        (folder / "decoder.py").write_text(NETWORK)
        write_checkpoint(folder / "checkpoint", arguments.layers)
        rows: dict[str, list[dict[str, float]]] = {take: [] for take in TAKES}
        whole: list[tuple[float, float]] = []
        kept: list[tuple[float, float]] = []
        for take in TAKES:
            plan = write_plan(folder, arguments.layers, take)
            subprocess.run(
                [sys.executable, "-m", "surgery_dsl", "lock", str(plan), "--allow-code", "decoder:*"],
                check=True,
                cwd=ROOT,
                stdout=subprocess.DEVNULL,
            )
        bytes_kept = 0
        for _ in range(arguments.runs):
            for take in TAKES:
                whole.append(copied(folder / "checkpoint", folder / "copy"))
                rows[take].append(applied(folder / f"{take}.surg", folder / "out"))
                kept.append(copied(folder / "out", folder / "copy", "*.safetensors"))
                bytes_kept = size_of(folder / "out")
                shutil.rmtree(folder / "out")
        largest = max(2 * math.prod(shape) for shape in forms(arguments.layers).values()) / MIB
        print(f"checkpoint {size_of(folder / 'checkpoint') / 1e9:.1f} GB, result {bytes_kept / 1e9:.1f} GB, ", end="")
        print(f"largest tensor {largest:.0f} MiB; limit of memory {300 + largest:.0f} MiB, of time 1.3")
        for text, copies in (("the checkpoint", whole), ("the bytes kept", kept)):
            print(f"cp -r of {text} {seconds_of(copies)} s; of processors {seconds_of([c[1:] for c in copies])} s")
        for take, runs in rows.items():
            best = min(runs, key=lambda run: run["stream"])
            others = ("seconds", "peak", "processors")
            phases = ", ".join(f"{phase} {best[phase]:.1f}" for phase in best if phase not in others)
            print(f"{take}: apply {best['seconds']:.1f} s ({phases})")
            streams, worked = ([(run[what],) for run in runs] for what in ("stream", "processors"))
            print(f"  the stream {seconds_of(streams)} s; of processors {seconds_of(worked)} s")
            for text, seconds in (("the stream", best["stream"]), ("apply without the reload", without(best))):
                ratios = [seconds / min(copies)[0] for copies in (whole, kept)]
                print(f"  {text}: {ratios[0]:.2f} of copying the files, {ratios[1]:.2f} of the bytes kept")
            print(f"  peak {max(run['peak'] for run in runs):.0f} MiB")


def seconds_of(runs: Sequence[Sequence[float]]) -> str:
    """Return the least and the greatest of some runs."""
    first = [run[0] for run in runs]
    return f"{min(first):.1f} to {max(first):.1f}"


def without(run: dict[str, float]) -> float:
    """Return the seconds of a whole run but for trying the result in a clean process."""
    return run["seconds"] - run["reload"]


if __name__ == "__main__":
    main()
