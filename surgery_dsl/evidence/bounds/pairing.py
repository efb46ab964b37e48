"""Which functions of two networks belong together."""

from collections.abc import Callable
from itertools import groupby

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.changes import Match
from surgery_dsl.evidence.bounds.graph import Graph, Largest, Node, Pointwise

Units = Callable[[Node, Node], "tuple[Tensor, Tensor] | None"]
"""Given a function in both networks: the positions, flat, of the units that are the same in the first and in the
second; ``None`` where nothing is known of them."""


def same_shape(old: Node, new: Node) -> "tuple[Tensor, Tensor] | None":
    """Take units of equal shapes to be the same."""
    if old.shape != new.shape:
        return None
    every = torch.arange(old.size)
    return every, every


def matches(old: Graph, new: Graph, units: Units = same_shape, moved: Callable[[str], str] = str) -> list[Match]:
    """Return the functions that both networks have, in the order of the forward.

    Functions are the same where the same module runs them, and as the same one of several there. What is not matched
    is bounded by lines of its own, which is sound whatever was matched with what: a wrong match only loosens a bound.

    Args:
        old: The first network.
        new: The second.
        units: Which units of a function are the same.
        moved: Where a module of the first network is in the second.
    """
    places = dict(_places(new))
    found: list[Match] = []
    last = -1
    for (module, number), at in _places(old):
        partner = places.get((moved(module), number))
        if partner is None or partner <= last or not _alike(old.nodes[at], new.nodes[partner]):
            continue
        same = units(old.nodes[at], new.nodes[partner])
        if same is not None and same[0].numel():
            found.append(Match(at, partner, *same))
            last = partner
    return found


def _places(graph: Graph) -> list[tuple[tuple[str, int], int]]:
    """Return every function by the module that runs it and its number there."""
    ordered = sorted(graph.bends, key=lambda at: (graph.nodes[at].module, at))
    groups = groupby(ordered, key=lambda at: graph.nodes[at].module)
    found = [((module, number), at) for module, group in groups for number, at in enumerate(group)]
    return sorted(found, key=lambda item: item[1])


def _alike(old: Node, new: Node) -> bool:
    if isinstance(old, Largest) and isinstance(new, Largest):
        return old.members.shape[-1] == new.members.shape[-1]
    return isinstance(old, Pointwise) and isinstance(new, Pointwise)
