"""timm as a host: what the arguments of an architecture can say, written so that ``timm.create_model`` loads it."""

import inspect
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from surgery_dsl.run.host_facts import Build, Built, Config
from surgery_dsl.run.host_view import built

HIDDEN = "mlp_ratio * embed_dim"
"""The width that a ratio gives, in the place of the ratio: sizes follow from whole numbers."""


def problem(model: nn.Module) -> str:
    """Return why timm does not build a network by a name; empty where it does."""
    try:
        with quiet():
            import timm
    except ImportError as error:
        return f"the package `timm` cannot be imported: {error}"
    name = architecture(model)
    if not name or not timm.is_model(name):
        return f"the network is a {type(model).__name__}, which no name of timm stands for"
    return ""


def architecture(model: Any) -> str:
    """Return the name that timm builds a network by; empty where there is none."""
    settings = getattr(model, "pretrained_cfg", None)
    name = settings.get("architecture") if isinstance(settings, Mapping) else getattr(settings, "architecture", None)
    return name if isinstance(name, str) else ""


def plain_arguments(model: nn.Module, given: Mapping[str, Any]) -> Config:
    """Return the numbers that a network's class was built with, and the lists of numbers.

    Args:
        model: The network.
        given: The arguments that the plan gives ``timm.create_model``.
    """
    seen: list[dict[str, Any]] = []
    kind: Any = type(model)
    original = kind.__init__

    def watch(self: Any, *arguments: Any, **more: Any) -> None:
        if type(self) is kind and not seen:
            bound = inspect.signature(original).bind(self, *arguments, **more)
            bound.apply_defaults()
            seen.append({**bound.arguments, **bound.arguments.get("kwargs", {})})
        original(self, *arguments, **more)

    kind.__init__ = watch
    try:
        create(architecture(model), given, "meta")
    finally:
        kind.__init__ = original
    config: Config = {}
    for name, value in (seen[0] if seen else {}).items():
        if type(value) is int:
            config[name] = value
        elif isinstance(value, list | tuple) and value and all(type(item) is int for item in value):
            config[name] = list(value)
    ratio, width = (seen[0].get("mlp_ratio"), config.get("embed_dim")) if seen else (None, None)
    if isinstance(ratio, int | float) and type(width) is int:
        config.pop("mlp_ratio", None)
        config[HIDDEN] = int(width * ratio)
    return config


def arguments_of(config: Config, before: Config) -> Config:
    """Return what ``timm.create_model`` is given for a config: what differs, the ratio as a ratio again."""
    changed = {name: value for name, value in config.items() if value != before.get(name) and name != HIDDEN}
    if HIDDEN in config and (config[HIDDEN] != before[HIDDEN] or "embed_dim" in changed):
        # A quarter more than the width: timm rounds the product down.
        changed["mlp_ratio"] = (config[HIDDEN] + 0.25) / config["embed_dim"]
    return changed


def builder(model: nn.Module, given: Mapping[str, Any], places: tuple[tuple[str, str], ...]) -> Build:
    """Return what builds networks like one from other numbers, on ``meta``."""
    name, before = architecture(model), plain_arguments(model, given)

    def build(config: Config) -> Built | None:
        try:
            return built(create(name, {**given, **arguments_of(config, before)}, "meta"), places)
        except Exception:  # noqa: BLE001 - numbers that make no sense fail in any way, and say so by that
            return None

    return build


def create(name: str, arguments: Mapping[str, Any], device: str) -> nn.Module:
    """Build a network of timm."""
    import timm

    with torch.device(device), quiet():
        network: nn.Module = timm.create_model(name, **{**deepcopy(dict(arguments)), "pretrained": False})
    return network


def write_config(folder: Path, original: Any, arguments: Config) -> None:
    """Write ``config.json`` as timm does for the hub, with the arguments of the result."""
    from timm.models._hub import save_config_for_hf

    classes = arguments.get("num_classes", getattr(original, "num_classes", None))
    with quiet():
        save_config_for_hf(
            original,
            str(folder / "config.json"),
            model_config={"num_classes": classes} if classes is not None else None,
            model_args=arguments,
        )
    json.loads((folder / "config.json").read_text(encoding="utf-8"))  # it is what it should be


def load(folder: Path) -> nn.Module:
    """Load a result by timm alone; raise whatever it raises."""
    import timm

    with quiet():
        network: nn.Module = timm.create_model(f"local-dir:{folder}", pretrained=True)
    return network


@contextmanager
def quiet() -> Iterator[None]:
    """Quiet the logger and the warnings of timm."""
    logger = logging.getLogger("timm")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)
