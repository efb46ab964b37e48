"""Architectures of transformers, built from tiny configs; the table stands in ``architectures_hf.toml``."""

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks.zoo.networks import Architecture, Input


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def architectures() -> list[Architecture]:
    """Return all architectures of transformers in the zoo."""
    return [
        Architecture(
            name,
            "transformers",
            family,
            _builder(name, {**_table()["bases"].get(entry.get("base"), {}), **entry.get("config", {})}),
            _inputs(entry.get("inputs", "ids")),
            tuple(entry.get("outputs", ["logits"])) or None,
        )
        for family, entries in _table()["architectures"].items()
        for name, entry in entries.items()
    ]


def _inputs(given: str | Mapping[str, Any]) -> dict[str, Input]:
    shapes = _table()["inputs"][given] if isinstance(given, str) else given
    return {name: Input(tuple(shape), dtype, *below) for name, (dtype, shape, *below) in shapes.items()}


def _builder(name: str, settings: Mapping[str, Any]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import transformers

        model: Any = getattr(transformers, name)
        config = model.config_class(**{key: _value(value) for key, value in settings.items()})
        config.use_cache = False
        config.return_dict = True
        built: nn.Module = model(config)
        return built

    return build


def _value(value: Any) -> Any:
    """Return a setting: ``none`` is what TOML has no word for, and configs may change the lists they are given."""
    if isinstance(value, dict):
        return {key: _value(item) for key, item in value.items()}
    return None if value == "none" else list(value) if isinstance(value, list) else value
