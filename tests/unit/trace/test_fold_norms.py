"""Root-mean-square norms that modules write out are one operator, and only those."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.interface.model import Operator
from surgery_dsl.trace.capture import trace
from tests.unit.trace.oracle import assert_rule, spec


class Norm(nn.Module):
    """As decoders of the Llama family write it."""

    def __init__(self, width: int, inner: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self, x)


def llama(self: nn.Module, x: Tensor) -> Tensor:
    y = x.to(torch.float32) if x.dtype == torch.bfloat16 else x
    y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + 1e-6)
    return self.weight * y.to(x.dtype)


def gemma(self: nn.Module, x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * (1.0 + self.weight)


def squared(self: nn.Module, x: Tensor) -> Tensor:
    return torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-6) * x * self.weight


def over_rows(self: nn.Module, x: Tensor) -> Tensor:
    return self.weight * (x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-6))


def cubed(self: nn.Module, x: Tensor) -> Tensor:
    return self.weight * (x * torch.rsqrt(x.pow(4).mean(-1, keepdim=True) + 1e-6))


def leaking(self: nn.Module, x: Tensor) -> Tensor:
    scale = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)
    return self.weight * (x * scale) + scale


def of_another(self: nn.Module, x: Tensor) -> Tensor:
    return self.weight * (x * torch.rsqrt(x.sin().pow(2).mean(-1, keepdim=True) + 1e-6))


class Net(nn.Module):
    def __init__(self, inner: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(4, 6), Norm(6, inner), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.norm(self.a(x)))


def found(model: nn.Module, dtype: str = "f32") -> list[Operator]:
    return [one for one in trace(model, spec("N", 5, 4, dtype=dtype)).operators if one.module == "norm"]


@pytest.mark.parametrize("inner", [llama, gemma, squared])
def test_one_operator_with_the_path_of_its_module(inner: Callable[[nn.Module, Tensor], Tensor]) -> None:
    (norm,) = found(Net(inner))
    assert (norm.kind, norm.path) == ("rms_norm", "norm")
    assert norm.settings == {"eps": 1e-6, "rank": 1}
    assert norm.tensors == {"computed_weight" if inner is gemma else "weight": "norm.weight"}
    assert len(norm.inputs) == 1
    interface = assert_rule(lambda: Net(inner), spec(2, 5, 4), ["a.weight[0]"], removable=False)
    assert [one.kind for one in interface.operators] == ["linear", "rms_norm", "linear"]


def test_casts_are_part_of_it() -> None:
    (norm,) = found(Net(llama).bfloat16(), "bf16")
    assert (norm.kind, norm.path) == ("rms_norm", "norm")


@pytest.mark.parametrize("inner", [over_rows, cubed, leaking, of_another])
def test_what_only_looks_like_one_is_left(inner: Callable[[nn.Module, Tensor], Tensor]) -> None:
    assert "rms_norm" not in {one.kind for one in found(Net(inner))}
