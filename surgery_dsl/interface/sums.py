"""Axes that are sums of others, in an order in which each can be worked out from what was worked out before it."""

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surgery_dsl.interface.model import Axis, Dim


def in_order(axes: "Sequence[Axis]") -> tuple[int, ...]:
    """Return the axes that are sums, each after the sums that it is made of; they may be as deep as a network is."""
    found: dict[int, None] = {}
    for axis in axes:
        waiting = [axis.id] if axis.parts else []
        while waiting:
            here = waiting[-1]
            inner = [other for part in axes[here].parts for other in part if axes[other].parts and other not in found]
            if inner and here not in found:
                waiting += inner
            else:
                found[waiting.pop()] = None
    return tuple(found)


def exact_sizes(axes: "Sequence[Axis]", leaves: Sequence[int | None]) -> tuple[int | None, ...]:
    """Return the size of every axis where it is one number, else ``None``; ``leaves`` has those that are no sums."""
    sizes = list(leaves)
    for axis in in_order(axes):
        parts = [exact_product(part, sizes) for part in axes[axis].parts]
        known = [part for part in parts if part is not None]
        sizes[axis] = sum(known) if len(known) == len(parts) else None
    return tuple(sizes)


def exact_product(dim: "Dim", sizes: Sequence[int | None]) -> int | None:
    """Return the product of axes where it is one number: every factor is, or one of them is zero."""
    known = [size for axis in dim if (size := sizes[axis]) is not None]
    return prod(known) if len(known) == len(dim) or 0 in known else None


def size_range(axes: "Sequence[Axis]", dim: "Dim") -> tuple[int, int] | None:
    """Return least and greatest product of axes; ``None`` where one is free."""
    from surgery_dsl.interface.model import Extent

    low = high = 1
    for axis in dim:
        entry = axes[axis]
        if entry.parts:
            found = [size_range(axes, part) for part in entry.parts]
            known = [pair for pair in found if pair is not None]
            if len(known) < len(found):
                return None
            pair = (sum(p[0] for p in known), sum(p[1] for p in known))
        elif isinstance(entry.size, Extent):
            pair = (entry.size.least, entry.size.most)
        elif isinstance(entry.size, int):
            pair = (entry.size, entry.size)
        else:
            return None
        low, high = low * pair[0], high * pair[1]
    return low, high
