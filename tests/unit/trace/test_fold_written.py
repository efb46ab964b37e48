"""Modules that write out an operator of torch are that operator, and only those."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.interface.model import Operator
from surgery_dsl.trace.capture import trace
from tests.unit.trace.oracle import assert_rule, spec
from tests.unit.trace.test_fold_norms import Net

Inner = Callable[[nn.Module, Tensor], Tensor]


def gelu(self: nn.Module, x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * torch.pow(x, 3.0))))


def centred(self: nn.Module, x: Tensor) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    return self.weight * ((x - mean) * torch.rsqrt((x - mean).pow(2).mean(-1, keepdim=True) + 1e-5))


def divided(self: nn.Module, x: Tensor) -> Tensor:
    y = x.float() if x.dtype == torch.bfloat16 else x
    y = y - y.mean(-1, keepdim=True)
    return self.weight * (y / torch.sqrt((y * y).mean(-1, keepdim=True) + 1e-5)).to(x.dtype)


def plain(self: nn.Module, x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)


def rooted(self: nn.Module, x: Tensor) -> Tensor:
    return x / torch.sqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5) * self.weight


def with_another_power(self: nn.Module, x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * torch.pow(x, 5.0))))


def with_another_number(self: nn.Module, x: Tensor) -> Tensor:
    return 0.5 * x * (1.0 + torch.tanh(0.7 * (x + 0.044715 * torch.pow(x, 3.0))))


def of_rows(self: nn.Module, x: Tensor) -> Tensor:
    mean = x.mean(1, keepdim=True)
    return self.weight * ((x - mean) * torch.rsqrt((x - mean).pow(2).mean(1, keepdim=True) + 1e-5))


def half_centred(self: nn.Module, x: Tensor) -> Tensor:
    return self.weight * ((x - x.mean(-1, keepdim=True)) * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5))


def shifted(self: nn.Module, x: Tensor) -> Tensor:
    return centred(self, x) + x


MEANT = {
    gelu: ("gelu", {"approximate": "tanh"}, {}),
    centred: ("layer_norm", {"eps": 1e-5, "rank": 1}, {"weight": "norm.weight"}),
    divided: ("layer_norm", {"eps": 1e-5, "rank": 1}, {"weight": "norm.weight"}),
    plain: ("rms_norm", {"eps": 1e-5, "rank": 1}, {}),
    rooted: ("rms_norm", {"eps": 1e-5, "rank": 1}, {"weight": "norm.weight"}),
}


def found(inner: Inner, dtype: str = "f32") -> list[Operator]:
    model = Net(inner)
    made = model.bfloat16() if dtype == "bf16" else model
    return [one for one in trace(made, spec("N", 5, 4, dtype=dtype)).operators if one.module == "norm"]


@pytest.mark.parametrize("inner", MEANT)
def test_one_operator_stands_for_the_module(inner: Inner) -> None:
    (one,) = found(inner)
    assert (one.kind, one.settings, one.tensors) == MEANT[inner]
    assert len(one.inputs) == 1
    assert_rule(lambda: Net(inner), spec(2, 5, 4), ["a.weight[0]"], removable=inner is gelu)


def test_the_formulas_are_those_of_torch() -> None:
    x, net = torch.randn(3, 5, 6, dtype=torch.float64), Net(plain).double().norm
    torch.testing.assert_close(gelu(net, x), F.gelu(x, approximate="tanh"))
    for inner in (centred, divided):
        torch.testing.assert_close(inner(net, x), F.layer_norm(x, (6,), net.weight, eps=1e-5))
    for inner in (plain, rooted):
        torch.testing.assert_close(inner(net, x), F.rms_norm(x, (6,), net.weight, eps=1e-5))


def test_casts_are_part_of_it() -> None:
    assert [one.kind for one in found(divided, "bf16")] == ["layer_norm"]


@pytest.mark.parametrize("inner", [with_another_power, with_another_number, of_rows, half_centred, shifted])
def test_what_only_looks_like_one_is_left(inner: Inner) -> None:
    assert {one.kind for one in found(inner)}.isdisjoint({"gelu", "layer_norm", "rms_norm"})
