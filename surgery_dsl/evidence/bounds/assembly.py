"""From calls to the nodes of a graph, through the rules of ``operators``."""

from collections.abc import Sequence
from typing import Any

from surgery_dsl.evidence.bounds.graph import Call, Graph, Input, Lookup, Node, Source
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
        if isinstance(made, Lookup) and not isinstance(self._nodes[made.sources[0]], Input):
            raise call.refuse("the tokens that it looks up are computed, not given")
        self._calls.append(call)
        if isinstance(made, Several):
            return Several(tuple(self._source(part) for part in made.parts))
        found: Source = self._source(made)
        return found

    def graph(self, output: int, unit: float = 0.0) -> Graph:
        """Return the graph with one of its values as the output, computed at a unit roundoff."""
        return Graph(tuple(self._nodes), output, self._inputs, tuple(self._calls), unit)

    def _source(self, made: Any) -> Any:
        """Add a node, or pass on what is a source already, or no value of the forward."""
        if not isinstance(made, Node):
            return made
        self._nodes.append(made)
        return Source(len(self._nodes) - 1, made.shape)
