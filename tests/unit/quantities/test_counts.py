"""Counts: what is predicted from the interface is what the live network has, and what its definition says."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.interface.lock import WeightFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.modules.bottleneck import Bottleneck
from surgery_dsl.modules.insertion import insert
from surgery_dsl.modules.low_rank import LowRank
from surgery_dsl.modules.quantized_linear import QuantizedLinear
from surgery_dsl.proof.bookkeeping import extremes
from surgery_dsl.vocabulary import catalogue
from tests.unit.quantities.bench import Bench, static, traced


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x).relu())


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).view(n, t, 3, 2, 4).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.out(mixed.transpose(1, 2).reshape(n, t, 8))


def with_adapter() -> nn.Module:
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    insert(model[1], "adapter", "after", Bottleneck(5, 2))
    return model


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int | str, ...]]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3, bias=False)), ("N", 6)),
    "cnn": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 8, 3, stride=2, groups=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 3),
        ),
        ("N", 1, 9, 9),
    ),
    "transposed": (lambda: nn.Sequential(nn.ConvTranspose2d(3, 4, 3, stride=2), nn.Conv2d(4, 2, 1)), ("N", 3, 5, 5)),
    "tied": (Tied, ("N", 6)),
    "attention": (Attention, ("N", 7, 8)),
    "quantized": (
        lambda: nn.Sequential(QuantizedLinear(6, 5, symmetric=False), nn.ReLU(), QuantizedLinear(5, 3)),
        ("N", 6),
    ),
    "low rank": (lambda: nn.Sequential(LowRank(6, 8, 2), nn.ReLU(), nn.Linear(8, 3)), ("N", 6)),
    "adapter": (with_adapter, ("N", 6)),
    "norms": (lambda: nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3)), ("N", 6)),
}


def both(name: str, network: str) -> tuple[tuple[int, int], float, nn.Module, Interface]:
    build, dims = NETWORKS[network]
    model = build().eval()
    interface = traced(model, *dims)
    facts = {n: int(torch.count_nonzero(p)) for n, p in model.named_parameters()}
    word = catalogue.find("quantities", name)()
    low, high = word.bounds(interface, static(interface, WeightFacts(digest="0" * 64, nonzero=facts)))
    predicted = (extremes(interface, low)[0], extremes(interface, high)[1])
    return predicted, word.measure(model, interface, Bench(model)), model, interface


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", ["params", "nonzero", "weight_bytes", "macs"])
def test_predicted_is_measured(name: str, network: str) -> None:
    (least, most), measured, _, _ = both(name, network)
    assert least == most == measured


@pytest.mark.parametrize("network", NETWORKS)
def test_params_are_torch_s(network: str) -> None:
    _, measured, model, _ = both("params", network)
    assert measured == sum(p.numel() for p in {id(p): p for p in model.parameters()}.values())


@pytest.mark.parametrize("network", [n for n in NETWORKS if n not in ("tied",)])
def test_weight_bytes_are_the_saved_tensors(network: str, tmp_path: object) -> None:
    _, measured, model, _ = both("weight_bytes", network)
    from safetensors.torch import save

    data = save({name: tensor.contiguous() for name, tensor in model.state_dict().items()})
    header = 8 + int.from_bytes(data[:8], "little")
    assert measured == len(data) - header


def test_macs_are_half_of_torch_s_flops() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    for network in ("mlp", "cnn", "transposed", "low rank"):
        _, measured, model, _ = both("macs", network)
        dims = [1 if size == "N" else size for size in NETWORKS[network][1]]
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            model(torch.zeros([int(size) for size in dims]))
        assert 2 * measured == counter.get_total_flops(), network


def test_macs_of_attention() -> None:
    tokens, width, heads, size = 7, 8, 2, 4
    projections = tokens * width * 3 * width + tokens * width * width
    products = heads * tokens * tokens * size * 2
    assert both("macs", "attention")[1] == projections + products


def test_zeros_are_not_counted_and_nan_is() -> None:
    model = nn.Linear(4, 3)
    with torch.no_grad():
        model.weight.fill_(1.0)[0, :2] = torch.tensor([0.0, -0.0])
        model.weight[1, 0] = torch.nan
        model.bias.zero_()
    word = catalogue.find("quantities", "nonzero")()
    assert word.measure(model, traced(model, "N", 4), Bench(model)) == 10


def test_without_weights_nothing_is_known_of_nonzero() -> None:
    model = nn.Linear(4, 3)
    interface = traced(model, "N", 4)
    low, high = catalogue.find("quantities", "nonzero")().bounds(interface, static(interface))
    assert (low.value, high.value) == (0, 15)


def test_buffers_that_are_not_saved_weigh_nothing() -> None:
    model = nn.Linear(4, 3)
    model.register_buffer("mask", torch.ones(100), persistent=False)
    model.register_buffer("kept", torch.ones(10))
    word = catalogue.find("quantities", "weight_bytes")()
    assert word.measure(model, traced(model, "N", 4), Bench(model)) == 4 * (15 + 10)


# ---- bytes of mixed dtypes ---------------------------------------------------------------------------------------


class Mixed(nn.Module):
    """Halves, bytes, codes of four bits two to a byte with their scales, buffers saved and not, a tie."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8).bfloat16()
        self.norm = nn.BatchNorm1d(8)
        self.coded = QuantizedLinear(8, 8)
        self.register_buffer("packed", torch.zeros(8, 4, dtype=torch.uint8))
        self.register_buffer("scale", torch.ones(8, 1, dtype=torch.float16))
        self.register_buffer("mask", torch.ones(8, dtype=torch.bool))
        self.register_buffer("table", torch.ones(50), persistent=False)
        self.out, self.again = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
        self.again.weight = self.out.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.coded(self.norm(self.first(x.bfloat16()).float()))
        low, high = (self.packed & 15).float() - 8, (self.packed >> 4).float() - 8
        weight = torch.stack([low, high], -1).flatten(1) * self.scale
        return self.again(self.out(F.linear(x, weight.float()) * self.mask * self.table[:8]).relu())


def test_bytes_of_mixed_dtypes_are_those_of_the_file() -> None:
    from safetensors.torch import save

    model = Mixed().eval()
    interface = traced(model, "N", 6)
    word = catalogue.find("quantities", "weight_bytes")()
    low, high = word.bounds(interface, static(interface))
    kept = {name: tensor for name, tensor in model.state_dict().items() if name != "again.weight"}
    data = save({name: tensor.contiguous() for name, tensor in kept.items()})
    payload = len(data) - 8 - int.from_bytes(data[:8], "little")
    assert low == high
    assert low.value == word.measure(model, interface, Bench(model)) == payload
    assert {tensor.dtype for tensor in interface.tensors} >= {"bf16", "f32", "i8", "u8", "f16", "bool", "i64"}


def test_a_tie_is_counted_once_and_every_dtype_has_a_size() -> None:
    from surgery_dsl.trace.dtypes import BY_NAME, name_of
    from surgery_dsl.vocabulary.quantities._counting import element_bytes

    others = (torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16, torch.uint32, torch.uint64)
    for dtype in (*BY_NAME.values(), *others):
        assert element_bytes(name_of(dtype)) == dtype.itemsize
    model, interface = Mixed().eval(), traced(Mixed().eval(), "N", 6)
    word = catalogue.find("quantities", "weight_bytes")()
    untied = copy.deepcopy(model)
    untied.again.weight = nn.Parameter(untied.out.weight.detach().clone())
    more = word.measure(untied, interface, Bench(untied)) - word.measure(model, interface, Bench(model))
    assert more == 4 * 64
