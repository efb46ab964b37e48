"""Gathers against plain indexing."""

from __future__ import annotations

import pytest
import torch

from surgery_dsl.kernels import blocks
from surgery_dsl.kernels.gather import as_product, expanded, select, take_block

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8, torch.int64, torch.bool]


@pytest.fixture(params=[1, 3, 20, 1 << 18], autouse=True)
def small_chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CPU_BLOCK", request.param)


@pytest.mark.parametrize("dtype", DTYPES)
def test_two_dimensions_at_once(dtype: torch.dtype) -> None:
    tensor = torch.arange(8 * 6 * 3).view(8, 6, 3).to(dtype)
    rows, columns = [7, 0, 3], torch.tensor([5, 1])
    taken = take_block(tensor, {0: rows, 1: columns})
    assert torch.equal(taken, tensor[rows][:, columns])
    assert taken.is_contiguous()
    assert taken.dtype is dtype


@pytest.mark.parametrize(
    "keep",
    [
        {},
        {0: [0, 1, 2]},
        {0: range(1, 3), 1: range(2, 4)},
        {1: [3, 1]},
        {2: [4, 0, 4, 4]},
        {1: [0, 2], 2: [1, 3]},
        {0: [2, 0], 1: [0, 2], 2: [1, 3]},
        {0: [2, 0], 3: [1]},
        {0: []},
        {1: [], 2: [0, 2]},
    ],
)
@pytest.mark.parametrize("layout", ["contiguous", "transposed", "strided"])
def test_any_dimensions_and_strides(keep: dict[int, list[int]], layout: str) -> None:
    tensor = torch.arange(3 * 4 * 5 * 2).view(3, 4, 5, 2)
    if layout == "transposed":
        tensor = torch.arange(3 * 4 * 5 * 2).view(2, 5, 4, 3).permute(3, 2, 1, 0)
    elif layout == "strided":
        tensor = torch.arange(6 * 4 * 5 * 2).view(6, 4, 5, 2)[::2]
    expected = tensor
    for dim, indices in keep.items():
        expected = expected.index_select(dim, torch.tensor(list(indices), dtype=torch.int64))
    taken = take_block(tensor, keep)
    assert torch.equal(taken, expected)
    assert taken.is_contiguous()


def test_the_result_has_memory_of_its_own() -> None:
    tensor = torch.nn.Parameter(torch.arange(6.0))
    taken = take_block(tensor, {0: range(6)})
    taken += 1
    assert tensor.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert not taken.requires_grad


@pytest.mark.parametrize(
    ("sizes", "position"), [((2, 4, 3), 1), ((2, 4, 3), 0), ((2, 4, 3), 2), ((24,), 0), ((6, 4), 1)]
)
def test_one_axis_of_a_product(sizes: tuple[int, ...], position: int) -> None:
    tensor = torch.arange(24 * 2).view(2, 24)
    keep = [1, 0] if sizes[position] < 4 else [3, 0, 3]
    expected = tensor.unflatten(1, sizes).index_select(1 + position, torch.tensor(keep)).flatten(1)
    assert torch.equal(select(tensor, 1, keep, sizes, position), expected)
    assert torch.equal(tensor[:, expanded(keep, sizes, position)], expected)


def test_keeping_nothing_of_a_product() -> None:
    assert select(torch.zeros(2, 24), 1, [], (4, 6), 0).shape == (2, 0)


def test_callers_mistakes_are_refused() -> None:
    tensor = torch.zeros(2, 6)
    for keep in ({2: [0]}, {-1: [0]}, {1: [6]}, {1: [-1]}, {1: torch.zeros(1, 1)}):
        with pytest.raises(ValueError, match=r"dimension|indices"):
            take_block(tensor, keep)
    with pytest.raises(ValueError, match="multiply"):
        select(tensor, 1, [0], (2, 4), 0)
    with pytest.raises(ValueError, match="position"):
        as_product(tensor, 1, (2, 3), 2)
    with pytest.raises(ValueError, match="dimension"):
        as_product(tensor, 2, (1,), 0)
