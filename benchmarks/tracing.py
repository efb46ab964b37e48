"""Time and memory of tracing, side by side with ``torch.export`` (non-strict), cold, each in a process of its own.

    python benchmarks/tracing.py [NAME …]

Networks stand on the meta device at their full size. ``trace`` is what ``lock`` runs: two sizes of the free dimensions
and the trial of other widths, to a finished interface; ``torch.export`` runs one forward, with the batch and the
length dynamic where it can. Peak memory is that of the whole process, the imports of torch and transformers included.
Then the lock is written and a plan is checked against it, in CPU time of a cold process.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LLAMA = {"vocab_size": 128256, "max_position_embeddings": 8192, "num_key_value_heads": 8}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "ResNet-152": ("ResNetForImageClassification", {"depths": [3, 8, 36, 3]}),
    "BERT-large": (
        "BertForMaskedLM",
        {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096},
    ),
    "Llama-8B": (
        "LlamaForCausalLM",
        LLAMA | {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32},
    ),
    "Llama-70B": (
        "LlamaForCausalLM",
        LLAMA | {"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64},
    ),
    "Llama-405B": (
        "LlamaForCausalLM",
        LLAMA
        | {"hidden_size": 16384, "intermediate_size": 53248, "num_hidden_layers": 126, "num_attention_heads": 128},
    ),
    "Mixtral, 256 experts, 600B": (
        "MixtralForCausalLM",
        {"hidden_size": 7168, "intermediate_size": 2048, "num_hidden_layers": 54, "num_attention_heads": 56}
        | {"num_key_value_heads": 8, "num_local_experts": 256, "num_experts_per_tok": 8, "vocab_size": 129280},
    ),
    "DeepSeek-V3, 671B": ("DeepseekV3ForCausalLM", {}),
}
LIMITS = {"ResNet-152": (1.2, None), "BERT-large": (1.2, None), "Llama-405B": (5.0, 450)}
"""Seconds, and MiB of the whole process."""


def network(name: str) -> Any:
    """Build a network without memory."""
    import torch
    import transformers

    kind_name, settings = CONFIGS[name]
    kind = getattr(transformers, kind_name)
    with torch.device("meta"):
        config = kind.config_class(**settings)
        config._experts_implementation = "batched_mm"
        return kind(config).eval()


def child(tool: str, name: str) -> dict[str, float]:
    """Trace a network with one tool and return seconds, MiB and counts."""
    import torch

    torch.set_num_threads(1)
    model = network(name)
    elements = sum(parameter.numel() for parameter in model.parameters())
    found: dict[str, float] = {"parameters": elements}
    if tool == "trace":
        from surgery_dsl.trace.capture import capture

        start, cpu = time.perf_counter(), time.process_time()
        interface = capture(model).interface
        found |= {"axes": len(interface.axes), "operators": len(interface.operators)}
    else:
        start, cpu = time.perf_counter(), time.process_time()
        exported(model)
    found |= {"seconds": time.perf_counter() - start, "cpu": time.process_time() - cpu}
    found["mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def exported(model: Any) -> None:
    """Export a model as ``torch.export`` does, without values."""
    import torch

    model.config.use_cache = False
    if model.main_input_name == "pixel_values":
        given = {"pixel_values": torch.empty(2, 3, 224, 224, device="meta")}
        dims: Any = {"pixel_values": {0: torch.export.Dim.AUTO}}
    else:
        given = {"input_ids": torch.zeros(2, 32, dtype=torch.int64, device="meta")}
        dims = {"input_ids": {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}}
    torch.export.export(model, (), given, dynamic_shapes=dims, strict=False)


def measured(tool: str, name: str) -> dict[str, Any]:
    """Run a child; what it could not do comes back as ``error``."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, "--child", tool, name]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1][:90]}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


PLAN = """surg 1

model net {
  load = hf_config("config.json")
}

identify narrow {
  in = linear("model.layers.*.mlp.gate_proj")
  unit = channels
  by = magnitude(p = 1)
  take = lowest(25%)
}

excise narrow { mode = remove }
"""


def checked() -> None:
    """Print the size of the lock of Llama-405B and what checking a plan against it costs."""
    import transformers

    kind, settings = CONFIGS["Llama-405B"]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        config = getattr(transformers, kind).config_class(**settings, architectures=[kind])
        (folder / "config.json").write_text(config.to_json_string(use_diff=False))
        (folder / "plan.surg").write_text(PLAN)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        for verb in ("lock", "check", "check"):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "surgery_dsl", verb, "plan.surg"]
            subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(f"{verb} of a plan on Llama-405B: {seconds:.2f} s CPU")
        print(f"its lock: {(folder / 'plan.surg.lock').stat().st_size / 1e6:.2f} MB")


def main(names: list[str]) -> None:
    """Measure and print a table."""
    head = f"{'network':28} {'parameters':>12} {'axes':>6} {'trace s':>8} {'CPU s':>7} {'MiB':>6}"
    print(f"{head} {'export s':>9} {'MiB':>6} {'ratio':>6}  limits")
    for name in names or list(CONFIGS):
        ours, theirs = measured("trace", name), measured("export", name)
        if "error" in ours:
            print(f"{name:28} {ours['error']}")
            continue
        line = f"{name:28} {ours['parameters'] / 1e9:11.2f}B {ours['axes']:6.0f} {ours['seconds']:8.2f}"
        line += f" {ours['cpu']:7.2f} {ours['mib']:6.0f}"
        if "error" in theirs:
            line += f" {'fails':>9} {'':>6} {'':>6}"
        else:
            line += f" {theirs['seconds']:9.2f} {theirs['mib']:6.0f} {theirs['cpu'] / ours['cpu']:6.1f}"
        seconds, mib = LIMITS.get(name, (None, None))
        line += f"  {f'{seconds} s' if seconds else ''}{f', {mib} MiB' if mib else ''}"
        print(line.rstrip() + (f"  export: {theirs['error']}" if "error" in theirs else ""))
    if not names or "Llama-405B" in names:
        checked()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        sys.stdout.write(json.dumps(child(sys.argv[2], sys.argv[3])) + "\n")
    else:
        main(sys.argv[1:])
