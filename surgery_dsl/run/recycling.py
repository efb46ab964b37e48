"""Memory of tensors that were given up, for those that an edit makes next.

Fresh memory costs a visit of the system for each page, and giving memory back costs another; together they take longer
than gathering what goes into it. So the memory of a replaced tensor is cut up for later results of the same edit, where
these fill it: nothing is held back that the edit would not have taken anyway.
"""

from collections.abc import Callable, Sequence
from math import prod

import torch
from torch import Tensor

LEAST = 1 << 20
"""Bytes of a tensor from which on its memory is worth keeping."""
ALIGNED = 64
_users: Callable[[int], int] | None = getattr(torch._C, "_storage_Use_Count", None)


class Recycler:
    """The memory that one edit has left over. Final; the CPU's alone."""

    def __init__(self, wanted: Sequence[int]) -> None:
        """Begin with nothing.

        Args:
            wanted: Bytes of each result that the edit will ask for, in order.
        """
        self._wanted = list(wanted)
        self._spare: memoryview | None = None

    def empty(self, shape: Sequence[int], like: Tensor) -> Tensor:
        """Return the next result, not yet filled: contiguous, in storage of exactly its size."""
        if self._wanted:
            self._wanted.pop(0)
        size = prod(shape) * like.element_size()
        if self._spare is None or like.device.type != "cpu" or not 0 < size <= len(self._spare):
            return torch.empty(tuple(shape), dtype=like.dtype, device=like.device)
        taken = self._spare[:size]
        rest = self._spare[-(-size // ALIGNED) * ALIGNED :]
        self._spare = rest if len(rest) else None
        return torch.frombuffer(taken, dtype=like.dtype).view(tuple(shape))

    def give(self, memory: Tensor) -> None:
        """Take over the memory of a tensor that nobody needs any more.

        It is left alone, and so goes back to the system, where something else still shows it, or where the results to
        come would not fill it.

        Args:
            memory: The last tensor that shows it.
        """
        if self._spare is not None and len(self._spare) >= LEAST:
            return
        if memory.device.type != "cpu" or not memory.is_contiguous() or _users is None:
            return
        storage = memory.untyped_storage()
        size = storage.nbytes()
        if size < LEAST or memory.nbytes != size or _users(storage._cdata) > 2:  # `memory` and `storage`
            return
        if sum(one for one in self._wanted if one <= size) >= size:
            self._spare = memoryview(memory.reshape(-1).view(torch.uint8).numpy().data)
