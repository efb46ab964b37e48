"""Whether two forwards of one network do the same: make the same calls, on tensors of the shapes that are predicted."""

from collections.abc import Callable, Hashable, Iterator, Mapping

from surgery_dsl.interface.expression import evaluate
from surgery_dsl.trace.propagate import Flow
from surgery_dsl.trace.recorder import Record, Recording, Ref

_VIEWS = frozenset({"alias", "detach", "expand", "slice", "view"})
"""Calls that give what they were given where the shape stays: others (a transposition) may turn a square around."""

Shape = tuple[int, ...]
ShapeOf = Callable[[Ref], Shape | None]


def predicted_shape(flow: Flow, ref: Ref, sizes: Mapping[str, int]) -> Shape | None:
    """Return the shape of a tensor at some sizes; ``None`` where part of it is not known as an expression."""
    if ref not in flow.states:
        return None
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


def as_predicted(flow: Flow, recording: Recording, other: Recording, sizes: Mapping[str, int], begun: bool) -> bool:
    """Say whether a forward at some sizes makes the calls of the one that was followed, on the shapes predicted.

    Views that change nothing at these sizes do not count: where a batch is one, nothing is expanded to it.

    Args:
        flow: What was followed.
        recording: The forward that was.
        other: The forward at the other sizes.
        sizes: These.
        begun: Whether the other was broken off: then what it did until there is compared.
    """
    wanted = _calls(recording, lambda ref: predicted_shape(flow, ref, sizes))
    found = _calls(other, lambda ref: other.shapes[ref])
    for call, made in found:
        expected = next(wanted, None)
        if expected is None or expected[0] != call:
            return False
        shapes = [(predicted_shape(flow, a, sizes), other.shapes[b]) for a, b in zip(expected[1], made, strict=True)]
        if any(shape not in (None, there) for shape, there in shapes):
            return False
    return begun or next(wanted, None) is None


def _calls(recording: Recording, shape: ShapeOf) -> Iterator[tuple[Hashable, tuple[Ref, ...]]]:
    """Yield the calls that do something, tensors named by what they are, with the tensors that they make."""
    names: dict[Ref, Hashable] = {ref: ("tensor", name) for name, ref in reversed(recording.tensors.items())}
    names |= {ref: ("input", position) for position, ref in enumerate(recording.inputs)}
    made = 0

    def name_of(ref: Ref) -> Hashable:
        return names.setdefault(ref, ("constant", len(names)))

    for record in recording.records:
        reads = tuple(name_of(ref) for ref in record.reads)
        if _changes_nothing(record, shape):
            names[record.outputs[0]] = reads[0]
            continue
        aliases = tuple(name_of(old) for _, old in record.aliases)
        for ref in record.outputs:
            names[ref] = ("made", made)
            made += 1
        yield (record.operation.name, record.operation.overload, reads, aliases, record.run), record.outputs


def _changes_nothing(record: Record, shape: ShapeOf) -> bool:
    if record.operation.name not in _VIEWS or len(record.reads) != 1 or len(record.outputs) != 1 or record.aliases:
        return False
    before = shape(record.reads[0])
    return before is not None and before == shape(record.outputs[0])
