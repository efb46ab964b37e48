"""Taking units of a ranking: what all takes do once they know how many, or beyond which score.

torch is imported in the functions, because ``check`` reads takes too.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from surgery_dsl.vocabulary.context import Runtime
from surgery_dsl.vocabulary.selection import Picked, Rounding, Selection
from surgery_dsl.vocabulary.takes._counting import exactly, most_taken, taken_nearest, taken_within

if TYPE_CHECKING:
    import torch

    from surgery_dsl.kernels.thresholds import Choice, Scores

    Scored = Mapping[str, torch.Tensor | Scores]


def counted(selection: Selection, scores: "Scored", counts: Sequence[int], *, largest: bool) -> Picked:
    """Take so many units of each pool."""
    from surgery_dsl.kernels.thresholds import choose

    streams = _streams(selection, scores)
    return _chosen(
        selection,
        (([one], choose([one], count, largest=largest)) for one, count in zip(streams, counts, strict=True)),
    )


def ranked(
    selection: Selection, scores: "Scored", asked: int, roundings: Sequence[Rounding], *, largest: bool
) -> Picked:
    """Take ``asked`` units of one ranking over all pools, no more of any than its rounding allows.

    Where a rounding asks for multiples, each pool's count is brought to the nearest legal one afterwards.
    """
    from surgery_dsl.kernels.thresholds import choose

    streams = _streams(selection, scores)
    sizes = [pool.size for pool in selection.pools]
    limits = [most_taken(size, rounding) for size, rounding in zip(sizes, roundings, strict=True)]
    choice = choose(streams, min(asked, sum(limits)), largest=largest, limits=limits)
    counts = [
        taken_nearest(size, count, rounding)
        for size, count, rounding in zip(sizes, choice.counts, roundings, strict=True)
    ]
    if tuple(counts) != choice.counts:
        return counted(selection, scores, counts, largest=largest)
    return _chosen(selection, iter([(streams, choice)]))


def beyond(
    selection: Selection, scores: "Scored", bound: float, roundings: Sequence[Rounding], *, largest: bool
) -> Picked:
    """Take the units whose score lies strictly below (or above) a bound, the outermost first."""
    from surgery_dsl.kernels.thresholds import choose_beyond

    found = [choose_beyond([one], bound, largest=largest).count for one in _streams(selection, scores)]
    counts = [
        taken_within(pool.size, count, rounding)
        for pool, count, rounding in zip(selection.pools, found, roundings, strict=True)
    ]
    return counted(selection, scores, counts, largest=largest)


def listed(selection: Selection, indices: Sequence[Sequence[int]], runtime: Runtime) -> Picked:
    """Take the units with these indices; of weights, the entries in row-major order."""
    import torch

    masks: dict[str, torch.Tensor] = {}
    for pool, taken in zip(selection.pools, indices, strict=True):
        if pool.tensor:
            tensor = runtime.tensor(pool.tensor)
            mask = torch.zeros(tensor.numel(), dtype=torch.bool, device=tensor.device)
            mask[torch.as_tensor(taken, dtype=torch.int64, device=tensor.device)] = True
            masks[pool.tensor] = mask.view(tensor.shape)
    exact = _exact(selection, [len(taken) for taken in indices])
    return Picked(exact, masks=masks) if masks else _with_indices(exact, [sorted(taken) for taken in indices])


def _streams(selection: Selection, scores: "Scored") -> "list[Scores]":
    from surgery_dsl.kernels.thresholds import Scores

    found = [scores[pool.key] for pool in selection.pools]
    return [one if isinstance(one, Scores) else Scores((one,), _itself) for one in found]


def _itself(scores: "torch.Tensor") -> "torch.Tensor":
    return scores


def _chosen(selection: Selection, choices: "Iterator[tuple[list[Scores], Choice]]") -> Picked:
    """Return what choices over consecutive pools took."""
    from surgery_dsl.kernels.thresholds import chosen_masks

    masks: list[torch.Tensor] = []
    counts: list[int] = []
    for streams, choice in choices:
        masks.extend(chosen_masks(streams, choice))
        counts.extend(choice.counts)
    exact = _exact(selection, counts)
    pools = selection.pools
    if pools and pools[0].tensor:
        return Picked(exact, masks={pool.tensor: mask for pool, mask in zip(pools, masks, strict=True)})
    return _with_indices(exact, [mask.nonzero().view(-1).tolist() for mask in masks])


def _with_indices(selection: Selection, indices: Sequence[Sequence[int]]) -> Picked:
    found = tuple(map(tuple, indices))
    return Picked(selection.replaced(indices=found), indices=found)


def _exact(selection: Selection, counts: Sequence[int]) -> Selection:
    taken = tuple(exactly(count) for count in counts)
    return selection.replaced(taken=taken, total=exactly(sum(counts)))
