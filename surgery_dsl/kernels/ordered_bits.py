"""Integers that sort as floats do: the bit patterns of IEEE 754 numbers, put in order.

The bits of non-negative floats, read as integers, already sort by value. For negative floats the
magnitude bits are flipped, so that a larger magnitude gives a smaller integer. Neighbouring integers
are neighbouring floats, which lets a threshold be found by counting instead of sorting
(M. Herf, "Radix tricks", 2001).
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
    infinity = key_of(math.inf, values.dtype)
    low, high = (int(end) for end in bits.aminmax())
    if low < 0:
        bits = (values.contiguous() + 0.0).view(integer)  # -0.0 + 0.0 is +0.0, so that both zeros tie
        info = torch.iinfo(integer)
        bits = bits ^ ((bits >> (info.bits - 1)) & info.max)
        low, high = (int(end) for end in bits.aminmax())
    if low < ~infinity or high > infinity:
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
    nearest = torch.tensor(value, dtype=torch.float64).to(dtype) + 0.0
    bits = int(nearest.view(integer))
    key = bits if bits >= 0 else bits ^ torch.iinfo(integer).max
    return key + 1 if float(nearest) < value else key


def value_of(key: int, dtype: torch.dtype) -> float:
    """Return the float that an integer of :func:`ordered_bits` stands for."""
    integer = integer_of(dtype)
    bits = key if key >= 0 else key ^ torch.iinfo(integer).max
    return float(torch.tensor(bits, dtype=integer).view(dtype))
