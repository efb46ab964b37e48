"""Global selection against torch.nn.utils.prune and against a plain sort of every score."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from surgery_dsl.kernels import blocks, ranks
from surgery_dsl.kernels.thresholds import (
    Scores,
    choose,
    choose_beyond,
    chosen_masks,
    packed_masks,
    removable,
    zero_chosen_,
)

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.fixture(params=["sorted", "counted"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test through the sort of all candidates and through histograms over many small blocks."""
    if request.param == "counted":
        monkeypatch.setattr(ranks, "SORTABLE", 3)
        monkeypatch.setattr(blocks, "CPU_BLOCK", 7)
    return str(request.param)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def by_sorting(
    scores: list[Tensor], count: int, *, largest: bool = False, limits: list[int] | None = None
) -> list[Tensor]:
    """Choose by walking one sorted list of (score, tensor, index): the definition."""
    room = [score.numel() for score in scores] if limits is None else list(limits)
    sign = -1.0 if largest else 1.0
    order = sorted(
        (sign * value, position, index)
        for position, score in enumerate(scores)
        for index, value in enumerate(score.double().reshape(-1).tolist())
    )
    masks = [torch.zeros(score.numel(), dtype=torch.bool) for score in scores]
    for _, position, index in order:
        if count and room[position]:
            masks[position][index] = True
            room[position] -= 1
            count -= 1
    return [mask.view(score.shape) for mask, score in zip(masks, scores, strict=True)]


def assert_masks(actual: list[Tensor], expected: list[Tensor]) -> None:
    assert [mask.tolist() for mask in actual] == [mask.tolist() for mask in expected]


@pytest.mark.parametrize("amount", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_zeros_equal_those_of_torch_prune(amount: float, path: str) -> None:
    layers = [nn.Linear(13, 11), nn.Linear(7, 5), nn.Conv2d(3, 4, 3)]
    weights = [layer.weight.detach().clone() for layer in layers]
    scores = [Scores((weight,)) for weight in weights]
    count = round(amount * sum(weight.numel() for weight in weights))
    zero_chosen_(weights, scores, choose(scores, count))
    prune.global_unstructured([(layer, "weight") for layer in layers], prune.L1Unstructured, amount=amount)
    for layer, weight in zip(layers, weights, strict=True):
        assert torch.equal(weight, layer.weight)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("limits", [None, [5, 60, 0, 1]])
def test_ties_go_to_the_earlier_tensor_and_index(
    dtype: torch.dtype, largest: bool, limits: list[int] | None, path: str
) -> None:
    weights = [(2 * normal(*shape, seed=len(shape))).round().to(dtype) for shape in [(4, 5), (60,), (2, 3), ()]]
    scores = [Scores((weight,)) for weight in weights]
    most = 87 if limits is None else sum(limits)
    for count in range(0, most + 1, 11):
        choice = choose(scores, count, largest=largest, limits=limits)
        assert choice.count == count
        expected = by_sorting([weight.abs() for weight in weights], count, largest=largest, limits=limits)
        assert_masks(list(chosen_masks(scores, choice)), expected)
        assert list(choice.counts) == [int(mask.sum()) for mask in expected]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("largest", [False, True])
def test_signed_scores_with_infinities_and_both_zeros(dtype: torch.dtype, largest: bool, path: str) -> None:
    special = torch.tensor([0.0, -0.0, math.inf, -math.inf, -0.0, 0.0, 1e-7, -1e-7], dtype=dtype)
    values = [special, normal(30, dtype=dtype), torch.empty(0, dtype=dtype), -special]
    scores = [Scores((value,), torch.clone) for value in values]
    for count in range(0, 47, 3):
        choice = choose(scores, count, largest=largest)
        assert_masks(list(chosen_masks(scores, choice)), by_sorting(values, count, largest=largest))


def test_freed_budget_goes_to_the_lowest_of_the_others() -> None:
    low, high = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([9.0, 5.0, 6.0])
    scores = [Scores((low,)), Scores((high,))]
    limits = [removable(4, floor=3), removable(3)]
    masks = list(chosen_masks(scores, choose(scores, 3, limits=limits)))
    assert [mask.tolist() for mask in masks] == [[True, False, False, False], [False, True, True]]


def test_mixed_dtypes_compare_by_value(path: str) -> None:
    values = [normal(20, dtype=dtype, seed=seed) for seed, dtype in enumerate(FLOATS)]
    scores = [Scores((value,)) for value in values]
    choice = choose(scores, 33)
    assert choice.dtype is torch.float64
    assert_masks(list(chosen_masks(scores, choice)), by_sorting([value.abs() for value in values], 33))


def test_scores_of_several_tensors_are_computed_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CPU_BLOCK", 16)
    seen: list[int] = []

    def taylor(weight: Tensor, gradient: Tensor) -> Tensor:
        seen.append(weight.numel())
        return (weight * gradient).abs()

    weight, gradient = normal(10, 9), normal(10, 9, seed=1)
    scores = [Scores((weight, gradient), taylor)]
    masks = list(chosen_masks(scores, choose(scores, 40)))
    assert_masks(masks, by_sorting([(weight * gradient).abs()], 40))
    assert max(seen) <= 16


@pytest.mark.parametrize("dtype", FLOATS)
def test_zeroing_touches_only_chosen_bits(dtype: torch.dtype, path: str) -> None:
    weight = nn.Parameter(normal(6, 8, dtype=dtype).t())
    before = weight.detach().clone()
    scores = [Scores((weight,))]
    choice = choose(scores, 20)
    (mask,) = chosen_masks(scores, choice)
    zero_chosen_([weight], scores, choice)
    assert torch.equal(weight, torch.where(mask, 0.0, before))
    assert not bool(torch.signbit(weight.detach()[mask]).any())
    assert weight.grad_fn is None


def test_target_need_not_be_a_scored_tensor() -> None:
    weight = normal(3, 4)
    scores = [Scores((normal(3, 4, seed=5),), torch.clone)]
    choice = choose(scores, 7)
    (mask,) = chosen_masks(scores, choice)
    expected = weight.masked_fill(mask, 0.0)
    zero_chosen_([weight], scores, choice)
    assert torch.equal(weight, expected)


@pytest.mark.parametrize("largest", [False, True])
@pytest.mark.parametrize("bound", [0.0, 0.01, 1.5, -1.0, math.inf, -math.inf])
def test_beyond_a_bound_compares_real_numbers(largest: bool, bound: float, path: str) -> None:
    values = [torch.cat([normal(20), torch.tensor([0.01, 1.5, -0.0])]), normal(3, 5, seed=2).to(torch.bfloat16)]
    scores = [Scores((value,), torch.clone) for value in values]
    for limits in (None, [4, 2]):
        choice = choose_beyond(scores, bound, largest=largest, limits=limits)
        masks = list(chosen_masks(scores, choice))
        for position, (value, mask) in enumerate(zip(values, masks, strict=True)):
            beyond = value.double() > bound if largest else value.double() < bound
            most = value.numel() if limits is None else limits[position]
            count = min(most, int(beyond.sum()))
            assert_masks([mask], by_sorting([value], count, largest=largest))
            assert int((mask & ~beyond).sum()) == 0
            assert choice.counts[position] == count


def test_packed_masks_are_those_of_numpy() -> None:
    weights = [normal(5, 5), normal(9, seed=1), torch.empty(0)]
    scores = [Scores((weight,)) for weight in weights]
    choice = choose(scores, 17)
    for mask, packed in zip(chosen_masks(scores, choice), packed_masks(scores, choice), strict=True):
        assert packed.tolist() == np.packbits(mask.numpy().reshape(-1), bitorder="little").tolist()


def test_the_bound_lies_between_chosen_and_kept() -> None:
    weight = normal(50)
    for largest in (False, True):
        scores = [Scores((weight,), torch.clone)]
        choice = choose(scores, 20, largest=largest)
        (mask,) = chosen_masks(scores, choice)
        sign = -1 if largest else 1
        assert float((sign * weight[mask]).max()) <= sign * choice.bound(0) <= float((sign * weight[~mask]).min())


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("count", [0, 3, 10])
def test_nan_is_refused(position: int, sign: float, count: int, path: str) -> None:
    values = [normal(8), normal(8, seed=1)]
    values[position][5] = math.copysign(math.nan, sign)
    with pytest.raises(ValueError, match="NaN"):
        choose([Scores((value,), torch.clone) for value in values], count, limits=[8, 2])
    with pytest.raises(ValueError, match="NaN"):
        choose_beyond([Scores((value,), torch.clone) for value in values], 1.0)


def test_callers_mistakes_are_refused() -> None:
    scores = [Scores((normal(4),))]
    with pytest.raises(ValueError, match="5 of 4"):
        choose(scores, 5)
    with pytest.raises(ValueError, match="3 of 2"):
        choose(scores, 3, limits=[2])
    with pytest.raises(ValueError, match="-1 of 4"):
        choose(scores, -1)
    with pytest.raises(ValueError, match=r"shorter|longer"):
        choose(scores, 1, limits=[1, 1])
    with pytest.raises(ValueError, match="one shape"):
        Scores((normal(4), normal(5)))
    with pytest.raises(ValueError, match="int64"):
        choose([Scores((torch.arange(4),))], 1)
    with pytest.raises(ValueError, match="block of"):
        choose([Scores((normal(4),), lambda block: block[:-1])], 1)
    with pytest.raises(ValueError, match="NaN"):
        choose_beyond(scores, math.nan)
    with pytest.raises(ValueError, match="counts"):
        removable(4, floor=-1)


def test_nothing_to_choose_from() -> None:
    assert choose([], 0).cuts == ()
    assert choose([Scores((torch.empty(0, 3),))], 0).counts == (0,)


@pytest.mark.parametrize(
    ("floor", "cap", "expected"), [(0, None, 10), (3, None, 7), (12, None, 0), (3, 5, 5), (8, 5, 2)]
)
def test_floor_and_cap_make_a_limit(floor: int, cap: int | None, expected: int) -> None:
    assert removable(10, floor, cap) == expected


@pytest.mark.parametrize("largest", [False, True])
def test_many_entries_take_the_histogram_path(largest: bool) -> None:
    """One and a half million real entries, more than are ever sorted, half of them equal."""
    values = [normal(1_000_000), normal(500_000, seed=1).clamp(-0.2, 0.2), torch.zeros(100_000)]
    scores = [Scores((value,)) for value in values]
    joined = torch.cat([value.abs() for value in values])
    for count in (150_000, 800_000, 1_600_000 - 1):
        choice = choose(scores, count, largest=largest)
        expected = torch.zeros(len(joined), dtype=torch.bool)
        expected[torch.sort(joined, stable=True, descending=largest).indices[:count]] = True
        assert torch.equal(torch.cat(list(chosen_masks(scores, choice))), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_device_does_not_matter() -> None:
    values = [normal(300, 40), normal(77, seed=1).round()]
    on_cpu = [Scores((value,)) for value in values]
    on_gpu = [Scores((value.cuda(),)) for value in values]
    for limits in (None, [9000, 10]):
        choice = choose(on_cpu, 5000, limits=limits)
        assert choose(on_gpu, 5000, limits=limits) == choice
        masks = [mask.cpu() for mask in chosen_masks(on_gpu, choice)]
        assert_masks(masks, list(chosen_masks(on_cpu, choice)))
