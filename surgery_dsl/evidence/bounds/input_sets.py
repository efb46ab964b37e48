"""What the named inputs of a network may be over a region, and how they go into a graph.

Bounds know two inputs: all real numbers side by side, and all tokens side by side. A network of several inputs is
recorded with its inputs cut out of these, so that whatever bounds, attacks or splits a region sees one box and one set
of tokens. What a region fixes is no input: it is a constant of the recorded forward, and may be used in any way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import final

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.graph import Graph, Lookup
from surgery_dsl.evidence.bounds.region import Box, Region
from surgery_dsl.evidence.bounds.rounding import Unsound

MOST_COMBINATIONS = 1024
"""Combinations of tokens up to which each is a region of its own, so that bounds are exact in them."""


@final
@dataclass(frozen=True)
class Tokens:
    """Integers that only look up rows of tables.

    Attributes:
        shape: Of one example's input, batch dimension of 1 included.
        allowed: [B, *shape, rows], true where a row may be looked up at a place; ``None`` for a range.
        low: The least token of a range.
        high: The greatest; ``None`` for the last that every table has which the base looks up at a place.
    """

    shape: tuple[int, ...]
    allowed: Tensor | None = None
    low: int = 0
    high: int | None = None

    @property
    def example(self) -> Tensor:
        """One input of the region."""
        if self.allowed is None:
            return torch.full(self.shape, self.low, dtype=torch.long)
        return self.allowed[0].long().argmax(-1)


@final
@dataclass(frozen=True)
class Fixed:
    """An input of one value."""

    value: Tensor


InputSet = Box | Tokens | Fixed
"""What one input may be."""


@final
class Layout:
    """How inputs by name become the inputs of a graph: real numbers first, then tokens.

    Args:
        sets: What each input may be, by its name, in the order of the forward; at least one is not fixed.

    Attributes:
        shapes: Of each input that is not fixed, for one example.
    """

    def __init__(self, sets: Mapping[str, InputSet]) -> None:
        self._sets = dict(sets)
        self.shapes: dict[str, tuple[int, ...]] = {}
        for name, one_set in sets.items():
            if isinstance(one_set, Box):
                self.shapes[name] = tuple(one_set.low.shape[1:])
            elif isinstance(one_set, Tokens):
                self.shapes[name] = one_set.shape
        self._reals = [name for name in self.shapes if isinstance(sets[name], Box)]
        self._tokens = [name for name in self.shapes if isinstance(sets[name], Tokens)]

    @property
    def key(self) -> tuple[object, ...]:
        """What tells recordings apart: shapes, and the values that are fixed."""
        fixed = [(name, one.value) for name, one in self._sets.items() if isinstance(one, Fixed)]
        return (
            tuple((name, shape, name in self._reals) for name, shape in self.shapes.items()),
            tuple((name, str(value.dtype), tuple(value.shape), value.numpy().tobytes()) for name, value in fixed),
        )

    def named(self, *inputs: Tensor) -> dict[str, Tensor]:
        """Return every input of the network by name, from the inputs of the graph, [n, …] with n examples."""
        given = iter(inputs)
        parts: dict[str, Tensor] = {}
        for names in (self._reals, self._tokens):
            if names:
                parts |= self._cut(names, next(given))
        count, device = len(inputs[0]), inputs[0].device
        fixed = {name: one.value for name, one in self._sets.items() if isinstance(one, Fixed)}
        return {
            name: parts[name] if name in parts else fixed[name].to(device).expand(count, *fixed[name].shape[1:])
            for name in self._sets
        }

    def _cut(self, names: list[str], together: Tensor) -> dict[str, Tensor]:
        if len(names) == 1:
            return {names[0]: together}
        sizes = [prod(self.shapes[name][1:]) for name in names]
        parts = torch.split(together, sizes, 1)
        return {name: part.reshape(-1, *self.shapes[name][1:]) for name, part in zip(names, parts, strict=True)}

    def example(self, dtype: torch.dtype) -> list[Tensor]:
        """Return one example for each input of the graph."""
        boxes = [self._sets[name] for name in self._reals]
        middles = [((box.low[0] + box.high[0]) / 2).to(dtype) for box in boxes if isinstance(box, Box)]
        tokens = [one.example for one in (self._sets[name] for name in self._tokens) if isinstance(one, Tokens)]
        return [_side_by_side(parts, 1) for parts in (middles, tokens) if parts]

    def region(self, base: Graph) -> Region:
        """Return the region; tokens of which no last is named end where the tables of the base do.

        Raises:
            Unsound: No token is left at a place.
        """
        boxes = [box for box in (self._sets[name] for name in self._reals) if isinstance(box, Box)]
        sides = {}
        if boxes:
            sides[0] = Box(_side_by_side([b.low for b in boxes], 2), _side_by_side([b.high for b in boxes], 2))
        if not self._tokens:
            return Region(sides)
        number = len(sides)
        last = _last_tokens(base, number)
        allowed, start = [], 0
        for name in self._tokens:
            one_set = self._sets[name]
            assert isinstance(one_set, Tokens)
            places = prod(one_set.shape)
            allowed.append(_allowed(name, one_set, last.flatten()[start : start + places].reshape(one_set.shape)))
            start += places
        rows = max(one.shape[-1] for one in allowed)
        padded = [torch.nn.functional.pad(one, (0, rows - one.shape[-1])) for one in allowed]
        if len(padded) > 1:
            padded = [one.reshape(len(one), 1, -1, rows) for one in padded]
        return Region(sides, {number: torch.cat(padded, 2) if len(padded) > 1 else padded[0]})


def _side_by_side(parts: list[Tensor], dims: int) -> Tensor:
    """Join values behind their first dimensions; one alone keeps its shape."""
    return parts[0] if len(parts) == 1 else torch.cat([part.flatten(dims) for part in parts], dims)


def _last_tokens(base: Graph, number: int) -> Tensor:
    """Return, for each place of the tokens, the last for which every table that is read there has a row."""
    shape = base.nodes[number].shape
    last = torch.full((prod(shape),), -1)
    for node in base.nodes:
        if isinstance(node, Lookup) and node.sources == (number,):
            places = torch.arange(prod(shape)) if node.places is None else node.places.flatten().cpu()
            here = last[places]
            most = torch.full_like(here, node.table.shape[0] - 1)
            last[places] = torch.where(here < 0, most, torch.minimum(here, most))
    return last.clamp(min=0).reshape(shape)


def _allowed(name: str, one_set: Tokens, last: Tensor) -> Tensor:
    if one_set.allowed is not None:
        return one_set.allowed
    most = last if one_set.high is None else torch.full_like(last, one_set.high)
    if bool((most < one_set.low).any()):
        raise Unsound(f"`{name}` starts at token {one_set.low}, and a table ends at {int(most.min())}")
    rows = torch.arange(int(most.max()) + 1)
    return ((rows >= one_set.low) & (rows <= most.unsqueeze(-1))).unsqueeze(0)


def enumerated(region: Region, most: int = MOST_COMBINATIONS) -> Region:
    """Return a region of tokens with each combination as a region of its own, where there are few.

    Every combination of the ids at all places of all regions is there, so that together they are the same inputs.
    """
    for number, allowed in region.tokens.items():
        counts = allowed.sum(-1).flatten(1)
        if len(region.tokens) > 1 or float(counts.double().prod(1).sum()) > most or bool((counts == 1).all()):
            return region
        found, origin = [], []
        for at, one in enumerate(allowed):
            ids = [mask.nonzero().flatten().tolist() for mask in one.flatten(0, -2)]
            for chosen in product(*ids):
                picked = torch.zeros_like(one.flatten(0, -2))
                picked[torch.arange(len(chosen)), torch.tensor(chosen)] = True
                found.append(picked.reshape(one.shape))
                origin.append(at)
        return Region(region.part(torch.tensor(origin)).boxes, {number: torch.stack(found)})
    return region
