"""Setting an integer that a module's forward reads, wherever the module keeps it.

Dots lead through plain objects and into tuples and lists: ``num_heads``, ``normalized_shape.0``,
``config.num_attention_heads``. Plain objects may be shared (one config for all layers), so the module gets a shallow
copy of its own before the number changes; other readers keep theirs.
"""

import copy
from typing import Any

from torch import nn


class NoSuchInteger(ValueError):
    """The module has no integer of that name."""


def set_integer(module: nn.Module, attribute: str, value: int) -> None:
    """Set an integer attribute.

    Args:
        module: The module that reads it.
        attribute: Its name, with dots where it lies deeper.
        value: The new number.

    Raises:
        NoSuchInteger: There is no such integer.
    """
    name, *way = attribute.split(".")
    if name.startswith("__") or not hasattr(module, name):
        raise NoSuchInteger(f"{type(module).__name__} has no attribute {name}")
    setattr(module, name, _replaced(getattr(module, name), tuple(way), value, attribute))


def _replaced(old: Any, way: tuple[str, ...], value: int, whole: str) -> Any:
    if not way:
        if not isinstance(old, int) or isinstance(old, bool):
            raise NoSuchInteger(f"{whole} is no integer")
        return value
    step, *rest = way
    if type(old) in (tuple, list):
        if not step.isdecimal() or int(step) >= len(old):
            raise NoSuchInteger(f"{whole}: there is no entry {step}")
        at = int(step)
        return type(old)(_replaced(item, tuple(rest), value, whole) if i == at else item for i, item in enumerate(old))
    plain = not isinstance(old, nn.Module | type) and isinstance(getattr(old, "__dict__", None), dict)
    if step.startswith("__") or not plain or not hasattr(old, step):
        raise NoSuchInteger(f"{whole}: there is no {step}")
    own = copy.copy(old)
    vars(own)[step] = _replaced(getattr(old, step), tuple(rest), value, whole)
    return own
