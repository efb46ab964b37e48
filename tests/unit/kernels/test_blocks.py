"""Blocks cover every entry once, in row-major order, as views of bounded size."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from surgery_dsl.kernels.blocks import aligned_blocks, block_limit, blocks

LAYOUTS = [
    torch.arange(24.0),
    torch.arange(24.0).view(2, 3, 4),
    torch.arange(24.0).view(4, 6).t(),
    torch.arange(48.0).view(4, 12)[:, ::2],
    torch.arange(72.0).view(2, 4, 3, 3).contiguous(memory_format=torch.channels_last),
    torch.arange(3.0)[:, None].expand(3, 5),
    torch.tensor(7.0),
    torch.empty(3, 0, 2),
]


@pytest.mark.parametrize("tensor", LAYOUTS)
@pytest.mark.parametrize("limit", [1, 2, 5, 7, 12, 100])
def test_blocks_are_bounded_views_in_row_major_order(tensor: Tensor, limit: int) -> None:
    parts = list(blocks(tensor, limit))
    assert [value for part in parts for value in part.reshape(-1).tolist()] == tensor.reshape(-1).tolist()
    assert all(1 <= part.numel() <= limit for part in parts)
    storage = tensor.untyped_storage().data_ptr()
    assert all(part.untyped_storage().data_ptr() == storage for part in parts)


def test_aligned_blocks_match_whatever_the_strides() -> None:
    first = torch.arange(24.0).view(4, 6)
    second = torch.arange(24.0).view(6, 4).t()
    pairs = list(aligned_blocks((first, second), 5))
    assert torch.equal(torch.cat([left.reshape(-1) for left, _ in pairs]), first.reshape(-1))
    assert torch.equal(torch.cat([right.reshape(-1) for _, right in pairs]), second.reshape(-1))


def test_callers_mistakes_are_refused() -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        list(aligned_blocks((torch.zeros(2), torch.zeros(3))))
    with pytest.raises(ValueError, match="at least one"):
        list(aligned_blocks(()))
    with pytest.raises(ValueError, match="at least 1 entry"):
        list(blocks(torch.zeros(4, 4).t(), 0))


def test_accelerators_get_larger_blocks() -> None:
    assert block_limit(torch.device("cuda")) > block_limit(torch.device("cpu"))
