"""Which modules and units of two networks are the same, as the edits between them say.

It serves the tightness of a bound alone: what is matched wrongly, or not at all, is bounded more loosely and no less
soundly (:mod:`surgery_dsl.evidence.bounds.pairing`). Units that were removed are left unmatched, which treats them as
zero in the second network; those that came twice are matched with the unit that they copy.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import final

import torch

from surgery_dsl.evidence.bounds.graph import Graph, Node
from surgery_dsl.evidence.bounds.pairing import Units, same_shape
from surgery_dsl.interface.edits import ArrangeModules, DropModules, Edit, Resize

Order = tuple[int, ...]
"""For each index of a dimension in the second network, the index in the first."""
Places = Callable[[str], tuple[str, ...]]
"""Where a path is after an edit: none where it is gone, several where it was copied."""

_MIXING = frozenset({"addmm", "mm", "matmul", "linear", "bmm", "baddbmm", "convolution", "_convolution"})
"""Operators that write an axis of their own: what is before them says nothing of what comes after."""
_GONE = "\0gone"
_LEAVES = (("bias", 0), ("weight", 0), ("weight", 1))
"""Tensor dimensions that are a module's outputs, the likeliest first (a transposed convolution's weight is turned)."""


@final
class Alignment:
    """What edits, in order, left of a network's modules and of the indices of its tensors."""

    def __init__(self, edits: Iterable[Edit]) -> None:
        self._moves: list[Places] = []
        self._kept: dict[tuple[str, int], Order] = {}
        for edit in edits:
            if isinstance(edit, Resize):
                self._resize(edit)
            elif isinstance(edit, ArrangeModules):
                self._move(_arranged(edit))
            elif isinstance(edit, DropModules):
                self._move(_dropped(edit))

    def moved(self, module: str) -> str:
        """Return where a module of the first network is in the second; a path of no module where it is gone."""
        for places in self._moves:
            found = places(module)
            if not found:
                return _GONE
            module = found[0]
        return module

    def units(self, old: Graph, device: "torch.device | None" = None) -> Units:
        """Return which units of a function of the first network are the same in the second."""
        positions = {id(node): at for at, node in enumerate(old.nodes)}

        def same(one: Node, other: Node) -> "tuple[torch.Tensor, torch.Tensor] | None":
            found = self._aligned(old, positions[id(one)], one, other)
            found = same_shape(one, other) if found is None else found
            return None if found is None else (found[0].to(device), found[1].to(device))

        return same

    # ---- edits -------------------------------------------------------------------------------------------------

    def _resize(self, edit: Resize) -> None:
        for piece in edit.slices:
            chosen = edit.indices[piece.indices]
            before = self._kept.get((piece.tensor, piece.dim))
            if before is not None and max(chosen, default=-1) < len(before):
                chosen = tuple(before[index] for index in chosen)
            self._kept[piece.tensor, piece.dim] = chosen

    def _move(self, places: Places) -> None:
        self._moves.append(places)
        self._kept = {(place, dim): order for (tensor, dim), order in self._kept.items() for place in places(tensor)}

    # ---- units -------------------------------------------------------------------------------------------------

    def _aligned(self, graph: Graph, at: int, old: Node, new: Node) -> "tuple[torch.Tensor, torch.Tensor] | None":
        for order in self._orders(graph, at):
            found = _spread(order, old.shape, new.shape)
            if found is not None:
                return found
        return None

    def _orders(self, graph: Graph, at: int) -> Iterator[Order]:
        """Yield what was kept of the axes that a value may carry, the nearest module's first."""
        ahead, seen = list(graph.nodes[at].sources), set()
        while ahead:
            here = ahead.pop(0)
            node = graph.nodes[here]
            if here in seen:
                continue
            seen.add(here)
            module = self.moved(node.module)
            for leaf, dim in _LEAVES:
                order = self._kept.get((f"{module}.{leaf}" if module else leaf, dim))
                if order is not None:
                    yield order
            if node.operator not in _MIXING:
                ahead += node.sources


def _spread(order: Order, old: Sequence[int], new: Sequence[int]) -> "tuple[torch.Tensor, torch.Tensor] | None":
    """Return the flat positions of equal units where one dimension of two shapes is, or is made of, an ordered axis."""
    if len(old) != len(new) or not order:
        return None
    differing = [dim for dim, sizes in enumerate(zip(old, new, strict=True)) if sizes[0] != sizes[1]]
    if len(differing) > 1:
        return None
    for dim in differing or range(len(old)):
        each, rest = divmod(new[dim], len(order))
        if rest or not each or old[dim] % each or max(order) >= old[dim] // each:
            continue
        before, after = 1, 1
        for size in old[:dim]:
            before *= size
        for size in old[dim + 1 :]:
            after *= size
        positions = torch.arange(before * old[dim] * after).reshape(before, old[dim] // each, each * after)
        chosen = positions[:, torch.tensor(order)].flatten()
        return chosen, torch.arange(chosen.numel())
    return None


def _arranged(edit: ArrangeModules) -> Places:
    def places(path: str) -> tuple[str, ...]:
        for name, order in edit.lists.items():
            split = _entry(path, name)
            if split is not None:
                number, rest = split
                return tuple(f"{name}.{new}{rest}" for new, old in enumerate(order) if old == number)
        return (path,)

    return places


def _dropped(edit: DropModules) -> Places:
    gone: dict[str, list[int]] = {}
    for path in edit.paths:
        parent, _, name = path.rpartition(".")
        if name.isdecimal():
            gone.setdefault(parent, []).append(int(name))

    def places(path: str) -> tuple[str, ...]:
        for name, numbers in gone.items():
            split = _entry(path, name)
            if split is not None:
                number, rest = split
                new = number - sum(other < number for other in numbers)
                start = f"{name}." if name else ""
                return () if number in numbers else (f"{start}{new}{rest}",)
        return (path,)

    return places


def _entry(path: str, name: str) -> tuple[int, str] | None:
    """Return the number of the entry of a list that a path leads through, and what follows."""
    start = f"{name}." if name else ""
    if not path.startswith(start):
        return None
    number, dot, rest = path[len(start) :].partition(".")
    return (int(number), dot + rest) if number.isdecimal() else None
