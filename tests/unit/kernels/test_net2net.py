"""Wider and deeper networks compute what they computed before."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.kernels.deepening import identity_convolution, identity_linear
from surgery_dsl.kernels.widening import copies, duplication, perturb_copies_, widen_reader, widen_writer


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=generator(seed), dtype=dtype)


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("target", [5, 7, 10, 23])
def test_a_wider_layer_computes_the_same(seed: int | None, target: int) -> None:
    into, bias, out = normal(5, 3), normal(5, seed=1), normal(4, 5, seed=2)
    source = duplication(5, target, None if seed is None else generator(seed))
    wide_into, wide_bias = widen_writer(into, 0, source), widen_writer(bias, 0, source)
    wide_out = widen_reader(out, 1, source)
    assert wide_into.shape == (target, 3)
    assert wide_out.shape == (4, target)
    inputs = normal(20, 3, seed=3)
    before = torch.relu(inputs @ into.t() + bias) @ out.t()
    after = torch.relu(inputs @ wide_into.t() + wide_bias) @ wide_out.t()
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12)


def test_doubling_is_exact_in_single_precision_up_to_the_order_of_sums() -> None:
    out = normal(4, 5, dtype=torch.float32)
    source = duplication(5, 10)
    wide = widen_reader(out, 1, source)
    assert torch.equal(wide[:, :5] + wide[:, 5:], out)


def test_a_flattened_convolution_is_widened_by_channel() -> None:
    convolution, head = nn.Conv2d(2, 3, 3).double(), nn.Linear(3 * 16, 5).double()
    source = duplication(3, 7, generator())
    inputs = normal(4, 2, 6, 6)
    before = head(convolution(inputs).relu().flatten(1))
    weight = widen_writer(convolution.weight, 0, source)
    bias = widen_writer(convolution.bias.detach(), 0, source) if convolution.bias is not None else None
    reader = widen_reader(head.weight.detach(), 1, source, (3, 16), 0)
    hidden = nn.functional.conv2d(inputs, weight, bias).relu().flatten(1)
    torch.testing.assert_close(nn.functional.linear(hidden, reader, head.bias), before, rtol=1e-12, atol=1e-12)


def test_sources_keep_originals_first() -> None:
    assert duplication(3, 8).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    drawn = duplication(3, 50, generator(7))
    assert drawn[:3].tolist() == [0, 1, 2]
    assert set(drawn.tolist()) == {0, 1, 2}
    assert torch.equal(drawn, duplication(3, 50, generator(7)))
    counts = copies(drawn, 3)
    assert counts.tolist() == [drawn.tolist().count(unit) for unit in drawn.tolist()]
    for width, target in ((4, 3), (0, 3)):
        with pytest.raises(ValueError, match="cannot be widened"):
            duplication(width, target)


def test_noise_reaches_the_copies_alone() -> None:
    weight = normal(6, 400, dtype=torch.float32)
    wide = widen_writer(weight, 0, duplication(6, 9))
    before = wide.clone()
    perturb_copies_(wide, 0, 6, 0.1, generator())
    assert torch.equal(wide[:6], before[:6])
    spread = float((wide[6:] - before[6:]).std()) / float(weight.std())
    assert 0.09 < spread < 0.11
    again = before.clone()
    perturb_copies_(again, 0, 6, 0.1, generator())
    assert torch.equal(again, wide)
    perturb_copies_(again, 0, 9, 0.1, generator())
    perturb_copies_(again, 0, 6, 0.0, generator())
    assert torch.equal(again, wide)
    with pytest.raises(ValueError, match="standard deviation"):
        perturb_copies_(wide, 0, 6, -0.1, generator())


def test_noise_on_one_axis_of_a_product() -> None:
    wide = torch.ones(2, 12) * torch.arange(12)
    before = wide.clone()
    perturb_copies_(wide, 1, 2, 0.5, generator(), (3, 4), 0)
    assert torch.equal(wide[:, :8], before[:, :8])
    assert not bool((wide[:, 8:] == before[:, 8:]).any())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_identity_layer_returns_its_input(dtype: torch.dtype) -> None:
    weight, bias = identity_linear(6, dtype=dtype)
    inputs = normal(9, 6).to(dtype)
    assert torch.equal(nn.functional.linear(inputs, weight, bias), inputs)
    with pytest.raises(ValueError, match="0 units"):
        identity_linear(0)


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("kernel", [(3,), (1, 5), (3, 3), (1, 3, 5)])
def test_an_identity_convolution_is_torchs_dirac(groups: int, kernel: tuple[int, ...]) -> None:
    weight, bias = identity_convolution(6, kernel, groups=groups)
    assert torch.equal(weight, nn.init.dirac_(torch.empty_like(weight), groups=groups))
    assert torch.equal(bias, torch.zeros(6))
    if len(kernel) == 2:
        inputs = normal(2, 6, 7, 7, dtype=torch.float32)
        padding = [size // 2 for size in kernel]
        assert torch.equal(nn.functional.conv2d(inputs, weight, bias, padding=padding, groups=groups), inputs)


def test_kernels_without_a_middle_are_refused() -> None:
    with pytest.raises(ValueError, match="middle"):
        identity_convolution(4, (3, 2))
    with pytest.raises(ValueError, match="groups"):
        identity_convolution(4, (3,), groups=3)
