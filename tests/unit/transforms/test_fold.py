"""Batch norms that go into the layers before them: the same function, with fewer tensors."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from surgery_dsl.kernels.norm_folding import fold_norm
from surgery_dsl.vocabulary.transforms.fold import Fold
from surgery_dsl.vocabulary.transforms.lora import Lora
from tests.unit.transforms.bench import Bench, linear, module, spec

LAYERS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 8), nn.BatchNorm1d, (6,)),
    "linear without bias": (lambda: nn.Linear(6, 8, bias=False), nn.BatchNorm1d, (6,)),
    "conv1d": (lambda: nn.Conv1d(6, 8, 3, padding=1, bias=False), nn.BatchNorm1d, (6, 7)),
    "conv2d": (lambda: nn.Conv2d(6, 8, 3, stride=2, padding="valid", dilation=2), nn.BatchNorm2d, (6, 9, 9)),
    "conv2d same": (lambda: nn.Conv2d(6, 8, 3, padding="same", bias=False), nn.BatchNorm2d, (6, 5, 5)),
    "grouped": (lambda: nn.Conv2d(6, 8, 3, padding=1, groups=2, bias=False), nn.BatchNorm2d, (6, 5, 5)),
    "depthwise": (lambda: nn.Conv2d(6, 6, 3, groups=6, bias=False), nn.BatchNorm2d, (6, 5, 5)),
    "conv3d": (lambda: nn.Conv3d(2, 4, 2, bias=False), nn.BatchNorm3d, (2, 3, 3, 3)),
    "transposed": (
        lambda: nn.ConvTranspose2d(6, 8, 3, stride=2, output_padding=1, bias=False),
        nn.BatchNorm2d,
        (6, 4, 4),
    ),
    "transposed, grouped": (lambda: nn.ConvTranspose1d(6, 8, 3, groups=2), nn.BatchNorm1d, (6, 5)),
    "without gain": (lambda: nn.Conv1d(6, 8, 3), lambda n: nn.BatchNorm1d(n, affine=False, eps=0.3), (6, 7)),
}


def drawn(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(5)
    model = model.double().eval()
    with torch.no_grad():
        for one in model.parameters():
            one.copy_(torch.randn(one.shape, generator=generator, dtype=torch.float64))
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn(buffer.shape, generator=generator, dtype=torch.float64))
            elif name.endswith("running_var"):
                buffer.copy_(torch.rand(buffer.shape, generator=generator, dtype=torch.float64) + 0.1)
    return model


def network(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    layer, norm, shape = LAYERS[name]
    first = layer()
    width = getattr(first, "out_channels", None) or first.out_features
    assert isinstance(width, int)
    return nn.Sequential(first, norm(width), nn.Tanh()), shape


@pytest.mark.parametrize("name", LAYERS)
def test_the_function_stays_and_the_prediction_holds(name: str) -> None:
    model, shape = network(name)
    model = drawn(model)
    x = torch.randn(5, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = model(x)
    bench = Bench(model, spec("N", *shape, dtype="f64"))
    outcome = bench.step(Fold(), "at", module("1"))
    assert outcome.codes == []
    assert outcome.differences == ()
    assert (outcome.effect.function, outcome.effect.rule) == ("exact", "norm_fold")
    assert not any("running" in tensor.name for tensor in bench.interface.tensors)
    with torch.no_grad():
        torch.testing.assert_close(bench.model(x), wanted, rtol=1e-11, atol=1e-11)

    def again() -> nn.Module:
        return network(name)[0]

    reloaded = bench.replayed(again)
    with torch.no_grad():
        assert torch.equal(reloaded(x), bench.model(x))


def test_all_of_a_network_at_once() -> None:
    model = drawn(
        nn.Sequential(
            nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6)
        )
    )
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    wanted = model(x).detach()
    bench = Bench(model, spec("N", 1, 8, 8, dtype="f64"))
    outcome = bench.step(Fold(), "at", module("1"), module("4"))
    assert outcome.codes == []
    assert outcome.differences == ()
    torch.testing.assert_close(bench.model(x).detach(), wanted, rtol=1e-11, atol=1e-11)


def test_torch_folds_alike() -> None:
    for name in ("conv2d", "linear"):
        parts: list[Any] = list(drawn(network(name)[0]).children())
        layer, norm = parts[:2]
        theirs: Any = (fuse_linear_bn_eval if name == "linear" else fuse_conv_bn_eval)(layer, norm)
        weight, bias = fold_norm(
            layer.weight, layer.bias, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
        )
        torch.testing.assert_close(weight, theirs.weight, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(bias, theirs.bias, rtol=1e-13, atol=1e-13)


class Branching(nn.Module):
    """What the convolution gives is read beside the norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv1d(3, 4, 1), nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        y: Tensor = self.bn(h) + h
        return y


class Twice(nn.Module):
    """One convolution, two norms."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.other = nn.Conv1d(3, 3, 1), nn.BatchNorm1d(3), nn.BatchNorm1d(3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.other(self.conv(self.bn(self.conv(x))))
        return y


class Shared(nn.Module):
    """Two layers with one weight, one of them normed."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.bn = nn.Linear(4, 4), nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.two.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.two(torch.relu(self.bn(self.one(x))))
        return y


REFUSED: dict[str, tuple[nn.Module, tuple[int, ...], str, str]] = {
    "read beside the norm": (Branching(), (3, 5), "bn", "read-elsewhere"),
    "runs twice": (Twice(), (3, 5), "bn", "site-does-not-fit"),
    "shared weight": (Shared(), (4,), "bn", "read-elsewhere"),
    "norm first": (nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 4)), (4,), "0", "site-does-not-fit"),
    "activation between": (
        nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.BatchNorm1d(4)),
        (4,),
        "2",
        "site-does-not-fit",
    ),
    "layer norm": (nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4)), (4,), "1", "site-does-not-fit"),
    "no statistics": (
        nn.Sequential(nn.Conv1d(4, 4, 1), nn.BatchNorm1d(4, track_running_stats=False)),
        (4, 5),
        "1",
        "site-does-not-fit",
    ),
    "another dimension": (nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(3)), (3, 4), "1", "site-does-not-fit"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_folded_is_refused(name: str) -> None:
    model, shape, path, code = REFUSED[name]
    outcome = Bench(drawn(model), spec("N", *shape, dtype="f64")).step(Fold(), "at", module(path))
    assert outcome.codes == [code]


def test_an_adapter_beside_the_layer_would_not_be_scaled() -> None:
    bench = Bench(drawn(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))), spec("N", 4, dtype="f64"))
    bench.step(Lora(rank=2), "at", linear("0"), name="adapter")
    assert bench.step(Fold(), "at", module("1")).codes == ["site-does-not-fit"]
