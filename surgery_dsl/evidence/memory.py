"""How much memory a forward holds at once, seen while it runs."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


def peak_bytes(model: nn.Module, inputs: "tuple[Tensor, ...]", forward: Callable[[], object]) -> int:
    """Return the most bytes that tensors held at once while a forward ran, without gradients.

    Counted are parameters, buffers, the inputs, and every storage that operators brought in, for as long as it lived;
    not what kernels hold inside while they run. On a GPU the allocator's own count of what was handed out beyond what
    was there before, plus parameters, buffers and inputs: that includes the workspaces of kernels.
    """
    own = {t.untyped_storage()._cdata: t.untyped_storage() for t in (*model.parameters(), *model.buffers())}
    # a batch is a part of its data set, which is none of the network's memory
    known = sum(storage.nbytes() for storage in own.values()) + sum(tensor.nbytes for tensor in inputs)
    device = next((tensor.device for tensor in (*inputs, *model.parameters())), torch.device("cpu"))
    with torch.no_grad():
        if device.type == "cuda":
            torch.cuda.synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            before = torch.cuda.memory_allocated(device)
            forward()
            torch.cuda.synchronize(device)
            return known + max(0, torch.cuda.max_memory_allocated(device) - before)
        mode = _Alive(set(own) | {tensor.untyped_storage()._cdata for tensor in inputs})
        with mode:
            forward()
    return known + mode.peak


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the bytes of all storages that operators brought in and that are still there."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = known
        self._sizes: dict[int, int] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a call; count what it wrote."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self._sizes and storage._cdata not in self._known:
                    self._sizes[storage._cdata] = storage.nbytes()
                    weakref.finalize(storage, self._sizes.pop, storage._cdata, 0)
        self.peak = max(self.peak, sum(self._sizes.values()))
        return result
