"""Counting over an interface: sums of products of axes, fast where sizes are numbers."""

from collections.abc import Iterable

from surgery_dsl.interface.model import Dim, Interface, Tensor
from surgery_dsl.interface.polynomial import Monomial, Polynomial

BYTES = {"bool": 1, "i8": 1, "u8": 1, "i16": 2, "f16": 2, "bf16": 2, "i32": 4, "f32": 4, "i64": 8, "f64": 8}
"""Bytes of one element, by the dtype names of the interface."""


def weights(interface: Interface) -> tuple[Tensor, ...]:
    """Return what ``params`` counts: parameters (quantized ones are such too), tied ones once."""
    return tuple(t for t in interface.tensors if t.role == "parameter" and not t.tied_to)


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
    summed: list[Polynomial] = []
    for factor, dims in products:
        rest = []
        for axis_id in dims:
            known = sizes[axis_id]
            if known is None:
                rest.append(axis_id)
            else:
                factor *= known
        if any(interface.axes[axis_id].parts for axis_id in rest):
            summed.append(interface.size(tuple(rest)).scale(factor).substitute(interface.exact_size))
        else:
            key = tuple(sorted(rest))
            terms[key] = terms.get(key, 0) + factor
    plain = Polynomial({monomial: factor for monomial, factor in terms.items() if factor})
    return Polynomial.sum_of([plain, *summed]) if summed else plain
