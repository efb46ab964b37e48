"""Limits that are meant for one size of the input: at which sizes a count without them keeps its limit.

``macs <= 2B`` is false where images may be of any size, however small the network. What is meant is a limit at a
declared size, ``macs(N = 1, H = 224, W = 224) <= 2B``; the sizes that are proposed are those of the data, else the
largest of the usual ones at which the limit is proved.
"""

from collections.abc import Iterator

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
    batches = {name for name, position in _places(state) if position == 0}
    for facts in state.data.values():
        seen = {n: facts.input_shape[p - 1] for n, p in _places(state) if 0 < p <= len(facts.input_shape)}
        found = {free.name: 1 if free.name in batches else seen.get(free.name, 0) for free in missing}
        if all(_within(free, found[free.name]) for free in missing):
            yield found
    for usual in USUAL:
        found = {free.name: 1 if free.name in batches else usual for free in missing}
        if all(_within(free, found[free.name]) for free in missing):
            yield found
        if all(free.name in batches for free in missing):
            return


def _places(state: State) -> Iterator[tuple[str, int]]:
    """Yield each free size that is a whole dimension of an input, with its position."""
    interface = state.interface
    for port in interface.inputs:
        dims = interface.values[port.value].dims
        for position, dim in enumerate(dims):
            size = interface.axes[dim[0]].size if len(dim) == 1 else None
            if isinstance(size, str):
                yield size, position


def _within(free: FreeSize, size: int) -> bool:
    return free.least <= size and size >= 1 and (free.most is None or size <= free.most)
