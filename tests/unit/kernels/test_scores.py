"""Scores against float64 formulas, and channel sums against plain reductions."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.kernels import blocks, scores
from surgery_dsl.kernels.scores import accumulate_, accumulator, axis_maxima, axis_sums

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.fixture(params=[7, 1 << 18], autouse=True)
def block_sizes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CPU_BLOCK", request.param)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def test_elementwise_formulas() -> None:
    weight, gradient = normal(4, 5, dtype=torch.float64), normal(4, 5, seed=1, dtype=torch.float64)
    for row in range(4):
        for column in range(5):
            w, g = float(weight[row, column]), float(gradient[row, column])
            assert float(scores.magnitude(weight)[row, column]) == abs(w)
            assert float(scores.gradient(gradient)[row, column]) == abs(g)
            assert float(scores.taylor(weight, gradient)[row, column]) == abs(w * g)
            squared = scores.squared_gradient(gradient)
            assert math.isclose(float(scores.fisher(weight, squared)[row, column]), w * w * g * g, rel_tol=1e-15)
            for power in (0.5, 1, 2, 3):
                assert math.isclose(float(scores.powered(power)(weight)[row, column]), abs(w) ** power, rel_tol=1e-14)


def test_a_norm_needs_a_positive_power() -> None:
    for power in (0, -1, math.nan):
        with pytest.raises(ValueError, match="positive"):
            scores.powered(power)


@pytest.mark.parametrize("dtype", FLOATS)
def test_batches_accumulate_in_single_precision_or_better(dtype: torch.dtype) -> None:
    gradients = [normal(3, 4, seed=seed, dtype=dtype) * 300 for seed in range(5)]
    total = accumulator(gradients[0])
    for gradient in gradients:
        accumulate_(total, scores.squared_gradient, gradient)
    expected = sum(gradient.double() ** 2 for gradient in gradients)
    assert total.dtype is (torch.float64 if dtype is torch.float64 else torch.float32)
    torch.testing.assert_close(total.double(), expected, rtol=1e-6, atol=0)


def test_accumulated_taylor_is_what_autograd_predicts() -> None:
    """On a loss linear in one weight, |w·g| is exactly the loss's change when the weight becomes zero."""
    layer = nn.Linear(3, 1, bias=False)
    inputs = normal(6, 3)
    layer(inputs).sum().backward()
    total = accumulator(layer.weight)
    assert layer.weight.grad is not None
    accumulate_(total, scores.taylor, layer.weight, layer.weight.grad)
    for column in range(3):
        cut = layer.weight.detach().clone()
        cut[0, column] = 0
        change = (inputs @ cut.t()).sum() - (inputs @ layer.weight.detach().t()).sum()
        torch.testing.assert_close(total[0, column], change.abs(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("dim", [0, 1, 2, 3])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_sums_and_maxima_over_all_but_one_dimension(dtype: torch.dtype, dim: int, layout: str) -> None:
    weight = normal(5, 4, 3, 2, dtype=dtype)
    if layout == "channels_last":
        weight = weight.contiguous(memory_format=torch.channels_last)
    others = [other for other in range(4) if other != dim]
    sums = axis_sums((weight,), torch.abs, dim)
    torch.testing.assert_close(sums, weight.double().abs().sum(others), rtol=1e-14, atol=0)
    assert torch.equal(axis_maxima((weight,), torch.abs, dim), weight.double().abs().amax(others))
    torch.testing.assert_close(
        axis_sums((weight, weight), scores.taylor, dim), weight.double().square().sum(others), rtol=1e-14, atol=0
    )


@pytest.mark.parametrize("position", [0, 1, 2])
def test_one_axis_of_a_product(position: int) -> None:
    weight = normal(3, 24, 2)
    view = weight.double().abs().view(3, 2, 4, 3, 2)
    others = [other for other in range(5) if other != 1 + position]
    sums = axis_sums((weight,), torch.abs, 1, sizes=(2, 4, 3), position=position)
    torch.testing.assert_close(sums, view.sum(others), rtol=1e-14, atol=0)
    assert torch.equal(axis_maxima((weight,), torch.abs, 1, sizes=(2, 4, 3), position=position), view.amax(others))


def test_a_vector_and_empty_tensors() -> None:
    assert axis_sums((torch.tensor([1.0, -2.0]),), torch.abs, 0).tolist() == [1.0, 2.0]
    assert axis_sums((torch.empty(2, 0),), torch.abs, 0).tolist() == [0.0, 0.0]
    assert axis_maxima((torch.empty(2, 0),), torch.abs, 0).tolist() == [-math.inf, -math.inf]
    assert axis_sums((torch.empty(0, 2),), torch.abs, 0).shape == (0,)


def test_nan_is_never_hidden() -> None:
    hidden = torch.tensor([[1.0, math.nan], [2.0, 3.0]])
    assert math.isnan(float(axis_maxima((hidden,), torch.abs, 0)[0]))
    assert math.isnan(float(axis_sums((hidden,), torch.abs, 0)[0]))


def test_callers_mistakes_are_refused() -> None:
    with pytest.raises(ValueError, match="multiply"):
        axis_sums((torch.zeros(2, 6),), torch.abs, 1, sizes=(4, 2))
    with pytest.raises(ValueError, match="does not exist"):
        axis_sums((torch.zeros(2, 6),), torch.abs, 2)
    with pytest.raises(ValueError, match="one shape"):
        axis_sums((torch.zeros(2), torch.zeros(3)), torch.mul, 0)
    with pytest.raises(ValueError, match="shapes differ"):
        accumulate_(torch.zeros(2), torch.abs, torch.zeros(3))
