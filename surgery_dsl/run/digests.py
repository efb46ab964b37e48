"""Digests and cheap marks of live tensors: how the run tells what a step touched."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from surgery_dsl.kernels.differences import bits_equal, digest


def named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield every name of every parameter and buffer, names of tied tensors included."""
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def digests(model: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """Return the digest of each named tensor."""
    tensors = dict(named_tensors(model))
    return {name: digest(tensors[name]) for name in names}


@dataclass(frozen=True, slots=True)
class Mark:
    """A tensor at one moment: what changes when it is replaced, moved or written in place.

    Attributes:
        identity: The object, the address of its memory, torch's counter of in-place writes, shape and dtype.
        alias: The same memory: where the object was replaced, its values can still be compared.
    """

    identity: tuple[int, int, int, torch.Size, torch.dtype]
    alias: Tensor

    def still_is(self, tensor: Tensor) -> bool:
        """Whether a tensor is the marked one, or another with the very same bits."""
        if self.identity == _identity(tensor):
            return True
        untouched = self.alias._version == self.identity[2]
        return untouched and bits_equal(self.alias, tensor.detach())


def marks(model: nn.Module, names: Collection[str] | None = None) -> dict[str, Mark]:
    """Mark tensors (all of them where no names are given); no values are read or copied."""
    return {
        name: Mark(_identity(tensor), tensor.detach())
        for name, tensor in named_tensors(model)
        if names is None or name in names
    }


def _identity(tensor: Tensor) -> tuple[int, int, int, torch.Size, torch.dtype]:
    return id(tensor), tensor.data_ptr(), tensor._version, tensor.shape, tensor.dtype
