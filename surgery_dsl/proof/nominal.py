"""Limits that are meant for one size of the input: at which sizes a count without them keeps its limit.

``macs <= 2B`` is false where images may be of any size, however small the network. What is meant is a limit at a
declared size, ``macs(N = 1, H = 224, W = 224) <= 2B``; the sizes that are proposed are those of the data, else the
largest of the usual ones at which the limit is proved.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from surgery_dsl.interface.expression import linear
from surgery_dsl.interface.model import FreeSize
from surgery_dsl.language.plan import Comparison, Quantified, Reading
from surgery_dsl.proof.state import State

USUAL = (8192, 4096, 2048, 1024, 512, 384, 256, 224, 128, 64, 32, 16, 8, 4, 2, 1)
"""Lengths and edges that are tried, the largest first."""


def stated(state: State, statement: Comparison) -> str:
    """Return the left side with the sizes at which the limit is proved, as a plan would write it; empty where none.

    Only for a quantity that can state sizes, against a number, where some free size has no end.
    """
    reading = statement.left
    if not isinstance(reading, Reading) or not isinstance(statement.right, Quantified):
        return ""
    word = reading.word
    if "sizes" not in type(word).model_fields:
        return ""
    known = word.nominal()
    missing = [free for free in state.interface.free if free.name not in known]
    if not missing:
        return ""
    from surgery_dsl.proof.deciding import decide

    for sizes in _candidates(state, missing):
        there = word.replaced(sizes={**known, **sizes})
        changed = statement.replaced(left=reading.replaced(word=there))
        if decide(state, changed).answer.status == "proved":
            return str(there.written())
    return ""


def _candidates(state: State, missing: list[FreeSize]) -> Iterator[dict[str, int]]:
    """Yield sizes that are within the ranges: those of a data set, then the usual ones, examples one by one."""
    places = tuple(_places(state))
    batches = {place.name for place in places if place.position == 0}
    for facts in state.data.values():
        seen = {
            place.name: place.count(facts.input_shape[place.position - 1])
            for place in places
            if 0 < place.position <= len(facts.input_shape)
        }
        found = {free.name: 1 if free.name in batches else seen.get(free.name, 0) for free in missing}
        if all(_within(free, found[free.name]) for free in missing):
            yield found
    by_name = {place.name: place for place in reversed(places)}
    for usual in USUAL:
        lengths = {name: place.count(usual) for name, place in by_name.items()}
        found = {free.name: 1 if free.name in batches else lengths.get(free.name, usual) for free in missing}
        if all(_within(free, found[free.name]) for free in missing):
            yield found
        if all(free.name in batches for free in missing):
            return


@dataclass(frozen=True, slots=True)
class _Place:
    """A dimension of an input that is ``factor * name + rest``."""

    name: str
    position: int
    factor: int
    rest: int

    def count(self, size: int) -> int:
        """Return the free size at which the dimension has a size; 0 where none gives it."""
        return 0 if (size - self.rest) % self.factor else (size - self.rest) // self.factor


def _places(state: State) -> Iterator[_Place]:
    """Yield each dimension of an input that a free size gives."""
    interface = state.interface
    for port in interface.inputs:
        for position, dim in enumerate(interface.values[port.value].dims):
            size = interface.expression(dim)
            try:
                name, factor, rest = ("", 0, 0) if size is None else linear(size)
            except ValueError:  # of several free sizes, by a step
                continue
            if name and factor > 0:
                yield _Place(name, position, factor, rest)


def _within(free: FreeSize, size: int) -> bool:
    return free.least <= size and size >= 1 and (free.most is None or size <= free.most)
