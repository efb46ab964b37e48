"""Where the bytes of each tensor come from, through every edit: a tensor of the file, and the indices that stay."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from surgery_dsl.interface.edits import Resize
from surgery_dsl.interface.lock import WeightFacts
from surgery_dsl.kernels.gather import take_block
from surgery_dsl.run.changes import EditMisfit, Journal, carry_out, find_tensor
from surgery_dsl.run.digests import named_tensors
from surgery_dsl.run.weights import WeightsFile
from surgery_dsl.vocabulary.context import Change


@dataclass(frozen=True)
class Origin:
    """A tensor of the file, and which of its indices stay, in order, by dimension; the others stay whole."""

    source: str
    keep: Mapping[int, Tensor] = field(default_factory=dict)

    def cut(self, dims: Mapping[int, Tensor]) -> "Origin":
        """Return the origin of what is left when indices of this are kept."""
        keep = dict(self.keep)
        for dim, indices in dims.items():
            keep[dim] = keep[dim][indices] if dim in keep else indices
        return Origin(self.source, keep)


class Streamed:
    """A network of which only the structure is in memory. Final.

    A tensor on ``meta`` stands in the file; every other tensor is what it is.

    Attributes:
        model: The network.
        file: Its weights.
        facts: Facts of the weights, as the lock has them.
    """

    def __init__(self, model: nn.Module, file: WeightsFile, facts: WeightFacts | None) -> None:
        """Note where each tensor stands; every one on ``meta`` must stand in the file under one of its names."""
        self.model, self.file, self.facts = model, file, facts
        self._origins: dict[int, tuple[Tensor, Origin]] = {}
        for name, tensor in named_tensors(model):
            if tensor.is_meta and name in file.header.tensors:
                self._origins[id(tensor)] = tensor, Origin(name)

    def origin(self, tensor: Tensor) -> Origin | None:
        """Return where a tensor of the network comes from; ``None`` where it has its values.

        Raises:
            LookupError: It stands on ``meta`` and nobody knows where it comes from.
        """
        if not tensor.is_meta:
            return None
        if id(tensor) not in self._origins:
            raise LookupError("a tensor without values has no origin")
        return self._origins[id(tensor)][1]

    def tensor(self, name: str) -> Tensor:
        """Return the values of a tensor: the file's own memory, or a copy of what stays of it."""
        live = find_tensor(self.model, name)
        origin = self.origin(live)
        if origin is None:
            return live
        whole = self.file.mapped(origin.source)
        return take_block(whole, origin.keep) if origin.keep else whole

    def release(self, names: Iterable[str]) -> None:
        """Give back the memory of tensors that were read through."""
        for name in names:
            origin = self.origin(find_tensor(self.model, name))
            if origin is not None:
                self.file.release([origin.source])

    def carry_out(self, change: Change, journal: Journal) -> None:
        """Carry out one change of the structure; new values are kept, whole tensors are never read.

        Raises:
            EditMisfit: It does not fit the network, or writes values in a way that is not followed here.
        """
        before = dict(named_tensors(self.model))
        carry_out(self.model, Change(edit=change.edit), journal)
        if isinstance(change.edit, Resize):
            self._resized(change.edit, before)
        for name, tensor in named_tensors(self.model):
            if tensor.is_meta and id(tensor) not in self._origins:
                self._copied(name, tensor, before, change)
        for name, values in change.tensors.items():
            old = find_tensor(self.model, name)
            if old.shape != values.shape or old.dtype != values.dtype:
                raise EditMisfit(f"{name} is {tuple(old.shape)} of {old.dtype}, its new values are not")
            self._replace(old, values.detach().clone())
        if change.zero:
            raise EditMisfit(f"single entries of {next(iter(change.zero))} are written, which is not followed here")

    def _resized(self, edit: Resize, before: Mapping[str, Tensor]) -> None:
        keep: dict[int, dict[int, Tensor]] = {}
        for entry in edit.slices:
            kept = torch.tensor(edit.indices[entry.indices], dtype=torch.int64)
            keep.setdefault(id(before[entry.tensor]), {})[entry.dim] = kept
        for name, tensor in named_tensors(self.model):
            dims = keep.get(id(before[name]))
            if dims is not None and tensor.is_meta:
                self._origins[id(tensor)] = tensor, self._origins[id(before[name])][1].cut(dims)

    def _copied(self, name: str, tensor: Tensor, before: Mapping[str, Tensor], change: Change) -> None:
        """Note the origin of a tensor that an edit copied: an untied one, or one of a repeated module."""
        arranged: Mapping[str, tuple[int, ...]] = getattr(change.edit, "lists", {})
        old = name
        for path, numbers in arranged.items():
            number, dot, rest = old.removeprefix(f"{path}.").partition(".")
            if old.startswith(f"{path}.") and number.isdecimal():
                old = f"{path}.{numbers[int(number)]}{dot}{rest}"
        source = before.get(old)
        if source is None or source.shape != tensor.shape or id(source) not in self._origins:
            raise EditMisfit(f"{name} is new and has no values, which is not followed here")
        self._origins[id(tensor)] = tensor, self._origins[id(source)][1]

    def _replace(self, old: Tensor, values: Tensor) -> None:
        new: Tensor = nn.Parameter(values, requires_grad=old.requires_grad) if isinstance(old, nn.Parameter) else values
        for module in self.model.modules():
            for attribute, held in (*module._parameters.items(), *module._buffers.items()):
                if held is old:
                    setattr(module, attribute, new)
