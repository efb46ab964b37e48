"""The bytes that stay of a tensor in a file, against indexing in memory."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surgery_dsl.run.streaming import cut as cutting
from surgery_dsl.run.streaming.cut import cut

DTYPES = [torch.uint8, torch.bool, torch.float8_e4m3fn, torch.bfloat16, torch.float16, torch.float32, torch.int64]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cut") / "data"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "BLOCK", 64)
    monkeypatch.setattr(cutting, "RUN", 16)


def noise(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    size = torch.empty((), dtype=dtype).element_size()
    if dtype is torch.bool:
        return torch.randint(0, 2, shape).bool()
    return torch.randint(0, 256, (*shape, size), dtype=torch.uint8).view(dtype).reshape(shape)


def raw(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def indexed(tensor: torch.Tensor, keep: dict[int, torch.Tensor]) -> torch.Tensor:
    words = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    found = tensor.contiguous().view(words[tensor.element_size()]) if tensor.dim() else tensor
    for dim, indices in keep.items():
        found = found[(slice(None),) * dim + (indices,)]
    return found


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[int, ...], torch.dtype, dict[int, list[int]], int]:
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    keep: dict[int, list[int]] = {}
    for dim, size in enumerate(shape):
        if draw(st.booleans()):
            kept = draw(st.lists(st.integers(0, size - 1), max_size=2 * size))
            keep[dim] = sorted(set(kept)) if draw(st.booleans()) else kept  # repeats duplicate, in any order
    return shape, draw(st.sampled_from(DTYPES)), keep, draw(st.integers(0, 5))


@given(cases())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_stays_is_what_indexing_gives(
    place: Path, small: None, case: tuple[tuple[int, ...], torch.dtype, dict[int, list[int]], int]
) -> None:
    shape, dtype, keep, first = case
    tensor = noise(shape, dtype)
    place.write_bytes(bytes(first) + raw(tensor) + b"more")
    indices = {dim: torch.tensor(kept, dtype=torch.int64) for dim, kept in keep.items()}
    blocks = bytes_of(place, shape, tensor.element_size(), indices, first)
    assert b"".join(blocks) == raw(indexed(tensor, indices))
    assert max(map(len, blocks), default=0) <= max(64, tensor.element_size())


def test_a_scalar_passes(place: Path) -> None:
    place.write_bytes(b"\1\2\3\4")
    assert bytes_of(place, (), 4, {}) == [b"\1\2\3\4"]


def test_a_file_that_ends_too_soon_is_an_error(place: Path) -> None:
    place.write_bytes(bytes(10))
    with pytest.raises(OSError, match="ends before"):
        bytes_of(place, (3,), 4, {})


def test_no_block_is_larger_than_the_bound(place: Path, small: None) -> None:
    tensor = noise((40, 30), torch.int64)
    place.write_bytes(raw(tensor))
    every_other = torch.arange(0, 40, 2)
    for keep in ({}, {0: every_other}, {0: every_other, 1: torch.arange(0, 30, 3)}):
        blocks = bytes_of(place, (40, 30), 8, keep)
        assert b"".join(blocks) == raw(indexed(tensor, keep))
        assert max(map(len, blocks)) <= 64


def bytes_of(
    place: Path, shape: tuple[int, ...], item: int, keep: dict[int, torch.Tensor], first: int = 0
) -> list[bytes]:
    file = os.open(place, os.O_RDONLY)
    try:
        return taken(file, first, shape, item, keep)
    finally:
        os.close(file)


def taken(file: int, first: int, shape: tuple[int, ...], item: int, keep: dict[int, torch.Tensor]) -> list[bytes]:
    """Return what stays, in the blocks that were asked for; memory is used again as soon as the next is."""
    memory = torch.full((max(cutting.BLOCK, 8),), 170, dtype=torch.uint8)
    blocks: list[bytes] = []
    asked = 0

    def space(size: int) -> torch.Tensor:
        nonlocal asked
        blocks.append(raw(memory[:asked]))
        memory.fill_(170)
        asked = size
        return memory[:size]

    cut(file, first, shape, item, keep, space)
    return [*blocks[1:], raw(memory[:asked])]
