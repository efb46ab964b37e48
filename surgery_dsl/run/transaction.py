"""All or nothing: what a run touches is journaled and comes back bit for bit.

At the start a transaction notes the *structure* (for each module object its class and a shallow copy of what it
holds; for each tensor object its memory, ``requires_grad`` and ``grad``), which costs no copy of any tensor. Before
something writes into a tensor in place it says so, and the values are kept: cloned, or, where the tensor still is
what a weights file holds, not at all, because it can be read again. A tensor that an edit *replaced* stays alive
only if nothing else could bring it back; otherwise its memory is given up at once, so that an edit of the whole
network needs memory for one tensor more and not for a second network.

Rolling back restores modules, classes, attributes, hooks, training flags, tensors and the states of the random
number generators, newest first where order matters.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from surgery_dsl.run.digests import named_tensors

Reader = Callable[[], Tensor]
"""Reads the original values of one tensor again, in its own shape and dtype."""


@dataclass(slots=True)
class _Container:
    """A list, dict or set that a module holds, and what was in it."""

    holder: Any
    content: Any

    def restore(self) -> None:
        self.holder.clear()
        if isinstance(self.holder, list):
            self.holder.extend(self.content)
        else:
            self.holder.update(self.content)


@dataclass(slots=True)
class _Object:
    """An object with attributes (a module, or a plain object that one holds), its class, and the attributes."""

    holder: Any
    type: type
    fields: dict[str, Any]

    def restore(self) -> None:
        if type(self.holder) is not self.type:
            self.holder.__class__ = self.type
        self.holder.__dict__.clear()
        self.holder.__dict__.update(self.fields)


@dataclass(slots=True)
class _Memory:
    """A tensor as it was: ``alias`` shares its memory, ``values`` is a clone, ``reader`` brings the values back.

    ``version`` is torch's counter of in-place writes: it tells a write that nobody announced.
    """

    tensor: Tensor
    alias: Tensor | None
    requires_grad: bool
    grad: Tensor | None
    version: int
    reader: Reader | None = None
    values: Tensor | None = None
    written: bool = False

    def restore(self) -> None:
        with torch.no_grad():
            touched = self.written or self.alias is None or self.tensor._version != self.version
            if self.alias is not None:
                self.tensor.data = self.alias
            if self.reader is not None and touched:
                values = self.reader()
                if self.alias is None:
                    self.tensor.data = values
                else:
                    self.tensor.copy_(values)
            elif self.values is not None:
                self.tensor.copy_(self.values)
        if self.tensor.is_leaf and self.tensor.requires_grad != self.requires_grad:
            self.tensor.requires_grad_(self.requires_grad)
        self.tensor.grad = self.grad


def _cuda_states() -> list[Tensor]:
    """Return the random states of CUDA devices, none where CUDA was not used: asking would start it."""
    started: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return torch.cuda.get_rng_state_all() if started else []


@dataclass(slots=True)
class _RandomState:
    torch: Tensor = field(default_factory=torch.get_rng_state)
    cuda: list[Tensor] = field(default_factory=_cuda_states)
    python: Any = field(default_factory=random.getstate)

    def restore(self) -> None:
        torch.set_rng_state(self.torch)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)
        random.setstate(self.python)


class Transaction:
    """A journal of one model. Final.

    Use it as a context manager: leaving the block by an exception (``KeyboardInterrupt`` included) rolls back and
    lets the exception pass.
    """

    def __init__(self, model: nn.Module, readers: Mapping[str, Reader] | None = None) -> None:
        """Note the model's state.

        Args:
            model: The model; it stays the same object.
            readers: For tensors that stand in a file just as they are in memory, how to read them again, by name.
        """
        self.model = model
        self._random = _RandomState()
        self._containers: list[_Container] = []
        self._objects: list[_Object] = []
        self._memories: dict[int, _Memory] = {}
        self._open = True
        self._note_objects()
        self._note_tensors(readers or {})

    # ---- before and while things change ------------------------------------------------------------------------

    def before_write(self, tensors: Iterable[Tensor]) -> None:
        """Keep the values of tensors that are about to be written in place. New tensors need no keeping."""
        for tensor in tensors:
            memory = self._memories.get(id(tensor))
            if memory is None or memory.written:
                continue
            if memory.reader is None:
                memory.values = tensor.detach().clone()
            memory.written = True

    def replaced(self, tensors: Iterable[Tensor]) -> None:
        """Say that the model no longer holds these tensors; what can be read again gives up its memory."""
        for tensor in tensors:
            memory = self._memories.get(id(tensor))
            if memory is not None and memory.reader is not None:
                memory.alias = None
                tensor.data = torch.empty(0, dtype=tensor.dtype, device=tensor.device)

    def release_unused(self) -> None:
        """Call :meth:`replaced` for every tensor that the model no longer holds."""
        held = {id(tensor) for _, tensor in named_tensors(self.model)}
        self.replaced(memory.tensor for key, memory in self._memories.items() if key not in held)

    # ---- the end -----------------------------------------------------------------------------------------------

    def commit(self) -> None:
        """Keep the model as it is now and forget the journal."""
        self._open = False
        self._containers, self._objects, self._memories = [], [], {}

    def rollback(self) -> None:
        """Bring back everything that was noted; does nothing after :meth:`commit` or a first rollback."""
        if not self._open:
            return
        self._open = False
        for entry in reversed(self._objects):
            entry.restore()
        for container in reversed(self._containers):
            container.restore()
        for memory in self._memories.values():
            memory.restore()
        self._random.restore()

    def __enter__(self) -> "Transaction":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.rollback()

    # ---- noting ------------------------------------------------------------------------------------------------

    def _note_objects(self) -> None:
        seen: set[int] = set()
        queue: list[Any] = list(self.model.modules())
        while queue:
            holder = queue.pop(0)
            if id(holder) in seen:
                continue
            seen.add(id(holder))
            if isinstance(holder, list | dict | set):
                self._containers.append(_Container(holder, holder.copy()))
                inside: Iterable[Any] = holder.values() if isinstance(holder, dict) else holder
            else:
                fields = dict(holder.__dict__)
                self._objects.append(_Object(holder, type(holder), fields))
                inside = fields.values()
            queue.extend(value for value in inside if _is_noted(value))

    def _note_tensors(self, readers: Mapping[str, Reader]) -> None:
        for name, tensor in named_tensors(self.model):
            memory = self._memories.get(id(tensor))
            if memory is None:
                memory = _Memory(tensor, tensor.detach(), tensor.requires_grad, tensor.grad, tensor._version)
                self._memories[id(tensor)] = memory
            memory.reader = memory.reader or readers.get(name)


def _is_noted(value: Any) -> bool:
    """Containers, and plain objects with attributes (a config, say) that a rule may set; never code or tensors."""
    if isinstance(value, list | dict | set):
        return True
    if isinstance(value, nn.Module | Tensor | type) or callable(value):
        return False
    return hasattr(value, "__dict__") and type(value).__module__ not in ("builtins", "types", "torch", "abc")
