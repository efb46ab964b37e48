"""What a forward remembers between two calls is no part of the network: every run of a trace begins without it."""

from collections.abc import Callable
from functools import cache, lru_cache, wraps
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.trace import forward
from surgery_dsl.trace.caches import fresh_caches
from surgery_dsl.trace.capture import trace

INPUTS = (InputSpec(name="x", dtype="f32", dims=("N", 5)),)


@cache
def table(width: int) -> Tensor:
    return torch.arange(width, dtype=torch.float32) / width


def remembering(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a function that remembers, as transformers does."""
    inner = lru_cache(maxsize=4)(function)

    @wraps(function)
    def wrapper(*given: Any) -> Any:
        return inner(*given)

    return wrapper


class Net(nn.Module):
    """Adds tables: of the module's file, of a method, of a static method, of a dictionary that it fills."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.bias, self.head = nn.Linear(5, 8), nn.Parameter(torch.randn(3, 8)), nn.Linear(8, 2)
        self.made: dict[str, Tensor] = {}

    @lru_cache  # noqa: B019 - what is tested
    def ones(self, width: int) -> Tensor:
        return torch.ones(width)

    @staticmethod
    @remembering
    def zeros(width: int) -> Tensor:
        return torch.zeros(width)

    @classmethod
    @lru_cache
    def twos(cls, width: int) -> Tensor:
        return torch.full((width,), 2.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        if "bias" not in self.made:
            self.made["bias"] = self.bias[torch.arange(3)].sum(0)
        width = x.shape[-1]
        out: Tensor = self.head(x + table(width) + self.ones(width) + self.zeros(width) + self.twos(width))
        out = out + self.head(self.made["bias"])
        return out


@pytest.mark.parametrize("fake", [True, False])
def test_the_batch_is_free_and_nothing_fake_stays(fake: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if fake:
        monkeypatch.setattr(forward, "CHEAP_WEIGHTS", -1)
    table.cache_clear()
    model = Net()
    before = trace(model, INPUTS)
    assert model.made == {}
    assert table.cache_info().currsize == 0
    x = torch.randn(3, 5)
    wanted = model(x)
    assert table.cache_info().currsize == 1
    assert type(wanted) is Tensor
    model.made.clear()
    assert differences(before, trace(model, INPUTS)) == ()  # the same calls, whatever functions remember
    assert torch.equal(wanted, model(x))
    assert model.made["bias"].shape == (8,)
    model.made.clear()


def test_memories_are_the_same_objects_afterwards() -> None:
    model = Net()
    model(torch.randn(1, 5))
    held = {name: vars(Net)[name] for name in ("ones", "zeros", "twos")}
    filled, function = table.cache_info(), table
    with fresh_caches(model):
        assert table is not function
        assert table.cache_info().currsize == 0
    assert table is function
    assert table.cache_info() == filled
    assert all(vars(Net)[name] is one for name, one in held.items())


def test_memories_come_back_after_an_error() -> None:
    function = table
    with pytest.raises(ValueError, match="mine"), fresh_caches(Net()):
        raise ValueError("mine")
    assert table is function
