"""Norms against numpy in float64, digests against hashlib over numpy's bytes."""

from __future__ import annotations

import hashlib
import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from surgery_dsl.kernels import blocks
from surgery_dsl.kernels.differences import added, bits_equal, digest, distance, removed, total_distance

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.fixture(params=[7, 1 << 18], autouse=True)
def block_sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CPU_BLOCK", request.param)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("transposed", [False, True])
def test_norms_are_numpys(dtype: torch.dtype, transposed: bool) -> None:
    before, after = normal(6, 9, dtype=dtype), normal(6, 9, seed=1)
    if transposed:
        before, after = before.t(), after.t()
    moved = distance(before, after)
    change = before.double().numpy() - after.double().numpy()
    assert math.isclose(moved.l2, np.linalg.norm(change), rel_tol=1e-14)
    assert math.isclose(moved.relative, np.linalg.norm(change) / np.linalg.norm(before.double().numpy()), rel_tol=1e-14)
    assert moved.greatest == np.abs(change).max()


def test_a_network_is_the_norm_of_all_its_tensors() -> None:
    kept, gone, new = (normal(5, 4), normal(5, 4, seed=1)), normal(3, seed=2), normal(7, seed=3)
    moved = total_distance([kept, (gone, None), (None, new)])
    before = torch.cat([kept[0].flatten(), gone, torch.zeros(7)]).double().numpy()
    after = torch.cat([kept[1].flatten(), torch.zeros(3), new]).double().numpy()
    assert math.isclose(moved.l2, np.linalg.norm(before - after), rel_tol=1e-14)
    assert math.isclose(moved.relative, np.linalg.norm(before - after) / np.linalg.norm(before), rel_tol=1e-14)
    assert moved.greatest == np.abs(before - after).max()
    assert removed(gone).relative == 1.0
    assert added(new).relative == math.inf
    with pytest.raises(ValueError, match="at least one"):
        total_distance([(None, None)])


def test_nothing_changed() -> None:
    weight = normal(4, 4)
    assert distance(weight, weight).relative == 0.0
    assert distance(torch.zeros(3), torch.zeros(3)).relative == 0.0
    assert distance(torch.zeros(3), torch.ones(3)).relative == math.inf
    assert distance(torch.empty(0), torch.empty(0)).l2 == 0.0
    assert total_distance([]).relative == 0.0


def test_nan_is_never_hidden() -> None:
    bad = torch.tensor([1.0, math.nan, 2.0])
    for total in (distance(bad, torch.ones(3)), distance(torch.ones(3), bad), distance(torch.zeros(3), bad)):
        sums = total + distance(torch.ones(3), torch.zeros(3))
        assert math.isnan(total.relative)
        assert math.isnan(total.greatest)
        assert math.isnan(sums.greatest)
        assert math.isnan(sums.l2)


def test_unlike_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        distance(torch.zeros(2), torch.zeros(3))


@pytest.mark.parametrize("dtype", [*FLOATS, torch.int8, torch.bool, torch.int64])
def test_equal_bits(dtype: torch.dtype) -> None:
    tensor = normal(5, 4).to(dtype)
    assert bits_equal(tensor, tensor.clone())
    assert bits_equal(tensor.t(), tensor.t().contiguous())
    other = tensor.clone()
    other[4, 3] = not other[4, 3] if dtype is torch.bool else other[4, 3] + 1
    assert not bits_equal(tensor, other)
    assert not bits_equal(tensor, tensor[:4])
    assert not bits_equal(tensor, tensor.to(torch.complex64))


def test_bits_tell_zeros_and_nans_apart() -> None:
    assert not bits_equal(torch.tensor([0.0]), torch.tensor([-0.0]))
    assert bits_equal(torch.tensor([math.nan]), torch.tensor([math.nan]))
    assert not bits_equal(torch.tensor([math.nan]), torch.tensor([-math.nan]))
    assert bits_equal(torch.tensor(1.0), torch.tensor(1.0))
    assert bits_equal(torch.empty(0, 2), torch.empty(0, 2))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.int64, np.bool_])
def test_digests_are_of_little_endian_row_major_bytes(dtype: type) -> None:
    values = np.arange(30).reshape(5, 6).astype(dtype)
    expected = hashlib.sha256(values.astype(np.dtype(dtype).newbyteorder("<")).tobytes()).hexdigest()
    assert digest(torch.from_numpy(values)) == expected
    assert digest(torch.from_numpy(np.asfortranarray(values))) == expected
    assert digest(torch.nn.Parameter(torch.from_numpy(values), requires_grad=False)) == expected


def test_digests_of_bfloat16_scalars_and_nothing() -> None:
    tensor = normal(3, 5, dtype=torch.bfloat16)
    expected = hashlib.sha256(tensor.view(torch.int16).numpy().astype("<i2").tobytes()).hexdigest()
    assert digest(tensor) == expected
    assert digest(torch.tensor(2.5)) == hashlib.sha256(np.float32(2.5).astype("<f4").tobytes()).hexdigest()
    assert digest(torch.empty(0)) == hashlib.sha256(b"").hexdigest()


def test_a_big_endian_host_hashes_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = normal(5, 4)
    monkeypatch.setattr(sys, "byteorder", "big")  # as if the bytes in memory were the other way round
    assert digest(tensor) == hashlib.sha256(tensor.numpy().astype(">f4").tobytes()).hexdigest()


def test_one_element_of_a_strided_tensor_has_bits_too() -> None:
    column = torch.tensor([[1.5, 2.5], [3.5, 4.5]], dtype=torch.float16)[:1, 1]
    assert column.stride() == (2,)
    assert bits_equal(column, torch.tensor([2.5], dtype=torch.float16))
    assert digest(column) == digest(torch.tensor([2.5], dtype=torch.float16))
