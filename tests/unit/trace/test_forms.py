"""Forms that are worked out are those that torch's own fake tensors give, or torch is asked."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from surgery_dsl.trace import forms
from surgery_dsl.trace.memo import MemoizedFakes

_aten = torch.ops.aten


def _sizes(draw: random.Random, rank: int) -> list[int]:
    return [draw.choice((1, 2, 3, 4, 6)) for _ in range(rank)]


def _tensor(draw: random.Random, shape: list[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a tensor that mostly has no gaps, and sometimes another order of its dimensions."""
    order = list(range(len(shape)))
    if draw.random() < 0.3:
        draw.shuffle(order)
    made = torch.empty([shape[i] for i in order], dtype=dtype)
    return made.permute([order.index(i) for i in range(len(shape))])


def _convolution(draw: random.Random) -> Any:
    rank = draw.choice((1, 2, 3))
    groups, width, outer = (draw.choice((1, 1, 2, 3)), draw.choice((1, 2, 4)), draw.choice((1, 2, 5)))
    dtype = draw.choice((torch.float32, torch.float64, torch.bfloat16))
    x = _tensor(draw, [draw.choice((1, 2)), groups * width, *(draw.choice((1, 5, 7, 12)) for _ in range(rank))], dtype)
    weight = _tensor(draw, [groups * outer, width + (draw.random() < 0.1), *_sizes(draw, rank)], dtype)
    bias = torch.empty(groups * outer, dtype=dtype) if draw.random() < 0.5 else None
    one = draw.random() < 0.3
    stride, padding, dilation = (
        [draw.choice(choice) for _ in range(1 if one else rank)] for choice in ((1, 2), (0, 1, 3), (1, 2))
    )
    transposed = draw.random() < 0.1
    return _aten.convolution(x, weight, bias, stride, padding, dilation, transposed, [0] * rank, groups)


def _pointwise(draw: random.Random) -> Any:
    shape = _sizes(draw, draw.choice((0, 1, 2, 4)))
    dtype = draw.choice((torch.float32, torch.float64, torch.bfloat16, torch.int64))
    x = _tensor(draw, shape, dtype)
    name = draw.choice(
        (
            "relu",
            "gelu",
            "silu",
            "sigmoid",
            "tanh",
            "neg",
            "exp",
            "rsqrt",
            "hardswish",
            "hardsigmoid",
            "add",
            "mul",
            "div",
            "sub",
            "add_",
        )
    )
    if name in ("add", "mul", "div", "sub", "add_"):
        other = draw.choice((2, 0.5, x, _tensor(draw, shape, dtype), torch.empty(shape, dtype=torch.float32)))
        return getattr(x, name)(other)
    return getattr(F, name)(x) if hasattr(F, name) else getattr(torch, name)(x)


def _matrices(draw: random.Random) -> Any:
    (n, k), m = _sizes(draw, 2), draw.choice((1, 5))
    dtype = draw.choice((torch.float32, torch.bfloat16))
    a, b = _tensor(draw, [n, k], dtype), _tensor(draw, [k + (draw.random() < 0.1), m], dtype)
    bias = _tensor(draw, draw.choice(([m], [1], [n, m])), dtype)
    return torch.mm(a, b) if draw.random() < 0.5 else torch.addmm(bias, a, b)


def _view(draw: random.Random) -> Any:
    shape = _sizes(draw, draw.choice((1, 2, 3)))
    x = _tensor(draw, [2, *shape], draw.choice((torch.float32, torch.int64)))[draw.choice((0, 1))]
    wanted = draw.choice(([-1], [*shape, 1], [shape[0], -1], [1, *shape], [-1, 2], [-1, 5]))
    return _aten._unsafe_view(x, wanted) if draw.random() < 0.3 else x.view(wanted)


def _batch_norm(draw: random.Random) -> Any:
    shape = _sizes(draw, draw.choice((2, 3, 4)))
    dtype = draw.choice((torch.float32, torch.float64))
    a, b, c, d = (torch.empty(shape[1] + (draw.random() < 0.05), dtype=dtype) for _ in range(4))
    return torch.native_batch_norm(_tensor(draw, shape, dtype), a, b, c, d, draw.random() < 0.1, 0.1, 1e-5)


CALLS: dict[str, Callable[[random.Random], Any]] = {
    "convolution": _convolution,
    "pointwise": _pointwise,
    "matrices": _matrices,
    "view": _view,
    "batch norm": _batch_norm,
}


def _found(mode: FakeTensorMode, call: Callable[[random.Random], Any], seed: int) -> Any:
    with mode:
        try:
            result = call(random.Random(seed))
        except (RuntimeError, ValueError, ZeroDivisionError):  # as torch likes
            return "fails"
    tensors = [result] if isinstance(result, Tensor) else list(result)
    return [(t.shape, t.stride(), t.dtype, t.storage_offset(), t.device) for t in tensors]


@pytest.mark.parametrize("name", CALLS)
def test_a_form_that_is_worked_out_is_torchs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    worked_out: list[bool] = []

    def counted(func: Any, args: Any) -> forms.Forms | None:
        found = forms.forms_of(func, args)
        worked_out.append(found is not None)
        return found

    monkeypatch.setattr("surgery_dsl.trace.memo.forms_of", counted)
    monkeypatch.setattr(MemoizedFakes, "_memory", {})
    for seed in range(120):
        assert _found(MemoizedFakes(), CALLS[name], seed) == _found(
            FakeTensorMode(allow_non_fake_inputs=True), CALLS[name], seed
        ), seed
    assert sum(worked_out) > 20  # else the test would show nothing


def test_every_operator_whose_form_is_worked_out_is_tried_here() -> None:
    tried = {"convolution", "native_batch_norm", "mm", "addmm", "view", "_unsafe_view", "hardswish", "hardsigmoid"}
    tried |= {"relu", "gelu", "silu", "sigmoid", "tanh", "neg", "exp", "rsqrt", "add", "mul", "div", "sub", "add_"}
    assert {func.overloadpacket.__name__ for func in forms._RULES} == tried
