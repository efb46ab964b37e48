"""Int8 weights: the half-step bound in exact rational arithmetic, and torch's own quantizer beside it."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Literal

import pytest
import torch
from torch import Tensor

from surgery_dsl.kernels import blocks
from surgery_dsl.kernels.quantizers import Quantized, dequantize, quantize

FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def assert_within_half_a_step(weight: Tensor, quantized: Quantized) -> None:
    """Compare rationals: no rounding anywhere, neither of the bound nor of the restored weight."""
    rows = weight.reshape(len(weight), -1).double().tolist()
    restored = quantized.restored().reshape(len(weight), -1).double().tolist()
    for index, (row, back) in enumerate(zip(rows, restored, strict=True)):
        scale = Fraction(float(quantized.scale if quantized.scale.dim() == 0 else quantized.scale[index]))
        assert scale > 0
        for value, other in zip(row, back, strict=True):
            assert abs(Fraction(value) - Fraction(other)) <= scale / 2


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("per", ["channel", "tensor"])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("magnitude", [1.0, 1e-3, 7e4])
def test_every_weight_is_within_half_a_step(
    dtype: torch.dtype,
    per: Literal["channel", "tensor"],
    symmetric: bool,
    magnitude: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(blocks, "CPU_BLOCK", 50)
    magnitude = min(magnitude, torch.finfo(dtype).max / 1e2)
    weight = (normal(6, 5, 4, dtype=torch.float64) * magnitude).to(dtype)
    weight[2] = 0
    weight[3] = weight[3].abs()
    quantized = quantize(weight, per=per, symmetric=symmetric)
    assert quantized.values.dtype is torch.int8
    assert quantized.values.shape == weight.shape
    assert quantized.scale.shape == ((6,) if per == "channel" else ())
    assert quantized.scale.dtype is (torch.float64 if dtype is torch.float64 else torch.float32)
    assert_within_half_a_step(weight, quantized)
    assert torch.equal(quantized.restored()[2], torch.zeros(5, 4, dtype=quantized.scale.dtype))
    if symmetric:
        assert quantized.zero_point is None
        assert int(quantized.values.min()) >= -127


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("symmetric", [True, False])
def test_subnormal_and_huge_weights(dtype: torch.dtype, symmetric: bool) -> None:
    info = torch.finfo(dtype)
    tiny = info.smallest_normal * info.eps
    rows = [
        [tiny, -tiny, 0.0, 3 * tiny],
        [100 * tiny, -127 * tiny, 33 * tiny, 0.0],
        [1000 * tiny, -777 * tiny, 5 * tiny, -tiny],
        [info.smallest_normal, -tiny, info.smallest_normal / 3, 0.0],
        [info.max / 8, -info.max / 8, info.max / 1000, tiny],
        [tiny, tiny, tiny, tiny],
        [-0.0, 0.0, 0.0, -0.0],
        [1.0, 1.0, 1.0, 1.0],
    ]
    weight = torch.tensor(rows, dtype=dtype)
    for per in ("channel", "tensor"):
        quantized = quantize(weight, per=per, symmetric=symmetric)
        assert_within_half_a_step(weight, quantized)
        assert bool(torch.isfinite(quantized.restored()).all())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ties_at_both_ends_stay_within_half_a_step(symmetric: bool, dtype: torch.dtype) -> None:
    """Ranges whose ends are both half-way between integers are where a zero point may cost a step."""
    offsets = torch.arange(0.0, 255.5, 0.5, dtype=torch.float64)
    weight = torch.stack([torch.stack([-low, 255 - low, 1.5 - low / 3]) for low in offsets]).to(dtype) / 64
    weight = torch.cat([weight, torch.nextafter(weight, torch.zeros(())), torch.nextafter(weight, torch.ones(()) * 9)])
    assert_within_half_a_step(weight, quantize(weight, symmetric=symmetric))


@pytest.mark.parametrize("symmetric", [True, False])
def test_quantizing_again_changes_nothing(symmetric: bool) -> None:
    first = quantize(normal(8, 30), symmetric=symmetric)
    second = quantize(first.restored(), symmetric=symmetric)
    assert torch.equal(second.restored(), first.restored())
    if symmetric:
        assert torch.equal(second.values, first.values)
        assert torch.equal(second.scale, first.scale)


def test_a_step_is_hardly_larger_than_needed() -> None:
    weight = normal(10, 40)
    ideal = weight.abs().amax(1).double() / 127
    ratio = quantize(weight).scale.double() / ideal
    assert float(ratio.min()) >= 1
    assert float(ratio.max()) <= 1 + 2.0**-15
    span = weight.amax(1).double() - weight.amin(1).double()
    ratio = quantize(weight, symmetric=False).scale.double() / (span / 255)
    assert float(ratio.min()) >= 1 - 2.0**-52
    assert float(ratio.max()) <= 1 + 2.0**-15


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("symmetric", [True, False])
def test_integers_are_those_of_torch(symmetric: bool) -> None:
    weight = normal(7, 20)
    quantized = quantize(weight, symmetric=symmetric)
    zero = torch.zeros(7, dtype=torch.int64) if quantized.zero_point is None else quantized.zero_point.long()
    theirs = torch.quantize_per_channel(weight, quantized.scale, zero, 0, torch.qint8)
    assert torch.equal(theirs.int_repr(), quantized.values)
    torch.testing.assert_close(theirs.dequantize(), quantized.restored(), rtol=1e-6, atol=0)


def test_layouts_and_requested_dtype() -> None:
    weight = torch.nn.Parameter(normal(5, 8).t())
    quantized = quantize(weight)
    assert torch.equal(quantized.values, quantize(weight.detach().contiguous()).values)
    assert quantized.restored(torch.bfloat16).dtype is torch.bfloat16
    assert not quantized.restored().requires_grad
    assert quantize(torch.empty(0, 3)).values.shape == (0, 3)
    assert quantize(torch.empty(3, 0), per="tensor").values.shape == (3, 0)
    assert_within_half_a_step(normal(9), quantize(normal(9)))


def test_callers_mistakes_are_refused() -> None:
    for bad in (math.nan, math.inf, -math.inf, torch.finfo(torch.float32).max):
        with pytest.raises(ValueError, match="finite"):
            quantize(torch.tensor([[1.0, bad]]))
    with pytest.raises(ValueError, match="rows"):
        quantize(torch.tensor(1.0))
    with pytest.raises(ValueError, match="rows"):
        quantize(torch.arange(3))
    with pytest.raises(ValueError, match="does not fit"):
        dequantize(torch.zeros(3, 2, dtype=torch.int8), torch.ones(2))
