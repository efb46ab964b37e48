"""Digests and cheap marks of live tensors: how the run tells what a step touched."""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from surgery_dsl.kernels.differences import digest


def named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield every name of every parameter and buffer, names of tied tensors included."""
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def digests(model: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """Return the digest of each named tensor."""
    tensors = dict(named_tensors(model))
    return {name: digest(tensors[name]) for name in names}


Mark = tuple[int, int, int, tuple[int, ...], torch.dtype]


def marks(model: nn.Module) -> dict[str, Mark]:
    """Return, for each tensor, what changes when it is replaced, moved or written in place.

    The identity of the object, the address of its memory, torch's version counter (every in-place write raises it),
    shape and dtype: constant time a tensor, so that it can be asked after every step.
    """
    return {
        name: (id(tensor), tensor.data_ptr() if tensor.device.type != "meta" else 0, _version(tensor), *_form(tensor))
        for name, tensor in named_tensors(model)
    }


def _version(tensor: Tensor) -> int:
    return 0 if tensor.is_inference() else tensor._version


def _form(tensor: Tensor) -> tuple[tuple[int, ...], torch.dtype]:
    return tuple(tensor.shape), tensor.dtype
