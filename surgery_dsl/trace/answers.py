"""Questions that a forward asks of free sizes: those whose answer matters stay as relations to prove.

``q_length > 1`` has another answer at the one size of its range at which nothing else may change. Where only the first
sizes of a range are answered otherwise, the forward is run there too: if it makes the same calls, on tensors of the
shapes that are predicted, or couples all parameters as elsewhere by others, the answer did not matter. All other
questions, ``H % 7`` say, stay.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from torch import nn

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.branches import is_question
from surgery_dsl.interface.expression import Expression, add, bounds, evaluate, multiply, put_in, symbols
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Dim, Interface, Requirement
from surgery_dsl.trace.collector import collect_young
from surgery_dsl.trace.forward import ForwardFailed, ValuesNeeded, record
from surgery_dsl.trace.likeness import as_predicted
from surgery_dsl.trace.propagate import Flow
from surgery_dsl.trace.recorder import Recording

_FIRST = 2
"""How many sizes from the least on are tried."""
_HEAD = 192
"""How many calls are looked at first: a forward that parts mostly does so early."""

Sizes = Mapping[str, int]
Answered = Mapping[Requirement, tuple[str, tuple[int, ...]]]
"""Questions that are answered otherwise at the first sizes of one range alone: its name, and these."""


def without_same_calls(
    model: nn.Module, inputs: Sequence[InputSpec], interface: Interface, flow: Flow, recording: Recording
) -> Interface:
    """Return an interface without the questions on whose answer no call depends.

    Args:
        model: The network, left as it was.
        inputs: What the plan says of its inputs.
        interface: What was found of it.
        flow: What was followed.
        recording: The forward at the first sample.
    """

    def same(sizes: Sizes) -> bool:
        try:
            (head,) = record(model, inputs, [sizes], tainted=False, until=_HEAD)
            if not as_predicted(flow, recording, head, sizes, begun=True):
                return False
            del head
            collect_young()
            (other,) = record(model, inputs, [sizes], tainted=False)
        except (ForwardFailed, ValuesNeeded):
            return False
        return as_predicted(flow, recording, other, sizes, begun=False)

    return _without(interface, flow.axes.samples[0], same)


def without_same_coupling(
    inputs: Sequence[InputSpec], interface: Interface, sample: Sizes, follow: Callable[[list[InputSpec]], Interface]
) -> frozenset[Requirement]:
    """Return the questions on whose answer no coupling depends.

    Args:
        inputs: What the plan says of its inputs.
        interface: What was found of the network, before other widths were tried.
        sample: Free sizes at which its forward ran.
        follow: Follows the forward on inputs of fixed sizes; what that takes in memory, it takes alone.
    """

    def couples(sizes: Sizes) -> bool:
        fixed = [spec.replaced(dims=tuple(put_in(dim, sizes) for dim in spec.dims)) for spec in inputs]
        try:
            return _coupling(follow(fixed), {}) == _coupling(interface, sizes)
        except (ForwardFailed, ValuesNeeded, Refused):
            return False

    left = _without(interface, sample, couples).requirements
    return frozenset(interface.requirements) - frozenset(left)


def _without(interface: Interface, sample: Sizes, matters_not: Callable[[Sizes], bool]) -> Interface:
    """Return an interface without the questions whose answer matters not: of each name alone, and of all of them."""
    answered: Answered = dict(_exceptions(interface))
    ends: dict[str, set[int]] = {}
    for name, sizes in answered.values():
        ends.setdefault(name, set()).update(sizes)
    good = {name for name, tried in ends.items() if all(matters_not({**sample, name: one}) for one in tried)}
    if len(good) > 1 and not matters_not({**sample, **{name: min(ends[name]) for name in good}}):
        return interface
    left = tuple(one for one in interface.requirements if one not in answered or answered[one][0] not in good)
    return interface.replaced(requirements=left)


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
