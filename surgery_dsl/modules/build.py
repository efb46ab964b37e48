"""Modules from data: what a result directory may ask for, and nothing else.

A :class:`~surgery_dsl.interface.edits.ModuleSpec` names a public class of ``torch.nn`` or one of
:mod:`surgery_dsl.modules`; its arguments are JSON. Nothing is unpickled or evaluated, and no other module is imported.
"""

import importlib
import inspect
import pkgutil
import re
from functools import cache
from typing import Any

import torch
from torch import nn

from surgery_dsl.interface.edits import ModuleSpec

OWN = "surgery_dsl."
TORCH = "torch.nn."


class RefusedModule(ValueError):
    """A specification that names no class that may be built, or arguments that the class does not take."""


def build(spec: ModuleSpec, device: torch.device | str = "cpu", dtype: torch.dtype | None = None) -> nn.Module:
    """Build a module.

    Args:
        spec: Class and keyword arguments; lists become tuples.
        device: Where its tensors stand; ``meta`` makes no values.
        dtype: Dtype of its floating-point tensors; ``None`` is torch's default.

    Values are those of the class's own initialisation from a fixed seed, drawn on the CPU: equal for equal
    specifications on every device. The global random state is as before.

    Raises:
        RefusedModule: The class may not be built, or does not take the arguments.
    """
    kind = _find(spec.type)
    arguments = {name: _argument(value) for name, value in spec.arguments.items()}
    signature = inspect.signature(kind).parameters
    odd = sorted(name for name in arguments if name not in signature or name in ("device", "dtype"))
    if odd:
        raise RefusedModule(f"{spec.type} takes no arguments {', '.join(odd)}")
    if dtype is not None and "dtype" in signature:
        arguments["dtype"] = dtype
    place = torch.device(device)
    with torch.random.fork_rng(devices=[]), torch.device("meta" if place.type == "meta" else "cpu"):
        torch.manual_seed(0)
        try:
            module = kind(**arguments)
        except (TypeError, ValueError, RuntimeError, AttributeError, AssertionError) as error:
            raise RefusedModule(f"{spec.type} cannot be built from {spec.arguments}: {error}") from error
    return module.to(device=place) if dtype is None else module.to(device=place, dtype=dtype)


def _argument(value: Any) -> Any:
    return tuple(_argument(item) for item in value) if isinstance(value, list) else value


def _find(name: str) -> type[nn.Module]:
    kind: Any = None
    if name.startswith(TORCH):
        short = name.removeprefix(TORCH)
        kind = getattr(nn, short, None) if re.fullmatch(r"[A-Z]\w*", short, re.ASCII) else None
    elif name.startswith(OWN):
        file = _snake(name.removeprefix(OWN))
        if file in _files():
            kind = getattr(importlib.import_module(f"surgery_dsl.modules.{file}"), name.removeprefix(OWN), None)
    if not (isinstance(kind, type) and issubclass(kind, nn.Module)) or kind is nn.Module:
        raise RefusedModule(f"{name} is no class that may be built: only torch.nn's own and surgery_dsl's")
    return kind


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


@cache
def _files() -> frozenset[str]:
    from surgery_dsl import modules

    return frozenset(found.name for found in pkgutil.iter_modules(modules.__path__))
