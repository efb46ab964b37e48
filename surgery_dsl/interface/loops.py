"""Forwards that go through a list: what belongs to which entry, and the same forward with the entries arranged anew.

A forward that runs the entries of a list one after the other may do more around each: ``x = x + block(x)``. The events
of one turn are its *segment*. Segments must be alike, and one may hand values to the next alone: then any order of
segments is what the forward does when its list has that order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.model import Operator

Event = Operator | Run
Role = tuple[int, int]
"""An event of a segment, and a position among the values that it reads, or writes."""

LISTS = ("torch.nn.ModuleList", "torch.nn.Sequential", "torch.nn.ParameterList")


@dataclass(frozen=True)
class Obstacle:
    """Why the entries of a list cannot be arranged anew: the entry, what stands in the way, and the operator."""

    entry: int
    text: str
    operator: Operator | None = None


@dataclass
class Loop:
    """One pass through a list.

    Attributes:
        path: Path of the list.
        holder: The run that goes through it.
        numbers: Numbers of the entries, in the order in which they run.
        starts: Where the segment of each begins among the holder's events.
        length: How many events a segment has.
        carried: What one segment hands to the next: for each role of reading, the role of writing.
        partners: Other lists whose entries run, or are read, with those of the same number.
    """

    path: str
    holder: Run
    numbers: tuple[int, ...]
    starts: tuple[int, ...]
    length: int
    carried: dict[Role, Role] = field(default_factory=dict)
    partners: tuple[str, ...] = ()

    def segment(self, at: int) -> list[Event]:
        """Return the events of the segment at a place of the pass."""
        return self.holder.events[self.starts[at] : self.starts[at] + self.length]

    @property
    def streams(self) -> dict[Role, Role]:
        """For each value that is handed on, by the role of writing, one role of reading."""
        return {written: read for read, written in reversed(self.carried.items())}


def loops_of(draft: Draft, path: str) -> list[Loop] | Obstacle:
    """Return every pass of the forward through a list.

    Args:
        draft: The network.
        path: Path of the list.
    """
    prefix = path + "." if path else ""
    numbers = {f"{prefix}{number}": number for number in entries(draft, path)}
    found: list[Loop] = []
    for holder in draft.root.runs():
        at = [(i, numbers[e.module]) for i, e in enumerate(holder.events) if isinstance(e, Run) and e.module in numbers]
        for turns in _passes(at):
            loop = _loop(draft, path, holder, turns)
            if isinstance(loop, Obstacle):
                return loop
            found.append(loop)
    return found


def entries(draft: Draft, path: str) -> Iterator[int]:
    """Yield the numbers of the entries of a list of modules or of parameters."""
    for other in (*draft.modules, *draft.tensors):
        head, _, name = other.rpartition(".")
        if head == path and other and name.isdigit():
            yield int(name)


def _passes(at: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Split the runs of entries where their numbers do not rise."""
    start = 0
    for i in range(1, len(at) + 1):
        if i == len(at) or at[i][1] <= at[i - 1][1]:
            yield at[start:i]
            start = i


def _loop(draft: Draft, path: str, holder: Run, turns: list[tuple[int, int]]) -> Loop | Obstacle:
    places, numbers = [place for place, _ in turns], tuple(number for _, number in turns)
    if len(turns) == 1 or holder.module == path:
        return _followed(draft, Loop(path, holder, numbers, tuple(places), 1))
    gaps = [holder.events[a + 1 : b] for a, b in pairwise(places)]
    signed = [[_signature(draft, path, event, numbers[i]) for event in gap] for i, gap in enumerate(gaps)]
    behind = [[_signature(draft, path, event, numbers[i + 1]) for event in gap] for i, gap in enumerate(gaps)]
    obstacle: Obstacle | None = None
    for post in range(min(map(len, gaps)), -1, -1):
        pre = len(gaps[0]) - post
        tail = [_signature(draft, path, e, numbers[-1]) for e in holder.events[places[-1] + 1 :][:post]]
        head = [_signature(draft, path, e, numbers[0]) for e in holder.events[max(0, places[0] - pre) : places[0]]]
        alike = (
            all(len(gap) == len(gaps[0]) for gap in gaps)
            and all(one[:post] == tail for one in signed)
            and all(one[post:] == head for one in behind)
        )
        if not alike:
            continue
        loop = Loop(path, holder, numbers, tuple(place - pre for place in places), pre + 1 + post)
        tried = _followed(draft, loop)
        if isinstance(tried, Loop):
            return tried
        obstacle = obstacle or tried
    if obstacle is not None and not any(gaps):
        return obstacle
    odd = next((i for i, gap in enumerate(gaps) if any(isinstance(e, Operator) for e in gap)), 0)
    first = next((e for gap in gaps[odd:] for e in gap if isinstance(e, Operator)), None)
    return obstacle or Obstacle(numbers[odd], "does more around it than run it", first)


def _signature(draft: Draft, path: str, event: Event, number: int) -> tuple[object, ...]:
    """Return what an event has in common with those that do the same for other entries."""
    if isinstance(event, Run):
        return "run", _starred(draft, path, event.module, number)
    tensors = tuple((role, _starred(draft, path, name, number)) for role, name in sorted(event.tensors.items()))
    return event.kind, event.module, tuple(sorted(event.settings.items())), tensors, len(event.outputs)


def _starred(draft: Draft, path: str, name: str, number: int) -> str:
    """Return a name with a star for the number of the entry, where it stands in the list at ``path`` or one beside it.

    A list that the list itself stands in does not count, whatever the number there.
    """
    parts = name.split(".")
    for i, part in enumerate(parts):
        if (path + ".").startswith(".".join(parts[: i + 1]) + "."):
            continue
        holder = draft.modules.get(".".join(parts[:i]))
        if part == str(number) and holder is not None and holder.type in LISTS:
            return ".".join([*parts[:i], "*", *parts[i + 1 :]])
    return name


# ---- what flows between segments -----------------------------------------------------------------------------------


def _followed(draft: Draft, loop: Loop) -> Loop | Obstacle:
    """Return the loop with what its segments hand on, or why they cannot be told apart."""
    segments = [loop.segment(at) for at in range(len(loop.starts))]
    reads = [[reads_of(event) for event in segment] for segment in segments]
    written = [frozenset(value for event in segment for value in written_in(event)) for segment in segments]
    for at in range(1, len(segments)):
        obstacle = _compare(loop, segments, reads, written, at)
        if obstacle is not None:
            return obstacle
    if len(segments) == 1 and segments[0][0].inputs and segments[0][0].outputs:
        loop.carried[0, 0] = (0, 0)
    return _escaping(draft, loop, segments, written) or _with_partners(draft, loop, segments)


def _compare(
    loop: Loop,
    segments: list[list[Event]],
    reads: list[list[tuple[int, ...]]],
    written: list[frozenset[int]],
    at: int,
) -> Obstacle | None:
    """Compare a segment with the one before it: each value that it reads comes from there, or is the same for both."""
    number = loop.numbers[at]
    for i, mine in enumerate(reads[at]):
        theirs = reads[at - 1][i]
        if len(mine) != len(theirs):
            return Obstacle(number, "reads more, or less, than those before it")
        for j, (value, before) in enumerate(zip(mine, theirs, strict=True)):
            if value in written[at]:
                continue
            role = (i, j)
            if value in written[at - 1]:
                source = _source(segments[at - 1], value)
                if source is None:
                    return Obstacle(number, "reads what lies inside the one before it")
                if loop.carried.setdefault(role, source) != source:
                    return Obstacle(number, "reads another result of the one before it than others do")
            elif value != before or role in loop.carried:
                return Obstacle(number, "is given something that the one before it is not")
    return None


def reads_of(event: Event) -> tuple[int, ...]:
    """Return the values that an event reads from outside, those that its call shows first."""
    if isinstance(event, Operator):
        return event.inputs
    inside = written_in(event)
    hidden = dict.fromkeys(
        value
        for run in event.runs()
        for one in run.events
        if isinstance(one, Operator)
        for value in one.inputs
        if value not in inside and value not in event.inputs
    )
    return (*event.inputs, *hidden)


def written_in(event: Event) -> frozenset[int]:
    """Return the values that an event writes."""
    if isinstance(event, Operator):
        return frozenset(event.outputs)
    inside = (one for run in event.runs() for one in run.events if isinstance(one, Operator))
    return frozenset(value for one in inside for value in one.outputs)


def _source(segment: Sequence[Event], value: int) -> Role | None:
    found = ((i, event.outputs.index(value)) for i, event in enumerate(segment) if value in event.outputs)
    return next((role for role in found if value in written_in(segment[role[0]])), None)


def _escaping(draft: Draft, loop: Loop, segments: list[list[Event]], written: list[frozenset[int]]) -> Obstacle | None:
    """Return an obstacle where something else than the next segment reads what a segment writes."""
    home = {value: at for at, values in enumerate(written) for value in values}
    results = [{segment[i].outputs[j] for i, j in loop.carried.values()} for segment in segments]
    inside = {id(event): at for at, segment in enumerate(segments) for event in segment}

    def look(run: Run, within: int | None) -> Obstacle | None:
        for event in run.events:
            at = inside.get(id(event), within) if run is loop.holder else within
            if isinstance(event, Run):
                found = look(event, at)
                if found is not None:
                    return found
                continue
            for value in event.inputs:
                source = home.get(value)
                if source is None or at == source or at == source + 1:
                    continue
                if at is not None or source < len(segments) - 1 or value not in results[source]:
                    text = f"gives something that is read elsewhere (`{event.kind}`, {event.source or event.path})"
                    return Obstacle(loop.numbers[source], text, event)
        return None

    found = look(draft.root, None)
    if found is not None:
        return found
    last = len(segments) - 1
    for port in draft.outputs:
        source = home.get(port.value)
        if source is not None and (source < last or port.value not in results[last]):
            return Obstacle(loop.numbers[source], f"gives the network's output `{port.name}`")
    return None


def _with_partners(draft: Draft, loop: Loop, segments: list[list[Event]]) -> Loop | Obstacle:
    """Note the lists whose entries run, or are read, in every segment with the entry of their own number."""
    found: dict[str, set[int]] = {}
    for number, segment in zip(loop.numbers, segments, strict=True):
        for event in segment:
            for name in (event.module,) if isinstance(event, Run) else event.tensors.values():
                starred = _starred(draft, loop.path, name, number)
                if starred != name:
                    found.setdefault(starred.partition("*")[0].rstrip("."), set()).add(number)
    found.pop(loop.path, None)
    length = len(set(entries(draft, loop.path)))
    for other in found:
        theirs = len(set(entries(draft, other)))
        if theirs != length:
            return Obstacle(loop.numbers[0], f"goes with entries of `{other}`, which has {theirs} and not {length}")
    loop.partners = tuple(found)
    return loop
