"""Sums and means, and the greatest of several."""

from math import prod
from typing import Any

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.graph import Affine, Call, Largest, Source
from surgery_dsl.evidence.bounds.operators import Several, rule
from surgery_dsl.evidence.bounds.operators.arithmetic import affine


@rule("sum", "mean")
def total(call: Call) -> Affine:
    """Σ or mean over dimensions."""
    source, *rest = call.arguments
    if not call.shape:
        raise call.refuse("one number for all examples")
    operator = getattr(torch.ops.aten, call.operator)
    keywords = {name: value for name, value in call.keywords.items() if name != "dtype"}
    rest = rest[:2]
    terms = prod(source.shape) // max(1, prod(call.shape)) + 1
    return affine(call, (source,), lambda x: operator(x, *rest, **keywords), terms=terms)


@rule("avg_pool1d", "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool1d")
def average_pool(call: Call) -> Affine:
    """Means over windows."""
    source, *rest = call.arguments
    operator, keywords = getattr(torch.ops.aten, call.operator), call.keywords
    rank = _rank(call)
    window = list(source.shape[-rank:]) if "adaptive" in call.operator else _all(rest[0], rank)

    def linear(x: Tensor) -> Tensor:
        found: Tensor = operator(x, *rest, **keywords)
        return found

    # all coefficients have one sign, that of the divisor
    return affine(call, (source,), linear, lambda x: linear(x).abs(), terms=prod(window) + 2)


def _rank(call: Call) -> int:
    """Return over how many dimensions windows go, which the operator's name says."""
    return next(rank for rank in (1, 2, 3) if f"{rank}d" in call.operator)


def _all(value: Any, count: int) -> list[int]:
    found = [value] * count if isinstance(value, int) else list(value)
    return found * count if len(found) == 1 else found


@rule("max_pool2d_with_indices", "max_pool3d_with_indices", "max_pool1d_with_indices", "max_pool2d", "max_pool1d")
def max_pool(call: Call) -> "Several | Largest":
    """The greatest of each window."""
    source = call.arguments[0]
    rank = _rank(call)
    kernel = _all(call.argument(1, "kernel_size"), rank)
    stride = _all(call.argument(2, "stride") or kernel, rank)
    padding = _all(call.argument(3, "padding", 0) or 0, rank)
    dilation = _all(call.argument(4, "dilation", 1) or 1, rank)
    ceil = bool(call.argument(5, "ceil_mode", False))
    members = _windows(source.shape, kernel, stride, padding, dilation, ceil)
    node = Largest((source.node,), tuple(members.shape[:-1]), call.operator, call.module, members)
    return Several((node, None)) if call.operator.endswith("indices") else node


def _windows(
    shape: tuple[int, ...], kernel: list[int], stride: list[int], padding: list[int], dilation: list[int], ceil: bool
) -> Tensor:
    """Return which elements each output of a max pool compares: [*outputs, window], −1 beyond the edge."""
    positions = torch.arange(prod(shape)).reshape(shape)
    rank = len(kernel)
    for axis in range(rank):
        dim = len(shape) - rank + axis
        size, reach = shape[dim], dilation[axis] * (kernel[axis] - 1)
        free = size + 2 * padding[axis] - reach - 1
        count = (-(-free // stride[axis]) if ceil else free // stride[axis]) + 1
        if ceil and (count - 1) * stride[axis] >= size + padding[axis]:
            count -= 1  # torch: a window starts inside the input or its left border
        starts = torch.arange(count) * stride[axis] - padding[axis]
        wanted = starts.unsqueeze(1) + torch.arange(kernel[axis]) * dilation[axis]
        outside = (wanted < 0) | (wanted >= size)
        found = positions.movedim(dim, -1)[..., wanted.clamp(0, size - 1)]
        found = torch.where(outside, torch.full_like(found, -1), found)
        # [..., outputs, window of this axis, windows of earlier axes]: outputs back in place, windows last
        positions = found.movedim(-2, dim)
    return positions.flatten(len(shape))


@rule("amax", "max")
def greatest(call: Call) -> "Largest | Several":
    """The greatest over dimensions."""
    source = call.arguments[0]
    dims = call.argument(1, "dim", [])
    keep = bool(call.argument(2, "keepdim", False))
    several = call.operator == "max" and len(call.arguments) > 1
    if not isinstance(source, Source) or isinstance(dims, Source | Tensor):
        raise call.refuse("the greater of two values")
    rank = len(source.shape)
    dims = sorted(d % rank for d in ([dims] if isinstance(dims, int) else dims or range(rank)))
    if 0 in dims:
        raise call.refuse("the greatest over examples")
    positions = torch.arange(prod(source.shape)).reshape(source.shape)
    others = [d for d in range(len(source.shape)) if d not in dims]
    members = positions.permute(*others, *dims).flatten(len(others))
    shape = (
        tuple(1 if d in dims else n for d, n in enumerate(source.shape))
        if keep
        else tuple(source.shape[d] for d in others)
    )
    node = Largest((source.node,), shape, call.operator, call.module, members.reshape(*shape, -1))
    return Several((node, None)) if several else node
