"""Counting over an interface: sums of products of axes, fast where sizes are numbers."""

import re
from collections.abc import Iterable, Mapping

from surgery_dsl.interface.model import Dim, Extent, Interface, Tensor
from surgery_dsl.interface.once import once
from surgery_dsl.interface.polynomial import Monomial, Polynomial
from surgery_dsl.interface.sums import in_order

BYTES = {"bool": 1, "i8": 1, "u8": 1, "i16": 2, "f16": 2, "bf16": 2, "i32": 4, "f32": 4, "i64": 8, "f64": 8}
BYTES |= {"c64": 8, "c128": 16}
"""Bytes of one element, by the dtype names of the interface."""


def element_bytes(dtype: str) -> int:
    """Return the bytes of one element; of a dtype that plans have no word for, as its own name has it.

    ``float8_e4m3fn`` has one byte, ``uint16`` two; codes of four bits are packed into bytes.
    """
    known = BYTES.get(dtype)
    if known is not None:
        return known
    bits = re.search(r"\d+", dtype)
    return max(1, int(bits[0]) // 8) if bits else 1


def weights(interface: Interface) -> tuple[Tensor, ...]:
    """Return what ``params`` counts: parameters (quantized ones are such too), tied ones once."""
    return tuple(t for t in interface.tensors if t.role == "parameter" and not t.tied_to)


@once
def parameters(interface: Interface) -> Polynomial:
    """Return how many elements the parameters have together."""
    return total(interface, [(1, dims_of(tensor)) for tensor in weights(interface)])


def saved(interface: Interface) -> tuple[Tensor, ...]:
    """Return what ``weight_bytes`` counts: parameters and saved buffers, tied ones once."""
    return tuple(t for t in interface.tensors if not t.tied_to and (t.role == "parameter" or t.persistent))


def dims_of(tensor: Tensor) -> Dim:
    """Return all axes of a tensor as one product."""
    return tuple(axis for dim in tensor.dims for axis in dim)


def total(interface: Interface, products: Iterable[tuple[int, Dim]]) -> Polynomial:
    """Return Σ factor · product as a polynomial over the axes whose size is open; fixed sizes are put in.

    Sums of axes stay sums where they are linear; else they are multiplied out.
    """
    sizes = interface.exact_sizes
    written: dict[Monomial, int] = {}
    opened: dict[int, list[tuple[Monomial, int]]] = {}
    sums = _sums(interface)
    named: set[int] = set()
    for factor, dims in products:
        rest = []
        for axis_id in dims:
            known = sizes[axis_id]
            if known is None:
                rest.append(axis_id)
            else:
                factor *= known
        if all(axis_id in sums or not interface.axes[axis_id].parts for axis_id in rest):
            key = tuple(sorted(rest))
            written[key] = written.get(key, 0) + factor
            named.update(axis_id for axis_id in rest if axis_id in sums)
        else:
            for key, coefficient in _multiplied(interface, tuple(rest), opened):
                written[key] = written.get(key, 0) + factor * coefficient
    for axis_id in reversed(list(sums) if named else []):
        if axis_id in named:
            named.update(part[0] for part in sums[axis_id] if part)
    used = {axis_id: parts for axis_id, parts in sums.items() if axis_id in named}
    return Polynomial({monomial: factor for monomial, factor in written.items() if factor}, used)


@once
def _sums(interface: Interface) -> dict[int, dict[Monomial, int]]:
    """Return what each sum of open axes is made of, where it is linear; what a sum is made of comes before it."""
    found: dict[int, dict[Monomial, int]] = {}
    begun: dict[Dim, int] = {}
    for axis_id in in_order(interface.axes):
        parts = _linear(interface, axis_id, found, begun) if interface.exact_sizes[axis_id] is None else None
        if parts is not None:
            found[axis_id] = parts
    return found


def _linear(
    interface: Interface, axis: int, sums: Mapping[int, object], begun: dict[Dim, int]
) -> dict[Monomial, int] | None:
    """Return what a sum is made of: a shorter one that begins as it does, and the parts after; ``None``: products."""
    parts = interface.axes[axis].parts
    shorter = begun.get(parts[0])
    before = interface.axes[shorter].parts if shorter is not None else ()
    found: dict[Monomial, int] = {}
    if shorter is not None and len(before) > 1 and parts[: len(before)] == before:
        found[shorter,] = 1
        rest = parts[len(before) :]
    else:
        rest = parts
    for part in rest:
        times = 1
        open_ = []
        for each in part:
            known = interface.exact_sizes[each]
            times *= 1 if known is None else known
            if known is None:
                open_.append(each)
        counted = [each in sums or isinstance(interface.axes[each].size, Extent) for each in open_]
        if len(open_) > 1 or not all(counted):
            return None
        if times:
            key = tuple(open_)
            found[key] = found.get(key, 0) + times
    begun[parts[0]] = axis
    return found


def _multiplied(
    interface: Interface, dims: Dim, opened: dict[int, list[tuple[Monomial, int]]]
) -> list[tuple[Monomial, int]]:
    """Return a product of axes as (monomial, factor); sums of axes are multiplied out, each opened once."""
    found: list[tuple[Monomial, int]] = [((), 1)]
    for axis in dims:
        known = interface.exact_sizes[axis]
        if known is not None:
            found = [(key, factor * known) for key, factor in found]
        elif not interface.axes[axis].parts:
            found = [(tuple(sorted((*key, axis))), factor) for key, factor in found]
        else:
            if axis not in opened:
                opened[axis] = [
                    term for part in interface.axes[axis].parts for term in _multiplied(interface, part, opened)
                ]
            found = [
                (tuple(sorted(key + other)) if key else other, factor * times)
                for key, factor in found
                for other, times in opened[axis]
            ]
    return found
