"""The reference: a network's own forward in which some entries of its tensors do not exist.

Every tensor may carry a mask that says which of its entries are alive. Masks start at the parameters and buffers that
a removal would cut and flow through the forward at full size, one ATen call at a time: sums run over living
entries, means and norms divide by the number of living entries, softmax and maxima do not see the dead ones, and what
is made of dead entries is dead. Nothing here knows axes, products of axes, couplings or integers: a removal that cuts
other entries than the arithmetic connects gives another result than this reference.

The masks belong to memory, not to tensor objects, so views and writes in place need no rules of their own.

All floating-point casts go to float64 while the mode is on: norms that compute in float32 would hide what is wrong.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class NoRule(Exception):
    """The reference does not know an operator on tensors with dead entries; the message names it."""


class Masks:
    """Which entries of which memory are alive."""

    def __init__(self) -> None:
        self._found: dict[int, tuple[Any, Tensor, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def get(self, tensor: Tensor) -> Tensor | None:
        """Return the mask of a tensor as a view, ``None`` where all of it is alive."""
        if tensor.layout is not torch.strided:
            return None
        found = self._found.get(tensor.untyped_storage()._cdata)
        return None if found is None else _view(tensor, found[1], found[2])

    def alive(self, tensor: Tensor) -> Tensor:
        """Return the mask of a tensor, all true where it has none."""
        mask = self.get(tensor)
        return torch.ones(tensor.shape, dtype=torch.bool) if mask is None else mask

    def put(self, tensor: Tensor, mask: Tensor) -> None:
        """Set the mask of a tensor, and so of all that shares its memory."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._found:
            if bool(mask.all()):
                return
            unit = tensor.itemsize // (2 if tensor.is_complex() else 1)
            everything = torch.ones(max(storage.nbytes() // unit, 1), dtype=torch.bool)
            self._found[storage._cdata] = (storage, everything, unit)
        _, everything, unit = self._found[storage._cdata]
        _view(tensor, everything, unit).copy_(mask.expand(tensor.shape))

    def living(self, tensor: Tensor, fill: float) -> Tensor:
        """Return the tensor with ``fill`` in the place of dead entries."""
        mask = self.get(tensor)
        if mask is None:
            return tensor
        if tensor.dtype is torch.bool:
            return torch.where(mask, tensor, bool(fill))
        if not tensor.dtype.is_floating_point and fill in (float("inf"), -float("inf")):
            limits = torch.iinfo(tensor.dtype)
            fill = limits.max if fill > 0 else limits.min
        return torch.where(mask, tensor, torch.tensor(fill, dtype=tensor.dtype))


def _view(tensor: Tensor, everything: Tensor, unit: int) -> Tensor:
    factor, rest = divmod(tensor.itemsize, unit)
    if rest:
        raise NoRule("a view as a smaller dtype")
    strides = [stride * factor for stride in tensor.stride()]
    return everything.as_strided(tensor.shape, strides, tensor.storage_offset() * factor)


class Living(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The mode under which the reference runs; without masks it only widens floating-point casts."""

    def __init__(self, masks: Masks | None = None, widen: bool = True) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.masks = Masks() if masks is None else masks
        self.widen = widen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one ATen call on living entries."""
        from benchmarks.zoo.living_rules import apply

        kwargs = dict(kwargs or {})
        if self.widen and kwargs.get("dtype") in FLOATS:
            kwargs["dtype"] = torch.float64
        masks = self.masks
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)] if masks else []
        if all(masks.get(tensor) is None for tensor in tensors) or is_view(func):
            return func(*args, **kwargs)
        return apply(func, args, kwargs, masks)


_MADE_VIEWS = ("_unsafe_view", "_local_scalar_dense", "equal", "as_strided_", "resize_")
_VIEWS: dict[Any, bool] = {}


def is_view(func: Any) -> bool:
    """Say whether what an operator returns shares memory with what it is given, unwritten."""
    if func not in _VIEWS:
        infos = [result.alias_info for result in func._schema.returns]
        alias = bool(infos) and all(info is not None and not info.is_write for info in infos)
        _VIEWS[func] = alias or func.overloadpacket.__name__ in _MADE_VIEWS
    return _VIEWS[func]
