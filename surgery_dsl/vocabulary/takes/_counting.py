"""How many units may go: rounding, floors and caps in exact arithmetic, the same for ``check`` and ``apply``."""

from collections.abc import Sequence
from fractions import Fraction

from surgery_dsl.interface.model import Extent
from surgery_dsl.vocabulary.selection import Rounding


def share_of(share: Fraction, size: int) -> int:
    """Return how many of ``size`` units a share asks for, rounded half up to whole units."""
    return (2 * share.numerator * size + share.denominator) // (2 * share.denominator)


def kept_range(size: int, rounding: Rounding) -> range:
    """Return the counts that may be kept where something is taken: multiples within floor and cap."""
    step = rounding.multiple
    least = max(rounding.keep_at_least, 0)
    if rounding.remove_at_most is not None:
        least = max(least, size - rounding.remove_at_most)
    return range(-(-least // step) * step, size // step * step + 1, step)


def most_taken(size: int, rounding: Rounding) -> int:
    """Return the most units that a pool may lose."""
    legal = kept_range(size, rounding)
    return size - legal[0] if legal else 0


def taken_nearest(size: int, asked: int, rounding: Rounding) -> int:
    """Return how many units go where ``asked`` are asked for: the kept count is brought to the nearest legal one.

    Of two that are equally near, more are kept. Where nothing is asked for, nothing goes.
    """
    legal = kept_range(size, rounding)
    if asked <= 0 or not legal:
        return 0
    step = rounding.multiple
    nearest = (2 * (size - asked) + step) // (2 * step) * step
    return size - min(max(nearest, legal[0]), legal[-1])


def taken_within(size: int, found: int, rounding: Rounding) -> int:
    """Return how many of ``found`` units go: as many as a legal count allows, never one that was not found."""
    legal = kept_range(size, rounding)
    if found <= 0 or not legal or legal[-1] < size - found:
        return 0
    step = rounding.multiple
    return size - max(-(-(size - found) // step) * step, legal[0])


def is_plain(rounding: Rounding, least: int) -> bool:
    """Say whether the plan gives neither round nor floor nor cap, so that a plan's own list may name every unit.

    ``least`` is what the pool itself must keep.
    """
    return rounding.multiple == 1 and rounding.keep_at_least <= least and rounding.remove_at_most is None


def exactly(count: int) -> Extent:
    """Return the extent of one count."""
    return Extent.model_construct(least=count, most=count, step=1)


def between(least: int, most: int, size: int, rounding: Rounding) -> Extent:
    """Return the extent of the counts that may go from ``least`` to ``most``, in legal steps."""
    step = rounding.multiple if size % rounding.multiple == 0 and least < most else 1
    return Extent(least=least, most=most, step=step)


def around(total: int, sizes: Sequence[int], roundings: Sequence[Rounding]) -> Extent:
    """Return what a sum over pools can be after each pool's part of ``total`` went to the nearest multiple.

    The nearest multiple keeps at most half a multiple too many. It takes at most half a multiple too many, or, where
    the size is no multiple, what is left over of one.
    """
    kept = sum(rounding.multiple // 2 for rounding in roundings)
    gone = sum(max((r.multiple - 1) // 2, size % r.multiple) for size, r in zip(sizes, roundings, strict=True))
    return Extent.model_construct(least=max(0, total - kept), most=total + gone, step=1)


def shared_out(sizes: Sequence[int], asked: int, roundings: Sequence[Rounding]) -> tuple[tuple[Extent, ...], Extent]:
    """Return what each pool may lose where ``asked`` units go by one ranking over all pools, and what the sum may be.

    No pool loses more than it may; what one cannot give, the others do. The sum is exact unless ``round`` moves counts
    afterwards.
    """
    limits = [most_taken(size, rounding) for size, rounding in zip(sizes, roundings, strict=True)]
    room = sum(limits)
    total = min(asked, room)
    extents = []
    for size, limit, rounding in zip(sizes, limits, roundings, strict=True):
        least, most = max(0, total - (room - limit)), min(limit, total)
        extents.append(
            between(taken_nearest(size, least, rounding), taken_nearest(size, most, rounding), size, rounding)
        )
    bounds = around(total, sizes, roundings)
    least, most = sum(extent.least for extent in extents), sum(extent.most for extent in extents)
    return tuple(extents), Extent(least=max(bounds.least, least), most=min(bounds.most, most))
