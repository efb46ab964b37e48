"""What the modules compute, against torch's own functions."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from surgery_dsl.kernels.quantizers import quantize
from surgery_dsl.modules.activations import activation
from surgery_dsl.modules.bottleneck import Bottleneck
from surgery_dsl.modules.deepened import Deepened
from surgery_dsl.modules.low_rank import LowRank
from surgery_dsl.modules.quantized_linear import QuantizedLinear
from surgery_dsl.modules.residual import Residual

X = torch.randn(4, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_activations() -> None:
    for name, reference in (
        ("relu", F.relu),
        ("gelu", F.gelu),
        ("silu", F.silu),
        ("leaky_relu", F.leaky_relu),
        ("identity", lambda x: x),
    ):
        assert torch.equal(activation(name)(X), reference(X))
    with pytest.raises(ValueError, match="tanhh"):
        activation("tanhh")


def test_bottleneck() -> None:
    module = Bottleneck(6, 3, "silu").double()
    down, up = module.down, module.up
    expected = X + F.linear(F.silu(F.linear(X, down.weight, down.bias)), up.weight, up.bias)
    assert torch.equal(module(X), expected)
    nn.init.zeros_(up.weight)
    nn.init.zeros_(up.bias)
    assert torch.equal(module(X), X)


def test_low_rank() -> None:
    module = LowRank(6, 7, 2).double()
    expected = F.linear(X, module.up.weight @ module.down.weight, module.up.bias)
    torch.testing.assert_close(module(X), expected, rtol=1e-12, atol=1e-12)
    assert module.down.bias is None
    assert LowRank(6, 7, 2, bias=False).up.bias is None


def test_residual() -> None:
    y = X * 2
    assert torch.equal(Residual(0.25).double()(y, X), y + X * 0.25)
    assert torch.equal(Residual(0.25, learned=False)(y, X), y + X * 0.25)
    assert torch.equal(Residual(1.0, learned=False)(y, X), y + X)
    assert [name for name, _ in Residual(0.5).named_parameters()] == ["gate"]
    assert not list(Residual(0.5, learned=False).parameters())
    assert Residual(0.5).gate.shape == ()


def test_deepened() -> None:
    linear = Deepened(6, "gelu").double()
    assert torch.equal(linear(X), F.gelu(F.linear(X, linear.layer.weight, linear.layer.bias)))
    images = X.view(2, 2, 5, 6)
    convolution = Deepened(2, "relu", "conv2d").double()
    expected = F.relu(F.conv2d(images, convolution.layer.weight, convolution.layer.bias))
    assert torch.equal(convolution(images), expected)
    with pytest.raises(ValueError, match="conv4d"):
        Deepened(2, "relu", "conv4d")  # type: ignore[arg-type]


def quantized(per: str, symmetric: bool, dtype: torch.dtype = torch.float32) -> tuple[QuantizedLinear, nn.Linear]:
    layer = nn.Linear(6, 7, dtype=dtype)
    stored = quantize(layer.weight, per=per, symmetric=symmetric)  # type: ignore[arg-type]
    module = QuantizedLinear(6, 7, per=per, symmetric=symmetric, dtype=dtype)  # type: ignore[arg-type]
    with torch.no_grad():
        module.weight.copy_(stored.values)
        module.scale.copy_(stored.scale)
        module.bias.copy_(layer.bias)
        if stored.zero_point is not None:
            module.zero_point.copy_(stored.zero_point)
    return module, layer


@pytest.mark.parametrize("per", ["channel", "tensor"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_quantized_linear_is_linear_in_the_restored_weight(per: str, symmetric: bool) -> None:
    module, layer = quantized(per, symmetric)
    zero = 0 if module.zero_point is None else module.zero_point.float().view(-1, 1)
    scale = module.scale.view(-1, 1)
    restored = (module.weight.float() - zero) * scale
    assert bool(((restored - layer.weight).abs() <= scale / 2).all())
    x = X.float()
    torch.testing.assert_close(module(x), F.linear(x, restored, layer.bias), rtol=1e-6, atol=1e-6)
    names = {"weight", "bias", "scale"} | (set() if symmetric else {"zero_point"})
    assert set(module.state_dict()) == names


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_quantized_linear_keeps_its_integers_and_its_scale_when_moved(dtype: torch.dtype) -> None:
    module, _ = quantized("channel", True)
    weight, scale = module.weight.clone(), module.scale.clone()
    module.to(dtype)
    assert module.weight.dtype is torch.int8
    assert torch.equal(module.weight, weight)
    assert torch.equal(module.scale.double(), scale.double())
    assert module.bias.dtype is dtype
    assert module(X.to(dtype)).dtype is dtype
    assert not module.weight.requires_grad
    module.to(torch.float32)
    assert torch.equal(module.scale.float(), scale)


def test_quantized_linear_trains_its_bias_and_hands_gradients_on() -> None:
    module, _ = quantized("channel", True)
    x = X.float().requires_grad_()
    module(x).sum().backward()
    assert module.bias.grad is not None
    assert x.grad is not None
    assert module.weight.grad is None
    assert torch.equal(copy.deepcopy(module)(x), module(x))


def test_declared_integers_are_dimensions_of_tensors() -> None:
    module, _ = quantized("channel", True)
    for attribute, (name, dim) in QuantizedLinear.axis_integers.items():
        assert getattr(module, attribute) == module.get_parameter(name).shape[dim]
