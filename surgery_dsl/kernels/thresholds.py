"""Choose the k lowest entries over many tensors at once, exactly, without joining them.

The k-th score is found by counting ordered bit patterns (``ranks``). Scores exist for one block at a time, so
100 million weights need a few MiB beside themselves.

The order is total: by score, then by position of the tensor in the list, then by flat row-major
index. A limit says how many entries a tensor may lose; the choice walks the order and passes over
entries of tensors that have reached their limit, so freed budget goes to the lowest entries of the
others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from surgery_dsl.kernels.blocks import aligned_blocks
from surgery_dsl.kernels.masks import pack_bits, zero_where_
from surgery_dsl.kernels.ordered_bits import integer_of, key_of, ordered_bits, value_of
from surgery_dsl.kernels.ranks import Keys, locate


@final
@dataclass(frozen=True, eq=False)
class Scores:
    """Hold what the scores of one tensor are computed from, block by block.

    Attributes:
        tensors: one or more tensors of one shape, the arguments of ``score``.
        score: elementwise function from blocks of ``tensors`` to scores: same shape, a float dtype, equal
            results each time. By default the magnitude.
    """

    tensors: tuple[Tensor, ...]
    score: Callable[..., Tensor] = torch.abs

    def __post_init__(self) -> None:
        shapes = {tuple(tensor.shape) for tensor in self.tensors}
        if len(shapes) != 1:
            raise ValueError(f"scores need tensors of one shape, not {sorted(shapes)}")

    @property
    def size(self) -> int:
        """Return the number of entries."""
        return self.tensors[0].numel()

    @property
    def dtype(self) -> torch.dtype:
        """Return the dtype that ``score`` gives, found on an empty block."""
        return self.score(*(tensor.detach().new_empty(0) for tensor in self.tensors)).dtype


@final
@dataclass(frozen=True)
class Cut:
    """Say which entries of one tensor are chosen.

    Attributes:
        key: entries whose ordered bits are below this are chosen.
        ties: so many entries equal to ``key`` are chosen too, the first in flat order.
        count: entries chosen in all.
    """

    key: int
    ties: int
    count: int


@final
@dataclass(frozen=True)
class Choice:
    """Hold the entries chosen over a list of tensors, as one cut for each.

    Attributes:
        cuts: one for each tensor, in order.
        dtype: float dtype in which scores were compared.
        largest: whether the order was reversed, so that the highest were chosen.
    """

    cuts: tuple[Cut, ...]
    dtype: torch.dtype
    largest: bool

    @property
    def counts(self) -> tuple[int, ...]:
        """Return how many entries of each tensor are chosen."""
        return tuple(cut.count for cut in self.cuts)

    @property
    def count(self) -> int:
        """Return how many entries are chosen in all."""
        return sum(self.counts)

    def bound(self, position: int) -> float:
        """Return the score at which one tensor was cut: chosen entries lie before it, or tie with it."""
        key = self.cuts[position].key
        return value_of(-key if self.largest else key, self.dtype)


def removable(size: int, floor: int = 0, cap: int | None = None) -> int:
    """Return how many entries a tensor may lose: keep at least ``floor``, remove at most ``cap``.

    Raises:
        ValueError: a count is negative.
    """
    if floor < 0 or (cap is not None and cap < 0):
        raise ValueError(f"floor and cap are counts, not {floor} and {cap}")
    room = max(0, size - floor)
    return room if cap is None else min(room, cap)


def choose(
    scores: Sequence[Scores], count: int, *, largest: bool = False, limits: Sequence[int] | None = None
) -> Choice:
    """Choose exactly ``count`` entries of lowest score over all tensors.

    Args:
        scores: what the tensors' scores are computed from.
        count: entries to choose in all.
        largest: choose the highest instead; ties still go to the earlier tensor and index.
        limits: most entries to choose of each tensor (see :func:`removable`); by default all.

    Shapes: tensors of any shape, rank 0 and empty ones included.
    Dtype and device: scores of unlike dtypes are compared by value in the promoted dtype. Tensors may lie
        on several devices. The result does not depend on the device, as long as scores do not.
    Numerics: exact. Infinities are ordinary scores; both zeros tie.

    Raises:
        ValueError: a score is NaN; ``count`` is negative or above what the limits leave; the lists'
            lengths differ.

    Complexity: two readings of the scores where one cell of the first histogram holds few of them, which
        is the rule for trained weights; about five at worst, and one more of each tensor that reaches its
        limit. Extra memory: some blocks and about 16 MiB, more only above 4,096 tensors with limits.
    """
    room = _room(scores, limits)
    if not 0 <= count <= sum(room):
        raise ValueError(f"cannot choose {count} of {sum(room)} entries")
    stream = _Stream.over(scores, largest)
    return stream.choice(_choose(stream, room, count))


def choose_beyond(
    scores: Sequence[Scores], bound: float, *, largest: bool = False, limits: Sequence[int] | None = None
) -> Choice:
    """Choose every entry whose score is below a bound, or above it.

    The comparison is strict and exact: scores are compared with ``bound`` as real numbers, without
    rounding it to their dtype first. Where more of a tensor lie beyond than its limit allows, the
    outermost are chosen.

    Args:
        scores: what the tensors' scores are computed from.
        bound: a score; infinities are allowed.
        largest: choose what lies above instead of below.
        limits: most entries to choose of each tensor; by default all.

    Raises:
        ValueError: a score or the bound is NaN; the lists' lengths differ.
    """
    room = _room(scores, limits)
    stream = _Stream.over(scores, largest)
    key = key_of(-bound if largest else bound, stream.dtype)
    cuts = []
    for position, most in enumerate(room):
        below = sum(int((keys < key).sum()) for keys in stream.keys(position))
        cuts.append(Cut(key, 0, below) if below <= most else _lowest_of(stream, position, most))
    return stream.choice(cuts)


def chosen_masks(scores: Sequence[Scores], choice: Choice) -> Iterator[Tensor]:
    """Yield one boolean mask for each tensor, true where an entry is chosen.

    Shapes: the tensor's. Device: the tensor's. Only one mask exists at a time unless the caller keeps it.

    Raises:
        ValueError: the choice was made over another number of tensors.
    """
    for one, cut in zip(scores, choice.cuts, strict=True):
        mask = torch.zeros(one.tensors[0].shape, dtype=torch.bool, device=one.tensors[0].device)
        for target, chosen in _chosen_blocks(mask, one, cut, choice):
            target.copy_(chosen)
        yield mask


def packed_masks(scores: Sequence[Scores], choice: Choice) -> Iterator[Tensor]:
    """Yield the masks of :func:`chosen_masks` with eight entries a byte; see ``masks.pack_bits``."""
    for mask in chosen_masks(scores, choice):
        yield pack_bits(mask)


def zero_chosen_(targets: Sequence[Tensor], scores: Sequence[Scores], choice: Choice) -> None:
    """Write +0.0 into the chosen entries, in place, and touch no other bit.

    A target may be one of the tensors that its own scores are computed from.

    Args:
        targets: one float tensor for each of ``scores``, of the same shape.
        scores: what the choice was made over, unchanged since.
        choice: what to set to zero.

    Dtype and device: each target keeps its own; it lies on the device of its scores.

    Raises:
        ValueError: a shape differs, a target is no float tensor, or the lists' lengths differ.
    """
    for target, one, cut in zip(targets, scores, choice.cuts, strict=True):
        for block, chosen in _chosen_blocks(target, one, cut, choice):
            zero_where_(block, chosen)


@final
@dataclass(frozen=True, eq=False)
class _Stream:
    """Keys of several score tensors, one block at a time; lower keys are chosen first."""

    scores: tuple[Scores, ...]
    dtype: torch.dtype
    largest: bool

    @staticmethod
    def over(scores: Sequence[Scores], largest: bool) -> _Stream:
        dtype = scores[0].dtype if scores else torch.float32
        for one in scores[1:]:
            dtype = torch.promote_types(dtype, one.dtype)
        integer_of(dtype)
        return _Stream(tuple(scores), dtype, largest)

    @property
    def ordered(self) -> Keys:
        high = key_of(math.inf, self.dtype)
        # Scores are rarely negative, so the first probe leaves that half of the keys out.
        probe = (-high, 0) if self.largest else (0, high)
        return Keys(tuple(one.size for one in self.scores), self.keys, (-high, high), probe)

    def keys(self, position: int) -> Iterator[Tensor]:
        for parts in aligned_blocks(self.scores[position].tensors):
            yield _keys(parts, self.scores[position], self.dtype, self.largest)

    def check(self) -> None:
        for position in range(len(self.scores)):
            for _ in self.keys(position):
                pass

    def choice(self, cuts: Sequence[Cut]) -> Choice:
        return Choice(tuple(cuts), self.dtype, self.largest)


def _room(scores: Sequence[Scores], limits: Sequence[int] | None) -> list[int]:
    if limits is None:
        return [one.size for one in scores]
    return [removable(one.size, cap=limit) for one, limit in zip(scores, limits, strict=True)]


def _keys(parts: tuple[Tensor, ...], scores: Scores, dtype: torch.dtype, largest: bool) -> Tensor:
    values = scores.score(*parts)
    if values.shape != parts[0].shape:
        raise ValueError(f"the score gave {tuple(values.shape)} for a block of {tuple(parts[0].shape)}")
    keys = ordered_bits(values.to(dtype))
    return -keys if largest else keys


def _choose(stream: _Stream, room: Sequence[int], count: int) -> list[Cut]:
    """Cut each tensor so that ``count`` entries are chosen in all; ``count`` fits the room."""
    if count == 0:
        stream.check()
        return [Cut(-key_of(math.inf, stream.dtype), 0, 0) for _ in room]
    key, less, equal = locate(stream.ordered, room, count)
    taken = [min(below, most) for below, most in zip(less, room, strict=True)]
    left = count - sum(taken)
    cuts = []
    for position, (below, same, most) in enumerate(zip(less, equal, room, strict=True)):
        if below > most:
            cuts.append(_lowest_of(stream, position, most))
            continue
        ties = min(same, most - below, left)
        left -= ties
        cuts.append(Cut(key + 1, 0, below + ties) if ties == same else Cut(key, ties, below + ties))
    return cuts


def _lowest_of(stream: _Stream, position: int, count: int) -> Cut:
    """Choose within one tensor, for one that reached its limit."""
    alone = _Stream(stream.scores[position : position + 1], stream.dtype, stream.largest)
    return _choose(alone, [alone.scores[0].size], count)[0]


def _chosen_blocks(target: Tensor, scores: Scores, cut: Cut, choice: Choice) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield blocks of a target with the mask of their chosen entries, in flat order."""
    if not cut.count:
        return
    ties = cut.ties
    for block, *parts in aligned_blocks((target, *scores.tensors)):
        keys = _keys(tuple(parts), scores, choice.dtype, choice.largest)
        chosen = keys < cut.key
        if ties:
            equal = keys == cut.key
            found = int(equal.sum())
            if found > ties:
                flat = equal.view(-1)
                flat[flat.nonzero()[ties:, 0]] = False
            ties -= min(found, ties)
            chosen |= equal
        yield block, chosen
