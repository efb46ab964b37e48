"""Integers that sort as floats do: the bit patterns of IEEE 754 numbers, put in order.

The bits of a non-negative float, read as an integer, already sort by value (IEEE 754-2019, section
3.4: exponent above fraction). A negative float gets the negated integer of its magnitude. So both
zeros become 0, negating a float negates its integer, and neighbouring integers are neighbouring
floats, which lets a threshold be found by counting instead of sorting.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_INTEGERS = {
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
    torch.float32: torch.int32,
    torch.float64: torch.int64,
}


def integer_of(dtype: torch.dtype) -> torch.dtype:
    """Return the signed integer dtype as wide as a float dtype.

    Raises:
        ValueError: the dtype is not float16, bfloat16, float32 or float64.
    """
    try:
        return _INTEGERS[dtype]
    except KeyError:
        raise ValueError(f"{dtype} is not one of float16, bfloat16, float32, float64") from None


def ordered_bits(values: Tensor) -> Tensor:
    """Map floats to integers of the same order.

    ``a < b`` exactly when ``ordered_bits(a) < ordered_bits(b)``, and equal exactly when equal: both
    zeros give 0. Infinities are ordinary values at both ends.

    Args:
        values: scores of any shape.

    Shapes: any -> same.
    Dtype and device: float16 and bfloat16 give int16, float32 int32, float64 int64, on the same device.
        The result may share memory with ``values``.

    Raises:
        ValueError: a value is NaN, or the dtype is not a float of 16, 32 or 64 bits.
    """
    integer = integer_of(values.dtype)
    bits = values.contiguous().view(integer)
    if not bits.numel():
        return bits
    low, high = (int(end) for end in bits.aminmax())
    if low < 0:
        info = torch.iinfo(integer)
        sign = bits >> (info.bits - 1)  # -1 for a set sign bit, 0 otherwise
        bits = ((bits & info.max) ^ sign) - sign
        low, high = (int(end) for end in bits.aminmax())
    if max(high, -low) > key_of(math.inf, values.dtype):
        raise ValueError("scores hold NaN, which has no place in an order")
    return bits


def key_of(value: float, dtype: torch.dtype) -> int:
    """Return the integer of the smallest float of a dtype that is not below a value.

    Rounding up makes comparisons exact: a float of the dtype is below ``value`` in real arithmetic
    exactly when its integer is below the one returned.

    Raises:
        ValueError: the value is NaN, or the dtype is not a float of 16, 32 or 64 bits.
    """
    integer = integer_of(dtype)
    if math.isnan(value):
        raise ValueError("a threshold cannot be NaN")
    nearest = torch.tensor(value, dtype=torch.float64).to(dtype)
    bits = int(nearest.view(integer))
    key = bits if bits >= 0 else -(bits & torch.iinfo(integer).max)
    return key + 1 if float(nearest) < value else key


def value_of(key: int, dtype: torch.dtype) -> float:
    """Return the float that an integer of :func:`ordered_bits` stands for."""
    bits = torch.tensor(abs(key), dtype=integer_of(dtype))
    return math.copysign(float(bits.view(dtype)), key)
