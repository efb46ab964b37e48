"""Gathering indices of axes in everything that carries them: the edit behind every removal and duplication."""

from collections.abc import Iterable, Mapping, Sequence

from surgery_dsl.interface.edits import IntegerChange, Resize, Slice
from surgery_dsl.interface.model import Dim, Interface


def gather(kept: Mapping[int, Sequence[int]], interface: Interface) -> Resize | None:
    """Return the edit that lets only some indices of leaf axes stay, in the given order; repeats duplicate.

    Every tensor dimension that carries an axis gets the list of entries that stay; dimensions of the same axes share
    one list. Tied tensors are named once, by their owner. ``None`` where nothing is asked for.

    Args:
        kept: For each axis, the indices that stay.
        interface: The network's axes; all sizes of what carries the axes must be exact.

    Raises:
        ValueError: A dimension has no exact size.
    """
    if not kept:
        return None
    names: dict[Dim, str] = {}
    indices: dict[str, tuple[int, ...]] = {}
    slices: list[Slice] = []
    for tensor in interface.tensors:
        for position, dim in enumerate(tensor.dims):
            if tensor.tied_to or kept.keys().isdisjoint(interface.leaves(dim)):
                continue
            if dim not in names:
                names[dim] = f"{tensor.name}[{position}]"
                indices[names[dim]] = tuple(entries(dim, kept, interface))
            slices.append(Slice(tensor=tensor.name, dim=position, indices=names[dim]))
    return Resize(indices=indices, slices=tuple(slices), integers=tuple(_integers(kept, interface)))


def _integers(kept: Mapping[int, Sequence[int]], interface: Interface) -> Iterable[IntegerChange]:
    for module in interface.modules:
        for attribute, dim in module.integers.items():
            if not kept.keys().isdisjoint(interface.leaves(dim)):
                value = len(entries(dim, kept, interface))
                yield IntegerChange(module=module.path, attribute=attribute, value=value)


def entries(dim: Dim, kept: Mapping[int, Sequence[int]], interface: Interface) -> list[int]:
    """Return which entries of a dimension stay: products in row-major order, parts of a sum behind one another."""
    found = [0]
    for axis in dim:
        parts = interface.axes[axis].parts
        own: list[int] = []
        if axis in kept:
            own, size = list(kept[axis]), _size((axis,), interface)
        elif parts:
            offset = 0
            for part in parts:
                own += [offset + entry for entry in entries(part, kept, interface)]
                offset += _size(part, interface)
            size = offset
        else:
            size = _size((axis,), interface)
            own = list(range(size))
        found = [outer * size + entry for outer in found for entry in own]
    return found


def _size(dim: Dim, interface: Interface) -> int:
    size = interface.exact(dim)
    if size is None:
        raise ValueError(f"axes {dim} have no exact size")
    return size
