"""A network whose parameters have no memory, while all else has its values."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from surgery_dsl.run.digests import named_tensors


@contextmanager
def without_parameters() -> Iterator[None]:
    """Let modules that are built keep their parameters on ``meta``.

    A parameter has memory of its own only until its module takes it; buffers are what the code makes them. A network
    that is built on ``meta`` as a whole would lose the buffers that no file holds.
    """
    original = nn.Module.register_parameter

    def register(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        original(self, name, param if param is None else _light(param))

    nn.Module.register_parameter = register  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module.register_parameter = original  # type: ignore[method-assign]


def _light(param: nn.Parameter) -> nn.Parameter:
    if param.is_meta:
        return param
    light: Any = getattr(param, "_without_memory", None)
    if light is None:  # the same parameter in two places stays one
        light = nn.Parameter(torch.empty_like(param, device="meta"), requires_grad=param.requires_grad)
        param._without_memory = light  # type: ignore[attr-defined]
    return light  # type: ignore[no-any-return]


def lighten(model: nn.Module, names: Iterator[str]) -> None:
    """Take the memory of the named tensors, which stand in a file; ties are kept."""
    wanted = set(names)
    light: dict[int, Tensor] = {}
    for name, tensor in list(named_tensors(model)):
        if name in wanted and not tensor.is_meta:
            light[id(tensor)] = torch.empty_like(tensor, device="meta")
    for module in model.modules():
        for attribute, held in (*module._parameters.items(), *module._buffers.items()):
            if held is not None and id(held) in light:
                setattr(module, attribute, light[id(held)])
