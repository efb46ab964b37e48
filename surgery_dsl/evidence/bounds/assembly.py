"""From calls to the nodes of a graph, through the rules of ``operators``."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.graph import Affine, Call, Graph, Input, Lookup, Moved, Node, Source
from surgery_dsl.evidence.bounds.operators import Several, rule_of


class Assembly:
    """A graph that grows call by call.

    Args:
        inputs: Shape of each input, for one example.
    """

    def __init__(self, inputs: Sequence[tuple[int, ...]]) -> None:
        self._nodes: list[Node] = [Input((), shape, "input", "") for shape in inputs]
        self._inputs = len(inputs)
        self._calls: list[Call] = []

    def add(self, call: Call) -> "Source | Several":
        """Add what a call computes; raise :class:`~surgery_dsl.evidence.bounds.graph.Unbounded` where no rule does."""
        rule = rule_of(call.operator)
        if rule is None:
            raise call.refuse("no bound is known for this operator")
        made = rule(call)
        if isinstance(made, Lookup):
            made = self._looked_up(made, call)
        self._calls.append(call)
        if isinstance(made, Several):
            return Several(tuple(self._source(part) for part in made.parts))
        found: Source = self._source(made)
        return found

    def graph(self, output: int, unit: float = 0.0) -> Graph:
        """Return the graph with one of its values as the output, computed at a unit roundoff."""
        return Graph(tuple(self._nodes), output, self._inputs, tuple(self._calls), unit)

    def _looked_up(self, made: Lookup, call: Call) -> Lookup:
        """Return a lookup by the tokens of an input, wherever operators moved these on the way."""
        number, places = self._origin(made.sources[0], call)
        return replace(made, sources=(number,), places=None if places is None else places.to(made.table.device))

    def _origin(self, at: int, call: Call) -> "tuple[int, Tensor | None]":
        """Return the input whose tokens a value holds, and their positions there; what only moves them is told so."""
        node = self._nodes[at]
        if isinstance(node, Input):
            return at, None
        if isinstance(node, Affine) and node.offset is None:
            origins = [self._origin(source, call) for source in node.sources]
            # counted from 1, so that an edge filled with zeros shows
            counted = [
                torch.arange(1.0, self._nodes[number].size + 1, dtype=torch.float64).reshape(self._nodes[number].shape)
                if places is None
                else places + 1.0
                for number, places in origins
            ]
            found = node.linear(*counted)
            moved = isinstance(node.terms, int) and node.terms == 0
            if moved and len({number for number, _ in origins}) == 1 and bool((found >= 1).all()):
                number = origins[0][0]
                places = (found - 1).round().long()
                self._nodes[at] = Moved((number,), node.shape, node.operator, node.module, places)
                return number, places
        elif isinstance(node, Moved):
            return node.sources[0], node.places
        raise call.refuse("the tokens that it looks up are computed, not given")

    def _source(self, made: Any) -> Any:
        """Add a node, or pass on what is a source already, or no value of the forward."""
        if not isinstance(made, Node):
            return made
        self._nodes.append(made)
        return Source(len(self._nodes) - 1, made.shape)
