"""What is left of a sum of matrices once it is stored in a dtype of few bits."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

TOGETHER = 1 << 20
"""Entries that are looked at together."""


@final
@dataclass(frozen=True)
class StoredSum:
    """How much of an update U the rounding of W + U took away; those of several matrices add up.

    Attributes:
        update: ‖U‖², Frobenius.
        rounding: ‖stored − (W + U)‖², Frobenius.
        entries: How many entries of U are not zero.
        vanished: How many of them left the stored entry as it was: they were less than half a step of its dtype.
    """

    update: float = 0.0
    rounding: float = 0.0
    entries: int = 0
    vanished: int = 0

    def __add__(self, other: "StoredSum") -> "StoredSum":
        return StoredSum(
            self.update + other.update,
            self.rounding + other.rounding,
            self.entries + other.entries,
            self.vanished + other.vanished,
        )

    @property
    def lost(self) -> float:
        """Return ‖stored − (W + U)‖ / ‖U‖; of no update 0 where nothing was rounded, else infinity."""
        if not self.update:
            return 0.0 if not self.rounding else math.inf
        return math.sqrt(self.rounding / self.update)

    @property
    def share_vanished(self) -> float:
        """Return the share of the update's entries that were rounded away; 0 of none."""
        return self.vanished / self.entries if self.entries else 0.0


def stored_sum(weight: Tensor, updates: Sequence[tuple[Tensor, Tensor, float]], stored: Tensor) -> StoredSum:
    """Compare ``weight + Σ scale · left @ right`` with what was stored of it.

    Args:
        weight: the matrix before, in its own dtype.
        updates: left factor, right factor, factor on their product.
        stored: the matrix after, in the dtype that it is stored in.

    Shapes: ``(O, I)``, ``(O, R)``, ``(R, I)``; ``stored`` as ``weight``.
    Dtype and device: on the weight's device, in float32 for weights of 16 bits, else in float64; extra memory: some
        blocks of rows.
    Numerics: the difference of two stored entries has an error of at most 2⁻²⁴ (2⁻⁵³) of its size.
    """
    work = torch.float32 if weight.dtype.itemsize == 2 else torch.float64
    total, step = StoredSum(), max(1, TOGETHER // max(1, weight.shape[1]))
    for first in range(0, len(weight), step):
        rows = slice(first, first + step)
        before, after = weight[rows], stored[rows]
        update = torch.zeros_like(before, dtype=work)
        for left, right, scale in updates:
            update.addmm_(left[rows].to(work), right.to(work), alpha=scale)
        changed = update != 0
        total += StoredSum(
            float(update.square().sum(dtype=torch.float64)),
            float((after.to(work) - before.to(work) - update).square().sum(dtype=torch.float64)),
            int(changed.sum()),
            int((changed & (after == before)).sum()),
        )
    return total
