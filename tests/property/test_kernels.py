"""Kernels over arbitrary values, shapes, dtypes, ties and limits, against definitions in plain Python."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal
from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from surgery_dsl.kernels import blocks, ranks
from surgery_dsl.kernels.differences import bits_equal, digest
from surgery_dsl.kernels.gather import take_block
from surgery_dsl.kernels.masks import kept, lowest, pack_bits, unpack_bits, zero_where_
from surgery_dsl.kernels.ordered_bits import key_of, ordered_bits, value_of
from surgery_dsl.kernels.quantizers import quantize
from surgery_dsl.kernels.thresholds import Scores, choose, choose_beyond, chosen_masks, zero_chosen_
from surgery_dsl.kernels.widening import duplication, widen_reader

FLOATS = st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64])
NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, math.inf, -math.inf, 1e-45, -5e-324]),
    st.floats(allow_nan=False),
    st.floats(-2, 2),
)


@st.composite
def tensors(draw: st.DrawFn, dtype: torch.dtype | None = None, finite: bool = False) -> Tensor:
    """Draw a small tensor, of few distinct values more often than not, in one of several layouts."""
    shape = draw(st.lists(st.integers(0, 4), min_size=1, max_size=3))
    size = math.prod(shape)
    pool = draw(st.lists(NUMBERS, min_size=1, max_size=draw(st.integers(1, 8))))
    values = draw(st.lists(st.sampled_from(pool), min_size=size, max_size=size))
    tensor = torch.tensor(values, dtype=torch.float64).view(shape).to(dtype or draw(FLOATS))
    if finite:
        tensor = tensor.nan_to_num(posinf=1.0, neginf=-1.0)
    return tensor.transpose(0, -1) if draw(st.booleans()) else tensor


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_choice_is_a_walk_along_the_sorted_list(data: st.DataObject) -> None:
    values = data.draw(st.lists(tensors(), max_size=4))
    sizes = [value.numel() for value in values]
    limited = data.draw(st.booleans())
    limits = [data.draw(st.integers(0, size + 1)) for size in sizes] if limited else None
    room = sizes if limits is None else [min(size, limit) for size, limit in zip(sizes, limits, strict=True)]
    count = data.draw(st.integers(0, sum(room)))
    largest = data.draw(st.booleans())
    order = sorted(
        (-value if largest else value, position, index)
        for position, tensor in enumerate(values)
        for index, value in enumerate(tensor.double().reshape(-1).tolist())
    )
    expected = [[False] * size for size in sizes]
    left, open_room = count, list(room)
    for _, position, index in order:
        if left and open_room[position]:
            expected[position][index] = True
            open_room[position] -= 1
            left -= 1
    scores = [Scores((value,), torch.clone) for value in values]
    with (
        mock.patch.object(ranks, "SORTABLE", data.draw(st.sampled_from([0, 2, 1 << 19]))),
        mock.patch.object(blocks, "CPU_BLOCK", data.draw(st.sampled_from([1, 3, 1 << 18]))),
    ):
        choice = choose(scores, count, largest=largest, limits=limits)
        masks = list(chosen_masks(scores, choice))
        targets = [value.clone() for value in values]
        zero_chosen_(targets, scores, choice)
    assert [mask.reshape(-1).tolist() for mask in masks] == expected
    assert choice.count == count
    for target, value, mask in zip(targets, values, masks, strict=True):
        assert bits_equal(target, torch.where(mask, torch.zeros_like(value), value))


@given(values=st.lists(tensors(), min_size=1, max_size=3), bound=NUMBERS, largest=st.booleans())
@settings(max_examples=100, deadline=None)
def test_beyond_a_bound_is_a_comparison_of_real_numbers(values: list[Tensor], bound: float, largest: bool) -> None:
    scores = [Scores((value,), torch.clone) for value in values]
    choice = choose_beyond(scores, bound, largest=largest)
    for value, mask in zip(values, chosen_masks(scores, choice), strict=True):
        beyond = [other > bound if largest else other < bound for other in value.double().reshape(-1).tolist()]
        assert mask.reshape(-1).tolist() == beyond


@given(value=tensors(), position=st.integers(0), sign=st.sampled_from([1.0, -1.0]))
@settings(max_examples=50, deadline=None)
def test_nan_anywhere_is_refused(value: Tensor, position: int, sign: float) -> None:
    if not value.numel():
        return
    spoiled = value.clone().contiguous()
    spoiled.view(-1)[position % value.numel()] = math.copysign(math.nan, sign)
    for attempt in (
        lambda: ordered_bits(spoiled),
        lambda: choose([Scores((spoiled,))], 1),
        lambda: choose([Scores((spoiled,))], 0),
        lambda: choose_beyond([Scores((spoiled,))], 0.0),
        lambda: lowest(spoiled.view(-1), 1),
        lambda: quantize(spoiled),
    ):
        with pytest.raises(ValueError, match="NaN|finite"):  # noqa: RUF043
            attempt()


@given(first=NUMBERS, second=NUMBERS, dtype=FLOATS)
@settings(max_examples=200, deadline=None)
def test_keys_order_numbers(first: float, second: float, dtype: torch.dtype) -> None:
    pair = torch.tensor([first, second], dtype=torch.float64).to(dtype)
    left, right = (int(key) for key in ordered_bits(pair))
    low, high = pair.tolist()
    assert (left < right) == (low < high)
    assert (left == right) == (low == high)
    assert value_of(left, dtype) == low
    assert (left < key_of(second, dtype)) == (low < second)


@given(value=tensors(finite=True), per=st.sampled_from(["channel", "tensor"]), symmetric=st.booleans())
@settings(max_examples=200, deadline=None)
def test_integers_stay_within_half_a_step(value: Tensor, per: Literal["channel", "tensor"], symmetric: bool) -> None:
    weight = value.clamp(-5e37, 5e37) if value.dtype is torch.float32 else value
    if value.dtype is torch.float64:
        weight = value.clamp(-1e307, 1e307)
    elif value.dtype is torch.bfloat16:
        weight = value.float().clamp(-5e37, 5e37).to(torch.bfloat16)
    quantized = quantize(weight, per=per, symmetric=symmetric)
    restored = quantized.restored().reshape(-1).tolist()
    scale = quantized.scale.double().view(-1, *[1] * (weight.dim() - 1)).expand(weight.shape).reshape(-1).tolist()
    for before, after, step in zip(weight.double().reshape(-1).tolist(), restored, scale, strict=True):
        assert abs(Fraction(before) - Fraction(after)) <= Fraction(step) / 2


@given(data=st.data(), tensor=tensors())
@settings(max_examples=100, deadline=None)
def test_blocks_taken_are_indexed(data: st.DataObject, tensor: Tensor) -> None:
    keep: dict[int, list[int]] = {}
    for dim in data.draw(st.sets(st.integers(0, tensor.dim() - 1))):
        size = tensor.shape[dim]
        keep[dim] = data.draw(st.lists(st.integers(0, size - 1), max_size=5)) if size else []
    expected = tensor
    for dim, indices in keep.items():
        expected = expected.index_select(dim, torch.tensor(indices, dtype=torch.int64))
    with mock.patch.object(blocks, "CPU_BLOCK", data.draw(st.sampled_from([1, 4, 1 << 18]))):
        assert bits_equal(take_block(tensor, keep), expected)


@given(value=tensors(), data=st.data())
@settings(max_examples=100, deadline=None)
def test_masks_pack_and_zero(value: Tensor, data: st.DataObject) -> None:
    size = value.numel()
    mask = torch.tensor(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)), dtype=torch.bool)
    mask = mask.view(value.shape)
    assert torch.equal(unpack_bits(pack_bits(mask), mask.shape), mask)
    target = value.clone()
    zero_where_(target, mask)
    assert bits_equal(target, torch.where(mask, torch.zeros_like(value), value))
    assert digest(target) == digest(target.contiguous())


@given(data=st.data(), size=st.integers(0, 20))
@settings(max_examples=50, deadline=None)
def test_kept_and_removed_share_out_all_indices(data: st.DataObject, size: int) -> None:
    removed = sorted(data.draw(st.sets(st.integers(0, size - 1)))) if size else []
    assert sorted([*removed, *kept(size, removed).tolist()]) == list(range(size))


@given(width=st.integers(1, 6), more=st.integers(0, 12), seed=st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_shares_of_copies_add_up(width: int, more: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(3, width, generator=generator, dtype=torch.float64)
    source = duplication(width, width + more, generator)
    wide = widen_reader(weight, 1, source)
    total = torch.zeros_like(weight).index_add_(1, source, wide)
    torch.testing.assert_close(total, weight, rtol=1e-15, atol=0)
