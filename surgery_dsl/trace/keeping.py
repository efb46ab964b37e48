"""Leaving a model as it was: its attributes, and what lies in the containers and plain objects that they hold."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from operator import is_
from types import FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

from surgery_dsl.trace.walking import modules_of

_DEPTH = 3
"""How deep plain objects are looked into: a module's config, its parts, and theirs."""

_CONTAINERS = (dict, OrderedDict, list, set)
_ANYTHING = object()
"""Stands for what a container may hold afterwards."""
_PLAIN = frozenset((str, int, float, bool, tuple, type(None)))
_CLOSED = (nn.Module, Tensor, type, FunctionType, MethodType, ModuleType, str, int, float, bool, tuple, type(None))


@contextmanager
def unchanged(model: nn.Module, registered: bool = True) -> Iterator[None]:
    """Put back, at the end, every attribute of every module, down to the contents of what plain objects hold.

    Values of tensors are not kept: swap or copy what may be written in place.

    Args:
        model: The model.
        registered: Whether parameters and buffers too are put back as the objects that they were; without, what
            training makes of them stays, and only what no file of weights holds is put back.
    """
    kept: dict[int, tuple[Any, Any]] = {}
    empty: list[Any] = []  # modules have a dozen of them, for hooks
    for module in modules_of(model):
        if not registered:
            for name in ("_parameters", "_buffers"):
                kept[id(vars(module)[name])] = (vars(module)[name], _ANYTHING)
        _keep(vars(module), kept, empty, _DEPTH)
    try:
        yield
    finally:
        for box in filter(None, empty):
            if id(box) not in kept:
                box.clear()
        for box, saved in kept.values():
            _put_back(box, saved)


def _keep(box: Any, kept: dict[int, tuple[Any, Any]], empty: list[Any], depth: int) -> None:
    """Note what is in a container, and in the containers and plain objects inside it."""
    if id(box) in kept:
        return
    kept[id(box)] = (box, box.copy())
    if not depth:
        return
    for value in box.values() if isinstance(box, dict) else box:
        if type(value) in _PLAIN or isinstance(value, _CLOSED):
            continue
        if type(value) in _CONTAINERS:
            if value:
                _keep(value, kept, empty, depth - 1)
            else:
                empty.append(value)
        else:
            fields = getattr(value, "__dict__", None)
            if type(fields) is dict and fields:
                _keep(fields, kept, empty, depth - 1)


def _put_back(box: Any, saved: Any) -> None:
    if saved is _ANYTHING:
        return
    if isinstance(box, dict):
        if len(box) == len(saved) and all(map(is_, box, saved)) and all(map(is_, box.values(), saved.values())):
            return
        if len(box) != len(saved) or any(a is not b for a, b in zip(box, saved, strict=True)):
            box.clear()
        for name, value in saved.items():
            if name not in box or box[name] is not value:
                box[name] = value
    elif isinstance(box, list):
        if len(box) != len(saved) or any(a is not b for a, b in zip(box, saved, strict=True)):
            box[:] = saved
    elif box != saved:
        box.clear()
        box |= saved
