"""A model on fake tensors: the same module objects, for a while without weights."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from surgery_dsl.trace.keeping import unchanged
from surgery_dsl.trace.memo import MemoizedFakes, as_parameter
from surgery_dsl.trace.quiet import quieten
from surgery_dsl.trace.walking import modules_of, named_modules


def tensors_of(model: nn.Module) -> Iterator[tuple[str, Tensor, bool, bool]]:
    """Yield (name, tensor, is parameter, persistent) of every parameter, then every buffer, duplicates included."""
    modules = [(path and path + ".", module) for path, module in named_modules(model, duplicates=True)]
    for prefix, module in modules:  # as named_parameters does, which would walk all modules again
        for name, parameter in module._parameters.items():
            if parameter is not None:
                yield prefix + name, parameter, True, True
    for prefix, module in modules:
        for name, buffer in module._buffers.items():
            if buffer is not None:
                yield prefix + name, buffer, False, name not in module._non_persistent_buffers_set


def memory_key(tensor: Tensor) -> tuple[int, ...]:
    """Return what two tensors have in common that are one piece of memory."""
    if tensor.is_meta or tensor.layout is not torch.strided or not tensor.numel():
        return (id(tensor),)
    storage = tensor.untyped_storage()._cdata
    return (storage, tensor.storage_offset(), *tensor.shape, -1, *tensor.stride())


@contextmanager
def fake_mode() -> Iterator[MemoizedFakes]:
    """Let tensors be fake; what fails inside is raised, not also logged."""
    logger = logging.getLogger("torch._subclasses.fake_tensor")
    disabled = logger.disabled
    logger.disabled = True
    try:
        with MemoizedFakes() as mode, _idle_conversions(), _written_as_numbers():
            yield mode
    finally:
        logger.disabled = disabled


@contextmanager
def _idle_conversions() -> Iterator[None]:
    """Let ``module.to(dtype)`` in a forward do nothing where it changes nothing.

    torch swaps the parameters of a module that is converted where they are fake, even for themselves, and cannot.
    """
    original = nn.Module._apply

    def apply(module: nn.Module, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> nn.Module:
        tensors = [*module.parameters(recurse), *module.buffers(recurse)]
        if all(isinstance(tensor, FakeTensor) and fn(tensor) is tensor for tensor in tensors):
            return module
        converted: nn.Module = original(module, fn, recurse)  # type: ignore[no-untyped-call]
        return converted

    nn.Module._apply = apply  # type: ignore[method-assign]
    try:
        yield
    finally:
        nn.Module._apply = original  # type: ignore[method-assign]


@contextmanager
def _written_as_numbers() -> Iterator[None]:
    """Let a tensor of one number be written into text (``f"expert_{index}"``) as the number, as one with a value is."""

    def written(tensor: FakeTensor, form: str) -> str:
        return format(tensor.item(), form) if tensor.dim() == 0 else object.__format__(tensor, form)

    FakeTensor.__format__ = written  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del FakeTensor.__format__


@contextmanager
def in_eval_mode(model: nn.Module) -> Iterator[None]:
    """Set every module to eval mode, and put every attribute of every module back afterwards.

    Configs of transformers give settings for the time: no caches in the result, and experts computed in one batch.
    """
    with unchanged(model):
        modules = modules_of(model)
        for module in modules:
            module.training = False
        quieten(modules)
        yield


def swap(
    model: nn.Module,
    shapes: Mapping[str, tuple[int, ...]] | None = None,
    device: torch.device | str = "cpu",
    mode: MemoizedFakes | None = None,
) -> dict[str, Tensor]:
    """Put other tensors in the place of all tensors of a model; return them by name. Ties are kept.

    To be called inside :func:`in_eval_mode`, which puts the real ones back. With the ``mode`` of :func:`fake_mode`,
    they are fake. ``shapes`` gives other shapes by name, for a trial: without a mode, the real values then stand in
    the lower corner of larger tensors of zeros on ``device``, so that the forward takes the same way.
    """
    made: dict[tuple[int, ...], Tensor] = {}
    by_id: dict[int, Tensor] = {}
    names: dict[str, Tensor] = {}
    for name, real, is_parameter, _ in tensors_of(model):
        key = memory_key(real)
        if key not in made:
            shape = tuple(real.shape) if shapes is None else shapes[name]
            if mode is not None:
                made[key] = mode.empty(shape, real.dtype)
                if is_parameter:
                    made[key] = as_parameter(made[key], real.requires_grad)
            else:
                empty = torch.zeros(shape, dtype=real.dtype, device=device)
                if not real.is_meta and shapes is not None:
                    empty[tuple(slice(0, size) for size in real.shape)] = real.detach()
                made[key] = nn.Parameter(empty, requires_grad=real.requires_grad) if is_parameter else empty
        by_id[id(real)] = names[name] = made[key]
    for module in modules_of(model):
        for box in (module._parameters, module._buffers):
            for attribute, tensor in box.items():
                if tensor is not None:
                    box[attribute] = by_id[id(tensor)]  # type: ignore[assignment]
        for attribute, value in list(vars(module).items()):
            if attribute not in ("_parameters", "_buffers"):
                vars(module)[attribute] = _swapped(value, by_id)
    return names


@contextmanager
def made_up(model: nn.Module) -> Iterator[None]:
    """Give a model on the meta device values for a while: small random weights, norms that scale by one."""
    with unchanged(model), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        with torch.no_grad():
            for name, tensor in swap(model).items():
                if not tensor.is_floating_point():
                    continue
                if tensor.dim() > 1:
                    tensor.normal_(0.0, 0.02)
                elif name.endswith(("weight", "running_var", "scale", "gamma")):
                    tensor.fill_(1.0)
        yield


def elements_of(model: nn.Module) -> int:
    """Return the number of elements of all parameters and buffers, tied ones once."""
    return sum({memory_key(tensor): tensor.numel() for _, tensor, _, _ in tensors_of(model)}.values())


def _swapped(value: Any, by_id: dict[int, Tensor]) -> Any:
    """Replace tensors that a module keeps elsewhere too: an RNN's flat list, a plain attribute."""
    if isinstance(value, Tensor):
        if id(value) in by_id:
            return by_id[id(value)]
        return value if value.device.type == "cpu" else torch.empty(value.shape, dtype=value.dtype, device="cpu")
    if type(value) in (list, tuple) and value and all(isinstance(item, Tensor) for item in value):
        return type(value)(_swapped(item, by_id) for item in value)
    return value
