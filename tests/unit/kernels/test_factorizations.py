"""Low-rank factors against the Eckart-Young optimum, computed by numpy in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from surgery_dsl.kernels.factorizations import largest_saving_rank, numerical_rank, product_error, truncated_svd

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(12, 7), (7, 12), (9, 9), (1, 5), (5, 1)])
def test_the_error_is_the_least_possible(dtype: torch.dtype, shape: tuple[int, int]) -> None:
    weight = normal(*shape, dtype=dtype)
    values = np.linalg.svd(weight.double().numpy(), compute_uv=False)
    rounding = 16 * torch.finfo(dtype).eps
    for rank in range(1, min(shape) + 1):
        outer, inner, error = truncated_svd(weight, rank)
        assert outer.shape == (shape[0], rank)
        assert inner.shape == (rank, shape[1])
        assert outer.dtype is inner.dtype is dtype
        best = math.sqrt((values[rank:] ** 2).sum() / (values**2).sum())
        assert abs(error - best) <= rounding
        measured = np.linalg.norm(weight.double().numpy() - outer.double().numpy() @ inner.double().numpy())
        assert math.isclose(error, measured / np.linalg.norm(weight.double().numpy()), rel_tol=1e-9, abs_tol=1e-14)


def test_factors_share_the_singular_values_evenly() -> None:
    weight = normal(10, 6, dtype=torch.float64)
    outer, inner, _ = truncated_svd(weight, 4)
    values = torch.linalg.svdvals(weight)[:4]
    torch.testing.assert_close(outer.t() @ outer, values.diag())
    torch.testing.assert_close(inner @ inner.t(), values.diag())


def test_signs_are_fixed() -> None:
    weight = normal(10, 6, dtype=torch.float64)
    outer, inner, _ = truncated_svd(weight, 3)
    assert all(float(column[column.abs().argmax()]) > 0 for column in outer.t())
    again = truncated_svd(weight.clone(), 3)
    assert torch.equal(again.outer_OR, outer)
    assert torch.equal(again.inner_RI, inner)


def test_a_matrix_of_low_rank_is_kept() -> None:
    weight = normal(20, 3, dtype=torch.float64) @ normal(3, 15, seed=1, dtype=torch.float64)
    assert truncated_svd(weight, 3).relative_error < 1e-14
    assert numerical_rank(weight) == 3
    assert numerical_rank(weight.float()) == 3
    assert numerical_rank(torch.zeros(4, 4)) == 0
    assert numerical_rank(torch.zeros(4, 0)) == 0
    assert numerical_rank(torch.diag(torch.tensor([1.0, 0.5, 0.01])), tolerance=0.1) == 2


def test_a_zero_matrix_has_no_error() -> None:
    assert truncated_svd(torch.zeros(4, 3), 2).relative_error == 0.0
    assert product_error(torch.zeros(2, 2), torch.ones(2, 1), torch.ones(1, 2)) == math.inf


@pytest.mark.parametrize(("outputs", "inputs"), [(10, 10), (7, 13), (1, 9), (2, 2), (64, 10), (100, 1)])
def test_the_largest_rank_that_saves(outputs: int, inputs: int) -> None:
    saving = [rank for rank in range(1, 200) if rank * (outputs + inputs) < outputs * inputs]
    assert largest_saving_rank(outputs, inputs) == max(saving, default=0)


def test_callers_mistakes_are_refused() -> None:
    for rank in (0, 4, -1):
        with pytest.raises(ValueError, match=r"1\.\.3"):
            truncated_svd(torch.zeros(4, 3), rank)
    with pytest.raises(ValueError, match="matrix"):
        truncated_svd(torch.zeros(4), 1)
    with pytest.raises(ValueError, match="matrix"):
        truncated_svd(torch.zeros(4, 4, dtype=torch.int64), 1)
    with pytest.raises(ValueError, match="finite"):
        truncated_svd(torch.tensor([[1.0, math.nan]]), 1)
