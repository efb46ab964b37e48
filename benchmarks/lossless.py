"""Seven architectures at full layer sizes: what is removed is exact zeros, so the outputs may not change.

Half of the indices of every axis that no norm, mean or softmax runs over (channels, neurons, heads or key/value heads,
features of a head, expert widths) are set to zero in every tensor that carries them. Removing them must then leave the
float32 outputs as they were, unaided; the result is written, rebuilt on meta in a fresh process, and run again.
Torch-Pruning is given the same zeros and asked, unaided, to take half of the same layers by magnitude.

    python benchmarks/lossless.py [--only NAME ...] [--skip-torch-pruning]
"""

import argparse
import gc
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from surgery_dsl.interface.edits import Resize
from surgery_dsl.interface.gathering import entries, gather
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize, Interface
from surgery_dsl.interface.ties import SizeTies

LIMIT = 1e-5
TORCH_PRUNING_SECONDS = 240
_OVER = ("layer_norm", "rms_norm", "group_norm", "mean", "softmax", "log_softmax", "pow", "sum")


def resnet50() -> nn.Module:
    """ResNet-50 for ImageNet."""
    from transformers import ResNetConfig, ResNetForImageClassification

    return ResNetForImageClassification(ResNetConfig(num_labels=1000))


def bert() -> nn.Module:
    """BERT-base."""
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig())


def gpt2() -> nn.Module:
    """GPT-2 small."""
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(use_cache=False))


def vit() -> nn.Module:
    """ViT-base/16."""
    from transformers import ViTConfig, ViTForImageClassification

    return ViTForImageClassification(ViTConfig(num_labels=1000))


def llama(intermediate: int, kv: int) -> nn.Module:
    """Two layers of a Llama of seven or eight billion parameters, all widths its own, with a small vocabulary."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        hidden_size=4096,
        intermediate_size=intermediate,
        num_attention_heads=32,
        num_key_value_heads=kv,
        num_hidden_layers=2,
        vocab_size=2048,
        use_cache=False,
    )
    return LlamaForCausalLM(config)


def mixtral() -> nn.Module:
    """One layer of Mixtral-8x7B, all widths its own, with a small vocabulary."""
    from transformers import MixtralConfig, MixtralForCausalLM

    return MixtralForCausalLM(MixtralConfig(num_hidden_layers=1, vocab_size=2048, use_cache=False))


BUILD: dict[str, Callable[[], nn.Module]] = {
    "ResNet-50": resnet50,
    "BERT-base": bert,
    "GPT-2": gpt2,
    "ViT-base": vit,
    "Llama MHA": lambda: llama(11008, 32),
    "Llama GQA": lambda: llama(14336, 8),
    "Mixtral": mixtral,
}


def build(name: str) -> nn.Module:
    """Build a network with seeded weights that are alive: none is zero, norms have statistics."""
    torch.manual_seed(0)
    model = BUILD[name]().eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(1)
    for key, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_floating_point() and tensor.dim() == 1 and "inv_freq" not in key:
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(noise.abs() + 0.5 if "var" in key or key.endswith("weight") else 0.1 * noise)
    return model


def example(name: str) -> tuple[tuple[InputSpec, ...], tuple[FreeSize, ...], dict[str, Tensor]]:
    """Return what the network takes, and one batch of it."""
    generator = torch.Generator().manual_seed(2)
    if name in ("ResNet-50", "ViT-base"):
        spec = InputSpec(name="pixel_values", dtype="f32", dims=("N", 3, 224, 224))
        return (spec,), (FreeSize(name="N"),), {"pixel_values": torch.randn(1, 3, 224, 224, generator=generator)}
    spec = InputSpec(name="input_ids", dtype="i64", dims=("B", "T"), below=2048)
    tokens = torch.randint(0, 2048, (1, 12), generator=generator)
    return (spec,), (FreeSize(name="B"), FreeSize(name="T")), {"input_ids": tokens}


def output(model: nn.Module, given: dict[str, Tensor]) -> Tensor:
    """Return the first output."""
    with torch.no_grad():
        return model(**given)[0]


def chosen(interface: Interface) -> dict[int, list[int]]:
    """Draw half of the indices of every free axis that nothing averages over, ties kept."""
    over = {
        axis
        for operator in interface.operators
        if operator.kind in _OVER and not (operator.kind == "softmax" and "weight" in operator.tensors)
        for value in operator.inputs[:1]
        for dim in _reduced(interface, operator.kind, operator.settings, value)
        for axis in interface.leaves(dim)
    }
    ties, rng = SizeTies(interface), random.Random(0)
    sizes: dict[int, int] = {}
    parameters = {tensor.name for tensor in interface.tensors if tensor.role == "parameter"}
    for axis in interface.axes:
        size = interface.exact_size(axis.id)
        read = any(name in parameters for name, _ in interface.carriers.get(axis.id, ()))
        if axis.parts or axis.frozen or not size or size < 4 or axis.id in over or axis.id in sizes or not read:
            continue
        following = ties.following({**sizes, axis.id: size // 2})
        if isinstance(following, dict) and over.isdisjoint(following):
            sizes |= {axis.id: size // 2, **following}
    return {axis: sorted(rng.sample(range(interface.exact_size(axis) or 0), n)) for axis, n in sizes.items()}


def _reduced(interface: Interface, kind: str, settings: dict[str, object], value: int) -> tuple[tuple[int, ...], ...]:
    """Return the dimensions that an operator averages over."""
    dims = interface.values[value].dims
    if kind in ("layer_norm", "rms_norm"):
        return dims[-int(settings.get("rank", 1)) :]
    if kind == "group_norm":
        return dims[1:2]
    over = settings.get("dim")
    if isinstance(over, tuple):
        return tuple(dims[i] for i in over)
    return (dims[over],) if isinstance(over, int) else ()


def plant(model: nn.Module, kept: dict[int, list[int]], interface: Interface) -> None:
    """Set what is to go to zero in every tensor that carries it."""
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        for position, dim in enumerate(interface.tensor_by_name[name].dims):
            if kept.keys() & set(interface.leaves(dim)) and not name.endswith("running_var"):
                gone = torch.ones(tensor.shape[position], dtype=torch.bool)
                gone[entries(dim, kept, interface)] = False
                tensor.index_fill_(position, gone.nonzero().flatten(), 0)


def ours(name: str) -> dict[str, object]:
    """Remove, compare, write, and reload in a fresh process."""
    from surgery_dsl.run.changes import replay
    from surgery_dsl.trace.capture import trace

    model = build(name)
    specs, free, given = example(name)
    interface = trace(model, specs, None, free)
    kept = chosen(interface)
    before = sum(p.numel() for p in model.parameters())
    plant(model, kept, interface)
    reference = output(model, given)
    edit = gather(kept, interface)
    assert edit is not None
    start = time.perf_counter()
    replay(model, [edit])
    seconds = time.perf_counter() - start
    gc.collect()
    error = _difference(output(model, given), reference)
    after = sum(p.numel() for p in model.parameters())
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, place / "model.safetensors")
        (place / "edit.json").write_text(edit.model_dump_json())
        save_file({"reference": output(model, given).contiguous()}, place / "reference.safetensors")
        del model, tensors
        gc.collect()
        told = subprocess.run(
            [sys.executable, __file__, "--reload", name, folder], capture_output=True, text=True, check=False
        )
    reloaded = json.loads(told.stdout.splitlines()[-1])["difference"] if told.returncode == 0 else None
    return {
        "axes": len(kept),
        "before": before,
        "after": after,
        "error": error,
        "seconds": seconds,
        "reloaded": reloaded,
    }


def reload(name: str, folder: Path) -> float:
    """Rebuild the result on meta from its record and tensors alone; return how far its output is."""
    from surgery_dsl.run.changes import replay

    with torch.device("meta"):
        model = BUILD[name]().eval()
    edit = Resize.model_validate_json((folder / "edit.json").read_text())
    replay(model, [edit])
    for key, tensor in load_file(folder / "model.safetensors").items():
        path, _, attribute = key.rpartition(".")
        module, own = model.get_submodule(path), tensor.clone()  # memory of its own is aligned as kernels like it
        if attribute in module._parameters:
            module._parameters[attribute] = nn.Parameter(own, requires_grad=False)
        else:
            module._buffers[attribute] = own
    if hasattr(model, "tie_weights"):
        model.tie_weights()
    _, _, given = example(name)
    return _difference(output(model, given), load_file(folder / "reference.safetensors")["reference"])


def torch_pruning(name: str) -> dict[str, object]:
    """Give Torch-Pruning the same zeros and let it take half of the same layers."""
    import torch_pruning as tp

    from surgery_dsl.trace.capture import trace

    model = build(name)
    specs, free, given = example(name)
    interface = trace(model, specs, None, free)
    kept = chosen(interface)
    plant(model, kept, interface)
    reference = output(model, given)
    modules = dict(model.named_modules())
    layers = {}
    for operator in interface.operators:
        weight = operator.tensors.get("weight")
        layer = modules.get(operator.module)
        if (
            weight is not None
            and isinstance(layer, nn.Linear | nn.Conv2d)
            and kept.keys() & set(interface.leaves(interface.tensor_by_name[weight].dims[0]))
        ):
            layers[layer] = 0.5
    before = sum(p.numel() for p in model.parameters())
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    pruner = tp.pruner.MagnitudePruner(
        model,
        given,
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=0.0,
        pruning_ratio_dict=layers,
        output_transform=lambda result: result[0].sum(),
    )
    pruner.step()
    after = sum(p.numel() for p in model.parameters())
    return {"before": before, "after": after, "error": _difference(output(model, given), reference)}


def _difference(found: Tensor, wanted: Tensor) -> float:
    if found.shape != wanted.shape:
        return float("inf")
    return ((found - wanted).abs().max() / wanted.abs().max()).item()


def _other(name: str) -> str:
    """Run Torch-Pruning in a process of its own and say what came of it."""
    try:
        told = subprocess.run(
            [sys.executable, __file__, "--torch-pruning", name],
            capture_output=True,
            text=True,
            check=False,
            timeout=TORCH_PRUNING_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"no end in {TORCH_PRUNING_SECONDS} s"
    if told.returncode:
        return (told.stderr.strip().splitlines() or ["failed"])[-1][:90].replace("|", "/")
    found = json.loads(told.stdout.splitlines()[-1])
    if found["before"] == found["after"]:
        return "nothing pruned, no error"
    verdict = "ok" if found["error"] <= LIMIT else "**wrong**"
    return f"{found['before'] / 1e6:.1f} → {found['after'] / 1e6:.1f} M, error {found['error']:.1e} {verdict}"


def main() -> None:
    """Run the table, or one part of it in this process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(BUILD))
    parser.add_argument("--skip-torch-pruning", action="store_true")
    parser.add_argument("--reload", nargs=2)
    parser.add_argument("--torch-pruning")
    parser.add_argument("--ours")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.reload:
        print(json.dumps({"difference": reload(args.reload[0], Path(args.reload[1]))}))
    elif args.torch_pruning:
        print(json.dumps(torch_pruning(args.torch_pruning)))
    elif args.ours:
        print(json.dumps(ours(args.ours)))
    else:
        print(
            "| network | axes cut | parameters | error (limit 1e-5) | reload, fresh process | Torch-Pruning, unaided |"
        )
        print("|---|---|---|---|---|---|")
        for name in args.only:
            told = subprocess.run(
                [sys.executable, __file__, "--ours", name], capture_output=True, text=True, check=False
            )
            if told.returncode:
                print(f"| {name} | failed: {told.stderr.strip().splitlines()[-1]} | | | | |", flush=True)
                continue
            one = json.loads(told.stdout.splitlines()[-1])
            other = "not run" if args.skip_torch_pruning else _other(name)
            sizes = f"{one['before'] / 1e6:.1f} → {one['after'] / 1e6:.1f} M"
            print(
                f"| {name} | {one['axes']} | {sizes} | {one['error']:.1e} | {one['reloaded']} | {other} |", flush=True
            )


if __name__ == "__main__":
    main()
