"""Ordered bits against comparisons of the floats themselves and Python's ``math.nextafter``."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from surgery_dsl.kernels.ordered_bits import integer_of, key_of, ordered_bits, value_of

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def all_halves(dtype: torch.dtype) -> torch.Tensor:
    values = torch.arange(-(1 << 15), 1 << 15).to(torch.int16).view(dtype)
    return values[~values.isnan()]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_every_half_sorts_as_its_value(dtype: torch.dtype) -> None:
    values = all_halves(dtype)
    by_value = values[values.double().sort(stable=True).indices]
    keys = ordered_bits(by_value).int()
    steps = keys[1:] - keys[:-1]
    rises = (by_value[1:].double() > by_value[:-1].double()).int()
    assert torch.equal(steps, rises)  # equal floats give equal keys, neighbours differ by one


@pytest.mark.parametrize("dtype", FLOATS)
def test_keys_compare_as_floats_do(dtype: torch.dtype) -> None:
    special = [0.0, -0.0, 5e-324, -5e-324, 1e-40, -1e-40, 6e-8, -6e-8, 1.0, -1.0, 3.5, math.inf, -math.inf, 65504.0]
    drawn = torch.randn(50, generator=torch.Generator().manual_seed(0)).tolist()
    values = torch.tensor([*special, *drawn], dtype=torch.float64).to(dtype)
    keys = ordered_bits(values)
    assert keys.dtype is integer_of(dtype)
    assert torch.equal(values[:, None] < values, keys[:, None] < keys)
    assert torch.equal(values[:, None] == values, keys[:, None] == keys)
    assert [value_of(int(key), dtype) for key in keys] == values.tolist()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_nan_is_refused_whatever_its_sign(dtype: torch.dtype, sign: float) -> None:
    values = torch.tensor([1.0, math.copysign(math.nan, sign), math.inf], dtype=dtype)
    with pytest.raises(ValueError, match="NaN"):
        ordered_bits(values)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_a_key_is_of_the_least_float_not_below(dtype: torch.dtype) -> None:
    numpy_dtype = {torch.float16: np.float16, torch.float32: np.float32, torch.float64: np.float64}[dtype]
    for value in [0.1, -0.1, 1.0, 1e-7, -1e-7, 3.0000001, 1e300, -1e300, 0.0, -0.0, math.inf, -math.inf]:
        with np.errstate(over="ignore"):
            least = numpy_dtype(value)
            if float(least) < value:
                least = np.nextafter(least, numpy_dtype(math.inf))
        assert value_of(key_of(value, dtype), dtype) == float(least)
        assert value_of(key_of(value, dtype) - 1, dtype) < value or value == -math.inf


def test_callers_mistakes_are_refused() -> None:
    with pytest.raises(ValueError, match="int64"):
        ordered_bits(torch.arange(3))
    with pytest.raises(ValueError, match="NaN"):
        key_of(math.nan, torch.float32)


def test_an_empty_tensor_has_no_keys() -> None:
    assert ordered_bits(torch.empty(0, 3)).shape == (0, 3)
