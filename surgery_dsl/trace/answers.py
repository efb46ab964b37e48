"""Questions that a forward asks of free sizes: those whose answer matters stay as relations to prove.

``q_length > 1`` has another answer at the one size of its range at which nothing else may change. Where only the first
sizes of a range are answered otherwise, the forward is run there too: if it makes the same calls, on tensors of the
shapes that are predicted, or couples all parameters as elsewhere by others, the answer did not matter. All other
questions, ``H % 7`` say, stay.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.branches import is_question
from surgery_dsl.interface.expression import Expression, add, bounds, evaluate, multiply, put_in, symbols
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Dim, FreeSize, Interface, Requirement
from surgery_dsl.trace.forward import ForwardFailed, ValuesNeeded, record
from surgery_dsl.trace.propagate import Flow
from surgery_dsl.trace.recorder import Recording, Ref

_FIRST = 2
"""How many sizes from the least on are tried."""

Follow = Callable[[Sequence[InputSpec], tuple[FreeSize, ...]], Interface]
"""Follows the same forward on other inputs."""


@dataclass(frozen=True, slots=True)
class Settling:
    """What it takes to look at a forward again.

    Attributes:
        model: The network, left as it was.
        inputs: What the plan says of its inputs.
        flow: What was followed.
        recording: The forward at the first sample.
        follow: Follows it on other inputs.
    """

    model: nn.Module
    inputs: Sequence[InputSpec]
    flow: Flow
    recording: Recording
    follow: Follow

    def settled(self, interface: Interface) -> Interface:
        """Return the interface without the questions that make no difference where they are answered otherwise."""
        found = dict(_exceptions(interface))
        ends: dict[str, set[int]] = {}
        for name, sizes in found.values():
            ends.setdefault(name, set()).update(sizes)
        if not ends:
            return interface
        sample = self.flow.axes.samples[0]
        alike = {name: min(n) for name, n in ends.items() if all(self._same({**sample, name: one}) for one in n)}
        if len(alike) > 1 and not self._same({**sample, **alike}):
            alike = {}
        good = {n for n, sizes in ends.items() if n in alike or all(self._couples(interface, n, one) for one in sizes)}
        left = tuple(one for one in interface.requirements if one not in found or found[one][0] not in good)
        return interface.replaced(requirements=left)

    def _same(self, sizes: Mapping[str, int]) -> bool:
        """Say whether the forward makes the same calls at other sizes, on tensors of the shapes that are predicted."""
        try:
            (other,) = record(self.model, self.inputs, [sizes], tainted=False)
        except (ForwardFailed, ValuesNeeded):
            return False
        if first_difference(self.recording, other, named=False) is not None:
            return False
        refs = [(Ref(at), shape) for at, shape in enumerate(other.shapes) if Ref(at) in self.flow.states]
        return all(predicted_shape(self.flow, ref, sizes) in (None, shape) for ref, shape in refs)

    def _couples(self, interface: Interface, name: str, size: int) -> bool:
        """Say whether the forward, at one size of one name, couples parameters and outputs as at all others."""
        inputs = [spec.replaced(dims=tuple(put_in(dim, {name: size}) for dim in spec.dims)) for spec in self.inputs]
        free = tuple(one for one in interface.free if one.name != name)
        try:
            there = self.follow(inputs, free)
        except (ForwardFailed, ValuesNeeded, Refused):
            return False
        return _coupling(there, {}) == _coupling(interface, {name: size})


def _exceptions(interface: Interface) -> Iterator[tuple[Requirement, tuple[str, tuple[int, ...]]]]:
    """Yield the questions that are answered otherwise at the first sizes of one range alone: its name, and these."""
    ranges = {one.name: (one.least, one.most) for one in interface.free}
    for requirement in interface.requirements:
        gap = add(requirement.left, multiply(-1, requirement.right))
        names = symbols(gap)
        if requirement.relation != "at_least" or not is_question(requirement.reason) or len(names) != 1:
            continue
        (name,) = names
        least, most = ranges[name]
        broken = [n for n in range(least, least + _FIRST) if evaluate(gap, {name: n}) < 0]
        if broken and broken == list(range(least, broken[-1] + 1)) and (most is None or broken[-1] < most):
            low = bounds(gap, {name: (broken[-1] + 1, most)})[0]
            if low is not None and low >= 0:
                yield requirement, (name, tuple(broken))


def _coupling(interface: Interface, sizes: Mapping[str, Expression]) -> object:
    """Return what surgery needs: axes of tensors, integers and outputs, numbered as they come, and what is fixed."""
    numbers: dict[int, int] = {}

    def said(dim: Dim) -> object:
        found: list[object] = []
        for axis in interface.leaves(dim):
            one = interface.axes[axis]
            size = put_in(one.size, sizes) if isinstance(one.size, str | tuple) else one.size
            if size != 1:
                found.append((numbers.setdefault(axis, len(numbers)), str(size), bool(one.frozen)))
        return tuple(found)

    tensors = [(tensor.name, [said(dim) for dim in tensor.dims]) for tensor in interface.tensors]
    integers = [(m.path, name, said(dim)) for m in interface.modules for name, dim in sorted(m.integers.items())]
    outputs = [[interface.expression(dim) for dim in interface.values[port.value].dims] for port in interface.outputs]
    shapes = [[None if size is None else put_in(size, sizes) for size in dims] for dims in outputs]
    ties = sorted(str([said(dim) for dim in tie.dims]) for tie in interface.size_ties)
    return tensors, integers, shapes, ties


def predicted_shape(flow: Flow, ref: Ref, sizes: Mapping[str, int]) -> tuple[int, ...] | None:
    """Return the shape of a tensor at some sizes; ``None`` where part of it is not known as an expression."""
    found = [flow.axes.expression(dim) for dim in flow.states[ref].dims]
    known = [size for size in found if size is not None]
    return tuple(evaluate(size, sizes) for size in known) if len(known) == len(found) else None


def first_difference(one: Recording, two: Recording, named: bool = True) -> int | None:
    """Return the first call in which two recordings differ; with outputs of others than they are ``named``, the last.

    Outputs that have got the names of the plan are not compared.
    """
    for position, (a, b) in enumerate(zip(one.records, two.records, strict=False)):
        same = (a.operation.name, a.operation.overload, a.reads, a.outputs, a.aliases, a.run) == (
            *(b.operation.name, b.operation.overload, b.reads, b.outputs, b.aliases, b.run),
        )
        if not same or any(len(one.shapes[ref]) != len(two.shapes[ref]) for ref in a.outputs):
            return position
    if len(one.records) != len(two.records):
        return min(len(one.records), len(two.records))
    return None if not named or one.outputs == two.outputs or not one.records else len(one.records) - 1
