"""What a host needs beside the weights to load a result by itself, and loading it so in a clean process."""

import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from surgery_dsl.diagnostics.codes import hosts, runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.edits import ArrangeModules, DropModules, Edit
from surgery_dsl.interface.host_solution import Solution, solve
from surgery_dsl.interface.hosts import HostFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.run import timm_host
from surgery_dsl.run.host_facts import Built, Config, replaced
from surgery_dsl.run.host_view import built
from surgery_dsl.run.hosts import LABELS, builder, plain_config, quiet
from surgery_dsl.run.memory import in_own_memory

CONFIG = "config.json"
COMPANIONS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "spiece.model",
    "chat_template.jinja",
    "preprocessor_config.json",
    "processor_config.json",
)
"""Files beside a host's weights that surgery on the network leaves as they are."""


def write_host_files(
    folder: Path,
    model: nn.Module,
    original: Any,
    facts: HostFacts,
    base: Interface,
    interface: Interface,
    edits: Iterable[Edit],
    given: Mapping[str, Any] | None = None,
) -> str:
    """Write ``config.json``, and what else belongs to the network, for its host.

    Args:
        folder: The result.
        model: The network after surgery.
        original: The network before, with its config; without memory.
        facts: What its config could say before.
        base: Its interface before.
        interface: Its interface now.
        edits: What was done to its structure.
        given: The arguments that the plan gives ``timm.create_model``.

    Returns:
        What loads the result: ``transformers.LlamaForCausalLM.from_pretrained``, ``timm.create_model``.

    Raises:
        Refused: The config cannot say it (SD802).
    """
    if (folder / CONFIG).exists():  # a source of the network: the reload builds the original from it
        raise Refused(
            Diagnostic(
                runs.OUTPUT_IN_THE_WAY,
                f"the result needs the original `{CONFIG}` at the place of its own",
                help="put the plan beside the checkpoint's directory, not into it",
            )
        )
    solution = solve(facts, base, interface)
    if solution.misfits:
        raise Refused(_inexpressible(solution.misfits[0].message))
    if facts.host == "timm":
        return _write_timm(folder, model, original, facts, solution, list(edits), given or {})
    return _write_transformers(folder, model, original, facts, solution, list(edits))


def _write_timm(
    folder: Path,
    model: nn.Module,
    original: Any,
    facts: HostFacts,
    solution: Solution,
    edits: list[Edit],
    given: Mapping[str, Any],
) -> str:
    before = timm_host.plain_arguments(original, given)
    config = new_config(before, facts, solution, edits)
    looks = timm_host.builder(original, given, ())(config)
    _refuse_other_shapes(looks, model)
    timm_host.write_config(folder, original, {**given, **timm_host.arguments_of(config, before)})
    return "timm.create_model"


def _write_transformers(
    folder: Path, model: nn.Module, original: Any, facts: HostFacts, solution: Solution, edits: list[Edit]
) -> str:
    config = new_config(plain_config(original), facts, solution, edits)
    network, config_class = type(original), type(original.config)
    _refuse_other_shapes(builder(network, config_class, ())(config), model)
    written = config_class.from_dict(_with_labels(config, original))
    written.architectures = [network.__name__]
    written.dtype = str(next((p.dtype for p in model.parameters()), torch.float32)).removeprefix("torch.")
    # The whole config, defaults too: a default that is derived from other fields would be derived from the new ones.
    fields = {**json.loads(written.to_json_string(use_diff=False)), "architectures": written.architectures}
    (folder / CONFIG).write_text(json.dumps(fields, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    if callable(getattr(original, "can_generate", None)) and original.can_generate():
        with quiet():
            original.generation_config.save_pretrained(folder)
    return f"transformers.{network.__name__}.from_pretrained"


def _refuse_other_shapes(looks: Built | None, model: nn.Module) -> None:
    shapes = built(model, ()).shapes
    if looks is None or looks.shapes != shapes:
        raise Refused(_inexpressible(_difference(looks.shapes if looks else {}, shapes)))


def new_config(config: Config, facts: HostFacts, solution: Solution, edits: list[Edit]) -> Config:
    """Return a config with the numbers of a solution: fields, lists with an entry a layer, the flag of ties."""
    config = deepcopy(config)
    for name, path in facts.per_layer.items():
        kept = kept_entries(path, len(_entry(config, name)), edits)
        config = replaced(config, {name: [_entry(config, name)[number] for number in kept]})
    values: dict[str, Any] = dict(solution.values)
    if solution.untied:
        values[facts.tie] = False
    known = {name: value for name, value in values.items() if not _beyond(config, name)}
    return replaced(config, known)


def kept_entries(path: str, count: int, edits: Iterable[Edit]) -> list[int]:
    """Return which entries of a list of modules are left, by what they were called at first."""
    kept = list(range(count))
    for edit in edits:
        if isinstance(edit, ArrangeModules) and path in edit.lists:
            kept = [kept[number] for number in edit.lists[path]]
        elif isinstance(edit, DropModules):
            names = (dropped.removeprefix(f"{path}.") for dropped in edit.paths if dropped.startswith(f"{path}."))
            gone = {int(name) for name in names if name.isdecimal()}
            kept = [entry for position, entry in enumerate(kept) if position not in gone]
    return kept


def copy_companions(origin: Path, folder: Path) -> None:
    """Copy tokenizers and the like from the directory that a host's network came from."""
    import shutil

    for name in COMPANIONS:
        if (origin / name).is_file() and not (folder / name).exists():
            shutil.copyfile(origin / name, folder / name)


def load_by_host(folder: Path, attention: str, device: str) -> nn.Module:
    """Load a result by its host alone.

    Raises:
        ValueError: The host leaves something out, or finds something left over.
    """
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if "architectures" not in config:
        return timm_host.load(folder).to(device).eval()
    import transformers

    name = config["architectures"][0]
    more: dict[str, Any] = {"attn_implementation": attention} if attention else {}
    with quiet():
        model, report = getattr(transformers, name).from_pretrained(
            folder, local_files_only=True, output_loading_info=True, dtype="auto", **more
        )
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs"):
        if report.get(kind):
            raise ValueError(f"{kind.replace('_', ' ')}: {', '.join(map(str, list(report[kind])[:3]))}")
    network: nn.Module = in_own_memory(model.to(device).eval())
    return network


def attention_of(model: nn.Module) -> str:
    """Return which implementation of attention a network of ``transformers`` was built with; it is not saved."""
    name = getattr(getattr(model, "config", None), "_attn_implementation", "")
    return name if isinstance(name, str) else ""


def _entry(config: Config, name: str) -> list[Any]:
    holder: Any = config
    for step in name.split("."):
        holder = holder[step]
    entries: list[Any] = holder
    return entries


def _beyond(config: Config, name: str) -> bool:
    """Whether a name is an entry of a list that is no longer as long."""
    *way, last = name.split(".")
    holder: Any = config
    for step in way:
        holder = holder[int(step)] if isinstance(holder, list) else holder.get(step, {})
    return isinstance(holder, list) and int(last) >= len(holder)


def _with_labels(config: Config, model: Any) -> Config:
    """Put the names of labels back where their number stayed."""
    original = model.config.to_dict()
    if isinstance(original.get("id2label"), dict) and config.get("num_labels") == len(original["id2label"]):
        config = {name: value for name, value in config.items() if name != "num_labels"}
        config |= {name: original[name] for name in LABELS}
    return config


def _difference(given: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]) -> str:
    for name in found:
        if given.get(name) != found[name]:
            return f"`{name}` is {list(found[name])}, and the new config gives {list(given.get(name, ()))}"
    return "the new config builds tensors that the result does not have"


def _inexpressible(why: str) -> Diagnostic:
    return Diagnostic(
        hosts.HOST_CANNOT_EXPRESS,
        f"the result cannot load by its `target`: {why}",
        help="write `target = none`: `surgery_dsl.load` loads every result",
    )
