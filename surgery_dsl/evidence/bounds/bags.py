"""Bags of embeddings, recorded as the lookups and the sums that they are."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.graph import Unbounded

SUM, MEAN, MAXIMUM = range(3)


def bag(
    table: Tensor,
    tokens: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = SUM,
    sparse: bool = False,
    weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding: int = -1,
) -> tuple[Tensor, ...]:
    """Return what ``torch.nn.functional.embedding_bag`` makes of the one bag that one example is.

    The row of the padding index counts for nothing in a sum. In a mean and a maximum it changes what is divided by, or
    what competes, by the tokens: that is refused.
    """
    if len(offsets) != 1 + include_last_offset:
        raise Unbounded("an embedding bag of several bags for one example")
    if padding >= 0 and mode != SUM:
        raise Unbounded("an embedding bag that leaves padding out of a mean or a maximum goes by the tokens")
    if padding >= 0:
        row = table[padding : padding + 1]
        table = torch.cat([table[:padding], torch.zeros_like(row), table[padding + 1 :]])
    rows = torch.embedding(table, tokens)
    if weights is not None:
        rows = rows * weights.unsqueeze(1)
    found = rows.amax(0, True) if mode == MAXIMUM else rows.mean(0, True) if mode == MEAN else rows.sum(0, True)
    return found, tokens, tokens, tokens


BAGS: dict[Any, Callable[..., Any]] = {
    torch.ops.aten._embedding_bag.default: bag,
    torch.ops.aten._embedding_bag_forward_only.default: bag,
}
"""Operators that are recorded as others."""
