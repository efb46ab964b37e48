"""Fresh weights against torch.nn.init with the same generator."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.kernels.initializers import fans, kaiming_, orthogonal_, xavier_

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SHAPES = [(6, 4), (5, 3, 3, 3), (1, 7)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_kaiming_is_torchs(shape: tuple[int, ...], mode: str, distribution: str, dtype: torch.dtype) -> None:
    ours, theirs = torch.empty(shape, dtype=dtype), torch.empty(shape, dtype=dtype)
    kaiming_(ours, generator(), mode=mode, distribution=distribution)  # type: ignore[arg-type]
    fill = nn.init.kaiming_normal_ if distribution == "normal" else nn.init.kaiming_uniform_
    fill(theirs, mode=mode, nonlinearity="relu", generator=generator())  # type: ignore[arg-type]
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("distribution", ["normal", "uniform"])
def test_xavier_is_torchs(shape: tuple[int, ...], distribution: str) -> None:
    ours, theirs = torch.empty(shape), torch.empty(shape)
    xavier_(ours, generator(), gain=1.5, distribution=distribution)  # type: ignore[arg-type]
    fill = nn.init.xavier_normal_ if distribution == "normal" else nn.init.xavier_uniform_
    fill(theirs, gain=1.5, generator=generator())
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (3, 2, 3, 3), (30, 2, 3, 3)])
@pytest.mark.parametrize("gain", [1.0, 0.5])
def test_orthogonal_is_torchs(shape: tuple[int, ...], gain: float) -> None:
    ours, theirs = torch.empty(shape, dtype=torch.float64), torch.empty(shape, dtype=torch.float64)
    orthogonal_(ours, generator(), gain=gain)
    nn.init.orthogonal_(theirs, gain=gain, generator=generator())
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)
    matrix = ours.flatten(1)
    product = matrix @ matrix.t() if matrix.shape[0] <= matrix.shape[1] else matrix.t() @ matrix
    torch.testing.assert_close(product, gain**2 * torch.eye(len(product), dtype=torch.float64))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("fill", [kaiming_, xavier_, orthogonal_])
def test_a_seed_gives_the_same_weights_in_every_precision(dtype: torch.dtype, fill: Callable[..., None]) -> None:
    weight = nn.Parameter(torch.empty(8, 4, dtype=dtype))
    single = torch.empty(8, 4, dtype=torch.float64 if dtype is torch.float64 else torch.float32)
    fill(weight, generator(3))
    fill(single, generator(3))
    assert torch.equal(weight.detach(), single.to(dtype))
    assert weight.grad_fn is None


@pytest.mark.parametrize("fill", [kaiming_, xavier_, orthogonal_])
def test_chosen_rows_start_afresh_and_others_stay(fill: Callable[..., None]) -> None:
    weight = torch.full((300, 5, 20), 9.0)
    rows = torch.arange(0, 300, 2)
    fill(weight, generator(), rows=rows)
    assert torch.equal(weight[1::2], torch.full((150, 5, 20), 9.0))
    fresh = weight[::2]
    assert not bool((fresh == 9.0).any())
    fan_in, fan_out = 100, 6000
    expected = {kaiming_: math.sqrt(2 / fan_in), xavier_: math.sqrt(2 / (fan_in + fan_out))}.get(fill)
    if expected is None:
        matrix = fresh.flatten(1).double()
        torch.testing.assert_close(matrix.t() @ matrix, torch.eye(100, dtype=torch.float64), rtol=0, atol=1e-5)
    else:
        assert math.isclose(float(fresh.std()), expected, rel_tol=0.02)


def test_few_orthogonal_rows_are_orthonormal_among_themselves() -> None:
    weight = torch.zeros(10, 8, dtype=torch.float64)
    orthogonal_(weight, generator(), rows=[7, 2, 4])
    rows = weight[[7, 2, 4]]
    torch.testing.assert_close(rows @ rows.t(), torch.eye(3, dtype=torch.float64))
    assert int((weight != 0).any(1).sum()) == 3


def test_no_rows_fill_nothing() -> None:
    weight = torch.ones(3, 2)
    for fill in (kaiming_, xavier_, orthogonal_):
        fill(weight, generator(), rows=[])
    assert torch.equal(weight, torch.ones(3, 2))


def check_fans(tensor: Tensor) -> tuple[int, int]:
    return nn.init._calculate_fan_in_and_fan_out(tensor)


def test_fans_are_torchs() -> None:
    for shape in ((6, 4), (5, 3, 3, 2), (4, 1, 7)):
        assert fans(torch.empty(shape)) == check_fans(torch.empty(shape))


def test_callers_mistakes_are_refused() -> None:
    for fill in (kaiming_, xavier_, orthogonal_):
        with pytest.raises(ValueError, match="fans"):
            fill(torch.zeros(4), generator())
        with pytest.raises(ValueError, match="repeated"):
            fill(torch.zeros(4, 4), generator(), rows=[1, 1])
        with pytest.raises(ValueError, match=r"0\.\.3"):
            fill(torch.zeros(4, 4), generator(), rows=[4])
