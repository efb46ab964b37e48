"""Remembered fake results are those that torch's own fake tensors give."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.nn import functional as F

from surgery_dsl.trace.memo import MemoizedFakes

CALLS: dict[str, Callable[[Tensor], Any]] = {
    "linear": lambda x: F.linear(x, x[0, :5].transpose(0, 1).contiguous()[:2, :5].repeat(1, 2)[:, :8]),
    "transpose": lambda x: x.transpose(1, 2),
    "view of a view": lambda x: x.transpose(0, 1)[2:].unsqueeze(1),
    "split": lambda x: torch.split(x, [2, 6], dim=-1),
    "unbind": lambda x: x.unbind(0),
    "in place": lambda x: x.clone().add_(1),
    "topk": lambda x: x.topk(3),
    "cast": lambda x: x.to(torch.bfloat16),
    "expand": lambda x: x[:, :1].expand(3, 7, 8),
    "strided": lambda x: x.as_strided((3, 2), (56, 3), 4),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    "batch norm": lambda x: torch.native_batch_norm(
        x, x[0, :, 0], x[1, :, 0], x[0, :, 1], x[0, :, 2], False, 0.1, 1e-5
    ),
    "batch norm of a view": lambda x: torch.native_batch_norm(
        x.transpose(0, 1), None, None, x[:, 0, 1], x[:, 0, 2], False, 0.1, 1e-5
    ),
    "batch norm in training": lambda x: torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5),
    "batch norm of pixels": lambda x: torch.native_batch_norm(
        x[:, :, :1, None].contiguous(), None, x[1, :, 0], x[0, :, 1], x[0, :, 2], False, 0.1, 1e-5
    ),
    "batch norm, halves": lambda x: torch.native_batch_norm(
        x.half(), None, None, x[0, :, 1].half(), x[0, :, 2].half(), False, 0.1, 1e-5
    ),
    "batch norm, mixed": lambda x: torch.native_batch_norm(
        x.half(), None, None, x[0, :, 1], x[0, :, 2], False, 0.1, 1e-5
    ),
    "compare": lambda x: x > 0,
    "full": lambda x: x.new_full((2, 3), 1.0),
    "constant": lambda x: x + torch.tensor(3),
}


def forms(result: Any) -> list[Any]:
    tensors = [result] if isinstance(result, Tensor) else list(result)
    return [(t.shape, t.stride(), t.dtype, t.storage_offset(), t.device, t.is_contiguous()) for t in tensors]


@pytest.mark.parametrize("name", CALLS)
def test_a_remembered_result_is_torchs(name: str) -> None:
    with FakeTensorMode():
        wanted = forms(CALLS[name](torch.empty(3, 7, 8)))
    with MemoizedFakes():
        found = [forms(CALLS[name](torch.empty(3, 7, 8))) for _ in range(3)]
    assert found == [wanted] * 3


def test_views_share_memory_and_copies_do_not() -> None:
    with MemoizedFakes():
        for _ in range(3):
            x = torch.empty(4, 6)
            assert x.t()[1:].untyped_storage()._cdata == x.untyped_storage()._cdata
            assert (x + 1).untyped_storage()._cdata != x.untyped_storage()._cdata
            assert x.add_(1) is x


def test_values_are_never_remembered() -> None:
    with MemoizedFakes():
        assert [int(torch.tensor(n)) for n in (3, 4, 3)] == [3, 4, 3]
        for _ in range(2):
            with pytest.raises(DataDependentOutputException):
                bool(torch.empty(3).sum() > 0)


def test_numbers_that_are_equal_but_of_another_kind_are_told_apart() -> None:
    with MemoizedFakes():
        x = torch.empty(3, dtype=torch.int64)
        assert [(x + n).dtype for n in (1, 1.0, True, 1)] == [torch.int64, torch.float32, torch.int64, torch.int64]


def test_a_batch_norm_of_another_width_fails_as_with_torch() -> None:
    with MemoizedFakes():
        x = torch.empty(3, 7, 8)
        mean, variance = x[0, :5, 1], x[0, :5, 2]
        with pytest.raises(RuntimeError):
            torch.native_batch_norm(x, None, None, mean, variance, False, 0.1, 1e-5)
