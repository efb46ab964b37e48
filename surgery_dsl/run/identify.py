"""The runtime rule of ``identify``: score the units, and take as many as the static rule allows."""

from collections.abc import Mapping
from math import inf

import torch
from torch import Tensor

from surgery_dsl.interface.flow import Flow
from surgery_dsl.kernels.scores import gathered
from surgery_dsl.kernels.thresholds import Scores
from surgery_dsl.language.plan import Identify
from surgery_dsl.proof.identify import roundings_of
from surgery_dsl.vocabulary.context import Runtime
from surgery_dsl.vocabulary.criteria._elementwise import Elementwise
from surgery_dsl.vocabulary.kinds import Criterion
from surgery_dsl.vocabulary.modes._channels import axis_of
from surgery_dsl.vocabulary.selection import Picked, Pool, Selection
from surgery_dsl.vocabulary.takes._ranked import Ranked
from surgery_dsl.vocabulary.units._axes import carriers_at


def identify(block: Identify, selection: Selection, runtime: Runtime) -> Picked:
    """Return what the block takes of the live network.

    Args:
        block: The block; its ``take`` is given.
        selection: What the static rule says it can take, for the runtime's interface.
        runtime: The run. The model is in eval mode and is not changed.

    Returns:
        What was taken; the counts of its selection are exact.

    Raises:
        Refused: The network's numbers are not finite, or data cannot be read.
        ValueError: The block has no take, or took what the static rule rules out: a defect of this program.
    """
    take = block.take
    if take is None:
        raise ValueError(f"{block.name} does not say how much it takes")
    scores: Mapping[str, Tensor | Scores] = {}
    if take.needs_scores and block.by is not None and selection.pools:
        scores = _scores(block.by, selection, runtime)
        if isinstance(take, Ranked) and not take.largest:
            scores = _held_first(scores, selection, runtime)
    # A stream of scores is what the takes of this vocabulary choose from; see ``takes/_picking``.
    picked = take.pick(selection, scores, roundings_of(block, selection.pools), block.per, runtime)  # type: ignore[arg-type]
    for pool, possible, taken in zip(selection.pools, selection.taken, picked.selection.taken, strict=True):
        if not possible.least <= taken.least <= possible.most:
            raise ValueError(f"{taken.least} of {pool.key} taken, where {possible} was predicted")
    return picked


def _scores(by: Criterion, selection: Selection, runtime: Runtime) -> "Mapping[str, Tensor | Scores]":
    if selection.unit == "weights" and isinstance(by, Elementwise):
        return by.streams(selection.pools, runtime)
    return by.scores(selection.unit, selection.pools, runtime)


# ---- entries that earlier steps hold at zero ---------------------------------------------------------------------


def _held_first(
    scores: "Mapping[str, Tensor | Scores]", selection: Selection, runtime: Runtime
) -> "Mapping[str, Tensor | Scores]":
    """Put what is held at zero before everything else, so that the share of a later stage counts all zeros."""
    if not runtime.zeros:
        return scores
    return {pool.key: _first(scores[pool.key], pool, runtime) for pool in selection.pools}


def _first(score: "Tensor | Scores", pool: Pool, runtime: Runtime) -> "Tensor | Scores":
    if pool.tensor:
        held = runtime.zeros.get(pool.tensor)
        if held is None:
            return score
        one = score if isinstance(score, Scores) else Scores((score,), _same)
        return Scores((*one.tensors, held.to(one.tensors[0].device)), lambda *parts: _masked(one, parts))
    if isinstance(score, Scores) or pool.axis is None:
        return score
    units = _held_units(pool, runtime)
    return score if units is None else score.masked_fill(units.to(score.device), -inf)


def _same(score: Tensor) -> Tensor:
    return score


def _masked(one: Scores, parts: tuple[Tensor, ...]) -> Tensor:
    return one.score(*parts[:-1]).masked_fill(parts[-1], -inf)


def _held_units(pool: Pool, runtime: Runtime) -> Tensor | None:
    """Return which channels are held at zero in every weight of the pool; ``None`` where a weight holds none."""
    every: Tensor | None = None
    axis = axis_of(pool, runtime.interface)
    for carrier in carriers_at(pool, axis, Flow(runtime.interface), roles=("weight",)):
        held = runtime.zeros.get(carrier.tensor)
        if held is None:
            return None
        shape = (*held.shape[: carrier.dim], *carrier.sizes, *held.shape[carrier.dim + 1 :])
        entries = held.view(shape).movedim(carrier.dim + carrier.position, 0).flatten(1).all(1).to("cpu")
        along = entries
        if carrier.owners:
            missing = gathered((~entries).to(torch.float64), carrier.owners, pool.size)
            along = missing == 0
        every = along if every is None else torch.logical_and(every, along)
    return every
