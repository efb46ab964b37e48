"""Forwards that go through a list: what belongs to which entry, and the same forward with the entries arranged anew.

A forward that runs the entries of a list one after the other may do more around each: ``x = x + block(x)``. The events
of one turn are its *segment*. Segments must be alike, and one may hand values to the next alone: then any order of
segments is what the forward does when its list has that order.

Where an axis indexes the list (experts), a segment may also pick the index of its own number, alone or as one of all
that were picked before (``unbind``), and the results of all may be stacked along the axis.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, repeat

from surgery_dsl.interface.draft import Draft, Run
from surgery_dsl.interface.model import Operator
from surgery_dsl.interface.openings import Event, Opening, beginnings, may_begin
from surgery_dsl.interface.paths import entry_prefix, list_path

Role = tuple[int, int]
"""An event of a segment, and a position among the values that it reads, or writes."""

LISTS = ("torch.nn.ModuleList", "torch.nn.Sequential", "torch.nn.ParameterList")
ENTRY = "entry"
"""Setting of an operator that picks one index of an axis by the number of the entry whose turn it is."""
ENTRIES = "entries"
"""Setting of an operator that writes one value for each entry, in their order, or reads one of each."""


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
        given: Operators before the pass that write a value for each entry, by the role that reads it.
        gathered: Operators behind the pass that read one of the results of each entry, with the role that writes it.
        openings: What the first segment begins with and the others are handed, by event: a sum begins at zero.
    """

    path: str
    holder: Run
    numbers: tuple[int, ...]
    starts: tuple[int, ...]
    length: int
    carried: dict[Role, Role] = field(default_factory=dict)
    partners: tuple[str, ...] = ()
    given: dict[Role, Operator] = field(default_factory=dict)
    gathered: list[tuple[Role, Operator]] = field(default_factory=list)
    openings: dict[int, Opening] = field(default_factory=dict)

    def segment(self, at: int) -> list[Event]:
        """Return the events of the segment at a place of the pass; the first as if it were handed all."""
        events = self.holder.events[self.starts[at] : self.starts[at] + self.length]
        if at:
            return events
        return [self.openings[i].continued(event) if i in self.openings else event for i, event in enumerate(events)]

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
    prefix = entry_prefix(path)
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
    prefix = entry_prefix(path)
    for other in (*draft.modules, *draft.tensors):
        if other.startswith(prefix) and other[len(prefix) :].isdigit():
            yield int(other[len(prefix) :])


def _passes(at: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    """Split the runs of entries where their numbers do not rise."""
    start = 0
    for i in range(1, len(at) + 1):
        if i == len(at) or at[i][1] <= at[i - 1][1]:
            yield at[start:i]
            start = i


def _loop(draft: Draft, path: str, holder: Run, turns: list[tuple[int, int]]) -> Loop | Obstacle:
    places, numbers = [place for place, _ in turns], tuple(number for _, number in turns)
    if len(turns) == 1:
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
    settings = {name: value for name, value in event.settings.items() if not may_begin(event, value)}
    if settings.get(ENTRY) == number and any(one.path == path for one in draft.indexed):
        settings = settings | {ENTRY: "*"}
    return event.kind, event.module, tuple(sorted(settings.items())), tensors, len(event.outputs)


def _starred(draft: Draft, path: str, name: str, number: int) -> str:
    """Return a name with a star for the number of the entry, where it stands in the list at ``path`` or one beside it.

    A list that the list itself stands in does not count, whatever the number there.
    """
    prefix = entry_prefix(path)
    if name.startswith(prefix) and name[len(prefix) :].partition(".")[0] == str(number):
        return f"{prefix}*{name[len(prefix) + len(str(number)) :]}"
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
    _open(draft, loop)
    segments = [loop.segment(at) for at in range(len(loop.starts))]
    handed = _handed(draft, loop)
    reads = [[reads_of(event) for event in segment] for segment in segments]
    written = [frozenset(value for event in segment for value in written_in(event)) for segment in segments]
    for at in range(1, len(segments)):
        obstacle = _compare(loop, segments, reads, written, at, handed)
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
    handed: dict[int, tuple[Operator, int]],
) -> Obstacle | None:
    """Compare a segment with the one before it: each value that it reads comes from there, or is the same for both."""
    number = loop.numbers[at]
    for i, mine in enumerate(reads[at]):
        theirs = reads[at - 1][i]
        if beginnings(segments[at][i]) != beginnings(segments[at - 1][i]):
            return Obstacle(number, "begins with something that those before it do not")
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
            elif value in handed and before in handed and role not in loop.carried:
                (giver, mine_at), (other, theirs_at) = handed[value], handed[before]
                if giver is not other or (mine_at, theirs_at) != (number, loop.numbers[at - 1]):
                    return Obstacle(number, "is given what was picked for another")
                loop.given[role] = giver
            elif value != before or role in loop.carried or role in loop.given:
                return Obstacle(number, "is given something that the one before it is not")
    return None


def _open(draft: Draft, loop: Loop) -> None:
    """Note where operators of the first segment begin with a constant, and those of the second read what came of it."""
    if len(loop.starts) < 2 or loop.openings:
        return
    first, second = loop.segment(0), loop.segment(1)
    written = [frozenset(value for event in one for value in written_in(event)) for one in (first, second)]
    values: dict[Role, int] = {}
    for i, (one, two) in enumerate(zip(first, second, strict=True)):
        if isinstance(one, Run) or isinstance(two, Run) or len(two.inputs) != len(one.inputs) + 1:
            continue
        extra = [item for item in beginnings(one).items() if item[0] not in two.settings]
        for position, value in enumerate(two.inputs if len(extra) == 1 else ()):
            rest = (*two.inputs[:position], *two.inputs[position + 1 :])
            role = _source(first, value)
            if role is not None and all(map(_as_before, rest, one.inputs, repeat(written))):
                if role not in values:
                    values[role] = draft.new_value(draft.values[value].dtype, draft.values[value].dims)
                loop.openings[i] = Opening(values[role], position, extra[0])
                break


def _as_before(value: int, before: int, written: Sequence[frozenset[int]]) -> bool:
    """Whether a value of the second segment may be to it what another is to the first."""
    inside = value in written[1]
    return inside == (before in written[0]) and (inside or value == before or value in written[0])


def _handed(draft: Draft, loop: Loop) -> dict[int, tuple[Operator, int]]:
    """Return the values that were picked for entries of an indexed list: the operator that did, and the number."""
    if not any(one.path == loop.path for one in draft.indexed):
        return {}
    picking = [e for e in loop.holder.events if isinstance(e, Operator) and e.settings.get(ENTRIES) and e.outputs[1:]]
    return {value: (operator, at) for operator in picking for at, value in enumerate(operator.outputs)}


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
    inside = {
        id(event): at
        for at, start in enumerate(loop.starts)
        for event in loop.holder.events[start : start + loop.length]
    }

    def look(run: Run, within: int | None) -> Obstacle | None:
        for event in run.events:
            at = inside.get(id(event), within) if run is loop.holder else within
            if isinstance(event, Run):
                found = look(event, at)
                if found is not None:
                    return found
                continue
            if at is None and run is loop.holder and _gathers(draft, loop, segments, event):
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


def _gathers(draft: Draft, loop: Loop, segments: list[list[Event]], operator: Operator) -> bool:
    """Whether an operator reads one result of each entry of an indexed list, in their order, and nothing else."""
    if not operator.settings.get(ENTRIES) or not any(one.path == loop.path for one in draft.indexed):
        return False
    role = _source(segments[0], operator.inputs[0])
    if role is None or role in loop.carried.values():
        return False
    i, j = role
    if operator.inputs != tuple(segment[i].outputs[j] for segment in segments):
        return False
    loop.gathered.append((role, operator))
    return True


def _with_partners(draft: Draft, loop: Loop, segments: list[list[Event]]) -> Loop | Obstacle:
    """Note the lists whose entries run, or are read, in every segment with the entry of their own number."""
    found: dict[str, set[int]] = {}
    for number, segment in zip(loop.numbers, segments, strict=True):
        for event in segment:
            for name in (event.module,) if isinstance(event, Run) else event.tensors.values():
                starred = _starred(draft, loop.path, name, number)
                if starred != name:
                    found.setdefault(list_path(starred.partition("*")[0]), set()).add(number)
    found.pop(loop.path, None)
    length = len(set(entries(draft, loop.path)))
    for other in found:
        theirs = len(set(entries(draft, other)))
        if theirs != length:
            return Obstacle(loop.numbers[0], f"goes with entries of `{other}`, which has {theirs} and not {length}")
    loop.partners = tuple(found)
    return loop
