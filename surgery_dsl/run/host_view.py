"""What a network looks like to one that compares configs: shapes, lists of modules, integers."""

from typing import Any

from torch import nn

from surgery_dsl.interface.paths import ANY
from surgery_dsl.run.digests import named_tensors
from surgery_dsl.run.host_facts import Built
from surgery_dsl.trace.entries import lists_in


def built(model: nn.Module, places: tuple[tuple[str, str], ...]) -> Built:
    """Return what a network looks like."""
    saved = model.state_dict(keep_vars=True).keys()
    modules = dict(model.named_modules(remove_duplicate=False))
    integers = {}
    for path, attribute in places:
        value = _read(modules.get(path), attribute)
        if value is not None:
            integers[path, attribute] = value
    sequences = {
        path: len(module) for path, module in model.named_modules() if isinstance(module, nn.ModuleList | nn.Sequential)
    }
    return Built(
        shapes={name: tuple(tensor.shape) for name, tensor in named_tensors(model) if name in saved},
        lists=sequences | {path: length for path, length in lists_in(model).lengths.items() if path.endswith(ANY)},
        integers=integers,
    )


def _read(holder: Any, attribute: str) -> int | None:
    for step in attribute.split("."):
        if isinstance(holder, list | tuple):
            holder = holder[int(step)] if step.isdecimal() and int(step) < len(holder) else None
        else:
            holder = getattr(holder, step, None)
    return holder if type(holder) is int else None
