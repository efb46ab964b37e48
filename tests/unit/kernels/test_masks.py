"""Index lists and packed masks against plain Python and numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from surgery_dsl.kernels import blocks
from surgery_dsl.kernels.masks import count_nonzero, kept, lowest, pack_bits, unpack_bits, zero_slices_


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("largest", [False, True])
def test_lowest_sorts_by_score_then_index(dtype: torch.dtype, largest: bool) -> None:
    scores = torch.tensor([2.0, -0.0, 1.0, 0.0, 2.0, -3.0, math.inf, 1.0], dtype=dtype)
    order = sorted(range(8), key=lambda index: (-float(scores[index]) if largest else float(scores[index]), index))
    for count in range(9):
        assert lowest(scores, count, largest=largest).tolist() == sorted(order[:count])


def test_lowest_refuses_what_has_no_order() -> None:
    with pytest.raises(ValueError, match="NaN"):
        lowest(torch.tensor([1.0, math.nan]), 1)
    with pytest.raises(ValueError, match="3 of 2"):
        lowest(torch.zeros(2), 3)
    with pytest.raises(ValueError, match="vector"):
        lowest(torch.zeros(2, 2), 1)


def test_kept_is_the_complement() -> None:
    assert kept(6, [4, 0, 5]).tolist() == [1, 2, 3]
    assert kept(3, torch.tensor([], dtype=torch.int64)).tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="repeated"):
        kept(6, [1, 1])
    with pytest.raises(ValueError, match=r"0\.\.5"):
        kept(6, [6])
    with pytest.raises(ValueError, match=r"0\.\.5"):
        kept(6, [-1])


def test_zero_slices_clears_one_dimension_in_place() -> None:
    tensor = torch.nn.Parameter(torch.ones(3, 4))
    zero_slices_(tensor, 1, torch.tensor([0, 2]))
    assert tensor.tolist() == [[0.0, 1.0, 0.0, 1.0]] * 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8, torch.bool])
def test_count_nonzero_is_numpys(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CPU_BLOCK", 5)
    values = torch.tensor([[0.0, -0.0, 1.0], [3.0, 0.0, 1.0], [0.0, 2.0, 2.0]]).to(dtype)
    assert count_nonzero(values) == np.count_nonzero(values.float().numpy())
    assert count_nonzero(values.t()[:2]) == np.count_nonzero(values.t()[:2].float().numpy())
    assert count_nonzero(torch.empty(0, 3)) == 0


def test_bits_survive_a_round_trip() -> None:
    for size in range(20):
        mask = torch.rand(size, generator=torch.Generator().manual_seed(size)) < 0.5
        packed = pack_bits(mask)
        assert packed.tolist() == np.packbits(mask.numpy(), bitorder="little").tolist()
        assert torch.equal(unpack_bits(packed, (size,)), mask)
    mask = torch.rand(3, 5).t() < 0.5
    assert torch.equal(unpack_bits(pack_bits(mask), (5, 3)), mask)
    with pytest.raises(ValueError, match="boolean"):
        pack_bits(torch.zeros(3))
    with pytest.raises(ValueError, match="17 entries"):
        unpack_bits(torch.zeros(2, dtype=torch.uint8), (17,))
