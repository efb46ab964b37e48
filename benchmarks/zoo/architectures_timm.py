"""Families of timm, each by its smallest variant, made smaller; the table stands in ``architectures_timm.toml``."""

import copy
import importlib
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.zoo import vision_stub
from benchmarks.zoo.networks import Architecture, Input

CLASSES = 11


def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def skipped() -> dict[str, str]:
    """Return why families of timm are not in the zoo."""
    found: dict[str, str] = _table().get("skipped", {})
    return found


def architectures() -> list[Architecture]:
    """Return the architectures of timm in the zoo."""
    return [
        Architecture(
            f"timm/{family}",
            "timm",
            entry.get("kind", "timm"),
            _builder(family, entry),
            {"x": Input((entry.get("batch", 2), 3, entry["size"], entry["size"]))},
        )
        for family, entry in _table()["architectures"].items()
    ]


def _builder(family: str, entry: Mapping[str, Any]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        vision_stub.install()
        import timm

        settings = copy.deepcopy(dict(entry.get("config", {})))
        if "class" in entry:  # its variants fix what is to be smaller
            kind = getattr(importlib.import_module(f"timm.models.{family}"), entry["class"])
            model: nn.Module = kind(num_classes=CLASSES, **settings)
            return model
        built: nn.Module = timm.create_model(entry["model"], num_classes=CLASSES, **settings)
        return built

    return build
