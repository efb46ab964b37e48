"""Weights of layers that return their input: what a deeper network starts from.

A new layer with these weights after an activation changes nothing if the activation after it leaves the
first one's outputs alone (ReLU: relu(relu(x)) = relu(x)).

References: T. Chen, I. Goodfellow, J. Shlens, "Net2Net: Accelerating learning via knowledge transfer", ICLR
2016, section 2.3 (Net2DeeperNet).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def identity_linear(
    width: int, *, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a linear layer that returns its input.

    Shapes: -> weight ``(width, width)``, bias ``(width,)``.
    Numerics: exact for finite inputs: products with 0 and 1 and sums with 0 do not round.

    Raises:
        ValueError: the width is below 1.
    """
    if width < 1:
        raise ValueError(f"a layer cannot have {width} units")
    return torch.eye(width, dtype=dtype, device=device), torch.zeros(width, dtype=dtype, device=device)


def identity_convolution(
    channels: int,
    kernel: Sequence[int],
    *,
    groups: int = 1,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution that returns its input.

    The layer must have stride 1 and padding ``kernel // 2`` on each side.

    Args:
        channels: input and output channels.
        kernel: kernel sizes, all odd.
        groups: groups of the convolution.
        dtype: dtype of the result.
        device: device of the result.

    Shapes: -> weight ``(channels, channels / groups, *kernel)``, bias ``(channels,)``.

    Raises:
        ValueError: a kernel size is even, or the groups do not divide the channels.
    """
    if channels < 1 or groups < 1 or channels % groups:
        raise ValueError(f"{groups} groups do not divide {channels} channels")
    if any(size < 1 or size % 2 == 0 for size in kernel):
        raise ValueError(f"a kernel without a middle cannot return its input: {tuple(kernel)}")
    inner = channels // groups
    weight = torch.zeros(channels, inner, *kernel, dtype=dtype, device=device)
    units = torch.arange(channels)
    weight.view(channels, inner, -1)[units, units % inner, math.prod(kernel) // 2] = 1.0
    return weight, torch.zeros(channels, dtype=dtype, device=device)
