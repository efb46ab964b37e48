"""Whether units that are zero behind some ReLUs can go without a trace."""

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import final

from surgery_dsl.interface.flow import WEIGHTED, Flow
from surgery_dsl.interface.model import Dim, Interface, Operator
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.selection import Selection
from surgery_dsl.vocabulary.transforms._units import showing, uses
from surgery_dsl.vocabulary.units._watch import watched

_KEEPS_ZERO = frozenset({"view", "permute", "expand", "repeat", "slice", "select", "cast", "dropout", "identity"}) | {
    f"{name}{rank}d" for name in ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool") for rank in "123"
}
"""Operators that give 0 for a unit that is 0 at every position."""
_SUMS = frozenset({"add", "cat"})


def why_not_exact(selection: Selection, axes: Mapping[int, int], context: Static) -> str:
    """Return why removing units that are proved dead may change the function all the same; empty where it cannot.

    Args:
        selection: What goes; each unit is zero behind the first ReLUs after its sites.
        axes: For each axis that shrinks, the position of its pool.
        context: The place in the plan.
    """
    since = [name for name, effect in context.history[selection.runs_before :] if effect.function != "none"]
    if since:
        return f"`{since[0]}` has changed the network since they were proved"
    flow = Flow(context.interface)
    shown = showing(context.interface)
    for axis, at in axes.items():
        found = uses(context.interface, axis, shown.get(axis, ()))
        if found.mixed:
            operator, why = found.mixed[0]
            return f"`{operator.path}` {why}"
        zeros = _Zeros(flow, axis, frozenset(watched(selection.pools[at], flow, layers=False)[0]))
        if zeros.reader:
            return f"`{zeros.reader}` reads units that are not behind these ReLUs"
    return ""


@final
class _Zeros:
    """Which operators read an axis, and whether each reads zeros for units that are zero behind some ReLUs."""

    def __init__(self, flow: Flow, axis: int, relus: Collection[int]) -> None:
        self.flow, self.axis, self.relus = flow, axis, relus

    @cached_property
    def reader(self) -> str:
        """An operator that may read something else than zeros; empty where there is none."""
        interface = self.flow.interface
        outputs = {port.value for port in interface.outputs}
        if any(self._carries(interface, value) for value in outputs):
            return "the network's output"
        for operator in interface.operators:
            given = [value for value in operator.inputs if self._carries(interface, value)]
            ends = operator.kind in WEIGHTED or not any(self._carries(interface, out) for out in operator.outputs)
            if ends and not all(self._silent(value) for value in given):
                return operator.path
        return ""

    def _carries(self, interface: Interface, value: int) -> bool:
        return any(self._in(dim) for dim in interface.values[value].dims)

    def _in(self, dim: Dim) -> bool:
        return self.axis in self.flow.interface.leaves(dim)

    def _silent(self, value: int) -> bool:
        waiting, seen = [value], set[int]()
        while waiting:
            current = waiting.pop()
            at = self.flow.writer.get(current)
            if current in seen or at in self.relus:
                continue
            seen.add(current)
            if at is None or not self._keeps_zero(self.flow.interface.operators[at]):
                return False
            waiting += [one for one in self.flow.interface.operators[at].inputs if self._carries_one(one)]
        return True

    def _carries_one(self, value: int) -> bool:
        return self._carries(self.flow.interface, value)

    def _keeps_zero(self, operator: Operator) -> bool:
        if operator.tensors:
            return False
        if operator.kind in _SUMS:
            plain = not operator.settings.keys() & {"other", "alpha", "value"}
            return plain and (operator.kind == "cat" or all(self._carries_one(one) for one in operator.inputs))
        return operator.kind in _KEEPS_ZERO
