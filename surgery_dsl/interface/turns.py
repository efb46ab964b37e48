"""The segments of a loop in another order: what each then reads, and the copies of those that come again."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.loops import ENTRY, Loop, Role, reads_of, written_in
from surgery_dsl.interface.model import Dim, Operator
from surgery_dsl.interface.openings import Event, Opening

Renamed = Callable[[str, int, int], str]
"""Given a name, the slot and the old number of an entry: the name that it has there."""


def adjacent(loop: Loop, order: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield what will be read in the place of what: the new value, the old one, and the number of the entry behind.

    ``-1`` stands for what follows the last entry.
    """
    slots = [number for number in order if number in loop.numbers]
    at = {number: place for place, number in enumerate(loop.numbers)}
    for written, read in loop.streams.items():
        before = value = _read(loop.segment(0), read)
        for number in slots:
            segment = loop.segment(at[number])
            taken = _read(segment, read)
            if taken != before:
                yield before, taken, number
            before = segment[written[0]].outputs[written[1]]
        last = loop.segment(len(loop.starts) - 1)
        value = last[written[0]].outputs[written[1]]
        if before != value:
            yield before, value, -1


def stream_dims(draft: Draft, loop: Loop, number: int) -> Iterator[tuple[tuple[Dim, ...], tuple[Dim, ...]]]:
    """Yield, for each value that an entry is handed and hands on, the dimensions before and behind it."""
    segment = loop.segment(loop.numbers.index(number)) if number in loop.numbers else []
    for written, read in loop.streams.items() if segment else ():
        given = segment[written[0]].outputs[written[1]]
        yield draft.values[_read(segment, read)].dims, draft.values[given].dims


def rearrange(
    draft: Draft, loop: Loop, order: Sequence[int], renamed: Renamed, axes: Mapping[int, Mapping[int, int]]
) -> None:
    """Let the segments of a pass run in another order; a number that comes again runs as a copy.

    Args:
        draft: The draft, whose names are still the old ones.
        loop: A pass that the draft has.
        order: The old number of each entry that there will be.
        renamed: Gives names inside the entries their new spelling.
        axes: For each slot that holds a copy, the axes that it has in the place of the original's.
    """
    at = {number: place for place, number in enumerate(loop.numbers)}
    segments = [loop.segment(place) for place in range(len(loop.starts))]
    streams = loop.streams
    now = {written: _read(segments[0], read) for written, read in streams.items()}
    final = {written: segments[-1][written[0]].outputs[written[1]] for written in streams}
    slots = [(slot, number) for slot, number in enumerate(order) if number in at]
    events: list[Event] = []
    used: set[int] = set()
    indexed = any(one.path == loop.path for one in draft.indexed)
    handed: dict[Role, list[int]] = {role: [] for role in loop.given}
    results: dict[Role, list[int]] = {role: [] for role, _ in loop.gathered}
    for turn, (slot, number) in enumerate(slots):
        segment, own = segments[at[number]], axes.get(slot, {})
        values = {_read(segment, read): now[written] for written, read in streams.items()}
        for role, taken in handed.items():
            value = _read(segment, role)
            values[value] = _twin(draft, value, {}) if number in used else value
            taken.append(values[value])
        for value in sorted({value for event in segment for value in written_in(event)}):
            values[value] = _twin(draft, value, own) if number in used else value
        for written in streams:
            given = segment[written[0]].outputs[written[1]]
            if turn == len(slots) - 1:
                draft.values[final[written]] = draft.values[values[given]]
                values[given] = final[written]
            elif values[given] in final.values():
                values[given] = _twin(draft, values[given], {})
        used.add(number)
        for role, given_by in results.items():
            given_by.append(values[segment[role[0]].outputs[role[1]]])
        copier = _Copier(values, own, renamed, slot, number)
        events += [
            _begun(_numbered(copier.copied(event), number, slot, indexed), loop.openings.get(i))
            for i, event in enumerate(segment)
        ]
        now = {written: values[segment[written[0]].outputs[written[1]]] for written in streams}
    stop = loop.starts[-1] + loop.length
    loop.holder.events[loop.starts[0] : stop] = events
    _around(loop, handed, results)
    count_again(loop.holder)
    if not slots:
        for written, value in final.items():
            draft.root.rename(value, now[written])
            draft.root.outputs = tuple(now[written] if v == value else v for v in draft.root.outputs)
            draft.outputs = tuple(p.replaced(value=now[written]) if p.value == value else p for p in draft.outputs)


def _numbered(event: Event, number: int, slot: int, indexed: bool) -> Event:
    """Let what picks the index of an entry pick that of its new number."""
    if indexed and isinstance(event, Operator) and event.settings.get(ENTRY) == number:
        return event.replaced(settings=event.settings | {ENTRY: slot})
    return event


def _begun(event: Event, opening: Opening | None) -> Event:
    """Let an operator that runs first now begin with what the first one began with."""
    return event if opening is None else opening.begun(event)


def _around(loop: Loop, handed: Mapping[Role, list[int]], results: Mapping[Role, list[int]]) -> None:
    """Let what picks for all entries, or gathers what they give, do so for those that there are now."""
    picking = {id(operator): role for role, operator in loop.given.items()}
    gathering = {id(operator): role for role, operator in loop.gathered}
    for index, event in enumerate(loop.holder.events):
        if isinstance(event, Operator) and id(event) in picking:
            loop.holder.events[index] = event.replaced(outputs=tuple(handed[picking[id(event)]]))
        elif isinstance(event, Operator) and id(event) in gathering:
            loop.holder.events[index] = event.replaced(inputs=tuple(results[gathering[id(event)]]))


def count_again(run: Run) -> None:
    """Number the calls that a forward makes itself, ``module/kind#n``."""
    seen: Counter[str] = Counter()
    for index, event in enumerate(run.events):
        if isinstance(event, Operator):
            head, hash_, _ = event.path.rpartition("#")
            if hash_:
                run.events[index] = event.replaced(path=f"{head}#{seen[event.kind]}")
            seen[event.kind] += 1


def _read(segment: Sequence[Event], role: Role) -> int:
    return reads_of(segment[role[0]])[role[1]]


def _twin(draft: Draft, value: int, axes: Mapping[int, int]) -> int:
    return draft.new_value(draft.values[value].dtype, mapped(draft.values[value].dims, axes))


def mapped(dims: Iterable[Dim], axes: Mapping[int, int]) -> tuple[Dim, ...]:
    """Return dimensions with other axes in the place of some."""
    return tuple(tuple(axes.get(axis, axis) for axis in dim) for dim in dims)


@dataclass(frozen=True)
class _Copier:
    values: Mapping[int, int]
    axes: Mapping[int, int]
    renamed: Renamed
    slot: int
    number: int

    def copied(self, event: Event) -> Event:
        """Return an event with everything inside it, under the names, values and axes of its new place."""
        home = self._name(event.module)
        if isinstance(event, Run):
            inside = [self.copied(one) for one in event.events]
            return Run(home, self._many(event.inputs), self._many(event.outputs), inside)
        return event.replaced(
            module=home,
            path=home + event.path.removeprefix(event.module),
            inputs=self._many(event.inputs),
            outputs=self._many(event.outputs),
            tensors={role: self._name(tensor) for role, tensor in event.tensors.items()},
            macs=mapped(event.macs, self.axes),
        )

    def _name(self, name: str) -> str:
        return self.renamed(name, self.slot, self.number)

    def _many(self, old: Iterable[int]) -> tuple[int, ...]:
        return tuple(self.values.get(value, value) for value in old)


def written_by(loop: Loop, number: int) -> frozenset[int]:
    """Return the values that the segment of an entry writes."""
    segment = loop.segment(loop.numbers.index(number)) if number in loop.numbers else []
    return frozenset(value for event in segment for value in written_in(event))
