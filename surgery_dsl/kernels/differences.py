"""Distances between tensors, bit equality and digests, all block by block."""

from __future__ import annotations

import hashlib
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from surgery_dsl.kernels.blocks import aligned_blocks, blocks


@final
@dataclass(frozen=True)
class Distance:
    """Hold how far tensors moved; distances of several tensors add up.

    Attributes:
        squared: sum of squared differences.
        base: sum of squares before.
        greatest: largest absolute difference.
    """

    squared: float = 0.0
    base: float = 0.0
    greatest: float = 0.0

    def __add__(self, other: Distance) -> Distance:
        greatest = math.nan if math.isnan(self.greatest + other.greatest) else max(self.greatest, other.greatest)
        return Distance(self.squared + other.squared, self.base + other.base, greatest)

    @property
    def l2(self) -> float:
        """Return ``‖θ − θ'‖``."""
        return math.sqrt(self.squared)

    @property
    def relative(self) -> float:
        """Return ``‖θ − θ'‖ / ‖θ‖``; from zero weights any change is infinite, and none is 0."""
        if self.base == 0:
            return 0.0 if self.squared == 0 else math.nan if math.isnan(self.squared) else math.inf
        return math.sqrt(self.squared) / math.sqrt(self.base)


def distance(before: Tensor, after: Tensor) -> Distance:
    """Measure how far one tensor moved.

    Args:
        before: values before.
        after: values after; may have another dtype or lie on another device.

    Shapes: two of one shape.
    Dtype and device: any real dtypes; computed in float64 on the device of ``before``.
    Numerics: NaN in a tensor gives NaN. Extra memory: some blocks in float64.

    Raises:
        ValueError: the shapes differ.
    """
    total = Distance()
    for block, other in aligned_blocks((before, after)):
        values = block.to(torch.float64)
        change = values - other.to(values.device, torch.float64)
        total += Distance(_square_sum(change), _square_sum(values), float(change.abs().max()))
    return total


def removed(before: Tensor) -> Distance:
    """Measure a tensor that is gone: its values became zero."""
    total = Distance()
    for block in blocks(before):
        values = block.to(torch.float64)
        squares = _square_sum(values)
        total += Distance(squares, squares, float(values.abs().max()))
    return total


def added(after: Tensor) -> Distance:
    """Measure a tensor that is new: its values were zero before."""
    gone = removed(after)
    return Distance(gone.squared, 0.0, gone.greatest)


def total_distance(pairs: Iterable[tuple[Tensor | None, Tensor | None]]) -> Distance:
    """Measure a whole network: pairs of tensors before and after, ``None`` where one does not exist.

    Raises:
        ValueError: the shapes of a pair differ, or both are ``None``.
    """
    total = Distance()
    for before, after in pairs:
        if before is not None:
            total += removed(before) if after is None else distance(before, after)
        elif after is not None:
            total += added(after)
        else:
            raise ValueError("a pair needs at least one tensor")
    return total


def bits_equal(first: Tensor, second: Tensor) -> bool:
    """Tell whether two tensors have the same shape, dtype and bits.

    Unlike ``torch.equal`` a NaN equals the same NaN, and the two zeros differ. Devices and strides may
    differ; extra memory is a few blocks.
    """
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    for block, other in aligned_blocks((first, second)):
        if not torch.equal(_raw(block), _raw(other.to(block.device))):
            return False
    return True


def digest(tensor: Tensor) -> str:
    """Return the SHA-256 of a tensor's values as hexadecimal digits.

    Hashed are the values alone, in row-major order and little-endian, as a safetensors file stores them;
    whoever compares digests compares shape and dtype too.

    Shapes: any, empty included. Dtype and device: any; blocks are copied to the CPU. Strides do not matter.
    """
    sha = hashlib.sha256()
    for block in blocks(tensor):
        raw = _raw(block.to("cpu"))
        if sys.byteorder == "big":
            raw = raw.view(-1, block.element_size()).flip(1)
        sha.update(raw.contiguous().numpy().data)
    return sha.hexdigest()


def _raw(block: Tensor) -> Tensor:
    flat = block.contiguous().view(-1)
    if flat.stride(0) != 1:  # one element counts as contiguous whatever its stride
        flat = flat.clone(memory_format=torch.contiguous_format)
    return flat.view(torch.uint8)


def _square_sum(values: Tensor) -> float:
    flat = values.reshape(-1)
    return float(flat.dot(flat))
