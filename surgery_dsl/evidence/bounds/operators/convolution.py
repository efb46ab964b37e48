"""Convolutions of any rank, strided, dilated, grouped, transposed."""

from math import prod
from typing import Any

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.graph import Affine, Call, Source
from surgery_dsl.evidence.bounds.operators import rule


@rule("convolution", "_convolution")
def convolution(call: Call) -> Affine:
    """Σ weight · source + bias."""
    source, weight, bias, stride, padding, dilation, transposed, output_padding, groups = call.arguments[:9]
    if not isinstance(source, Source) or isinstance(weight, Source) or isinstance(bias, Source):
        raise call.refuse("its weight depends on the input")
    kernel = weight.detach().double()
    options = (stride, padding, dilation, transposed, output_padding, groups)
    shape = source.shape

    channels = (1, -1, *[1] * (len(shape) - 2))
    offset = None if bias is None else bias.detach().double().reshape(channels).broadcast_to(call.shape)

    def through(x: Tensor, weights: Tensor) -> Tensor:
        found: Tensor = torch.ops.aten.convolution(x, weights, None, *options)
        return found

    def back(rows: Tensor) -> tuple[Tensor, ...]:
        return (_back(rows, shape, kernel, options),)

    return Affine(
        (source.node,),
        call.shape,
        call.operator,
        call.module,
        lambda x: through(x, kernel),
        lambda x: through(x, kernel.abs()),
        offset,
        _terms(kernel, transposed, groups) + (bias is not None),
        back if shape[0] == 1 else None,
    )


def _terms(kernel: Tensor, transposed: bool, groups: int) -> int:
    """Return how many products one output sums, at most: the entries of its filter that are not zero."""
    if transposed:
        return kernel.shape[0] // groups * prod(kernel.shape[2:])
    return max(1, int((kernel != 0).flatten(1).sum(1).max()))


def _back(rows: Tensor, shape: tuple[int, ...], kernel: Tensor, options: tuple[Any, ...]) -> Tensor:
    """Return rows on the source: the convolution's derivative, which for an affine map is its transpose."""
    stride, padding, dilation, transposed, output_padding, groups = options
    batch = rows.shape[0]
    like = rows.new_empty(1).expand(batch, *shape[1:])
    grad: Tensor = torch.ops.aten.convolution_backward(
        rows.reshape(batch, *rows.shape[2:]),
        like,
        kernel,
        None,
        stride,
        padding,
        dilation,
        transposed,
        output_padding,
        groups,
        [True, False, False],
    )[0]
    return grad.unsqueeze(1)
