"""Counting over an interface: sums of products of axes, fast where sizes are numbers."""

import re
from collections.abc import Iterable

from surgery_dsl.interface.model import Dim, Interface, Tensor
from surgery_dsl.interface.once import once
from surgery_dsl.interface.polynomial import Monomial, Polynomial

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
    """Return Σ factor · product as a polynomial over the axes whose size is open; fixed sizes are put in."""
    sizes = interface.exact_sizes
    terms: dict[Monomial, int] = {}
    opened: dict[int, list[tuple[Monomial, int]]] = {}
    for factor, dims in products:
        rest = []
        for axis_id in dims:
            known = sizes[axis_id]
            if known is None:
                rest.append(axis_id)
            else:
                factor *= known
        if any(interface.axes[axis_id].parts for axis_id in rest):
            for key, coefficient in _multiplied(interface, tuple(rest), opened):
                terms[key] = terms.get(key, 0) + factor * coefficient
        else:
            key = tuple(sorted(rest))
            terms[key] = terms.get(key, 0) + factor
    return Polynomial({monomial: factor for monomial, factor in terms.items() if factor})


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
