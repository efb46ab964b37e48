"""Which free size a failing forward fails at: the smallest one, found by running it on fake tensors at other sizes.

A forward that fails at the sizes that were tried may run at others: a decoder that joins its halves again runs where 16
divides the height. Such a failure is told at its smallest size, beside sizes at which the forward runs.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize
from surgery_dsl.trace.forward import ForwardFailed, ValuesNeeded, record
from surgery_dsl.trace.samples import within

BASES = (1, 8, 16, 28, 32, 56, 64, 112, 128, 224, 256, 448, 512)
"""Sizes at which a network that fails at odd ones may run, the smallest first: those of usual images and windows."""
STEPS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 14, 16, 24, 28, 32, 56, 64)
"""Distances from a size that runs to another that may."""
MOST_CALLS = 10_000
"""About how many recorded calls the search may cost: what counts work is the same on every machine."""
FEWEST_RUNS, MOST_RUNS = 16, 200


@dataclass(frozen=True, slots=True)
class Smallest:
    """A failure at a smallest size.

    Attributes:
        failed: How the forward fails there.
        name: The free size to blame.
        runs: Sizes at which it runs, all others being as in ``failed``.
        multiple: The distance of two sizes that run, where it divides both; else 1.
    """

    failed: ForwardFailed
    name: str
    runs: tuple[int, ...]
    multiple: int


class _Trials:
    """Runs of one forward, as many as it may cost."""

    def __init__(self, model: nn.Module, inputs: Sequence[InputSpec], left: int) -> None:
        self._model, self._inputs, self._left = model, inputs, left

    def failure(self, sizes: Mapping[str, int]) -> ForwardFailed | None:
        """Run at some sizes; return how that failed."""
        if self._left <= 0:
            raise _Enough
        self._left -= 1
        try:
            record(self._model, self._inputs, [dict(sizes)])
        except ForwardFailed as failed:
            return failed
        except ValuesNeeded as needed:
            raise _Enough from needed
        return None


class _Enough(Exception):
    """No more runs."""


def smallest_failing(
    model: nn.Module, inputs: Sequence[InputSpec], free: Sequence[FreeSize], failed: ForwardFailed
) -> Smallest | None:
    """Return the smallest size of one free size at which a forward fails; ``None`` where none alone is to blame.

    Args:
        model: The network, left as it was.
        inputs: What the plan says of the inputs.
        free: Ranges of the free sizes.
        failed: How the forward failed.
    """
    trials = _Trials(model, inputs, min(max(MOST_CALLS // max(failed.records, 1), FEWEST_RUNS), MOST_RUNS))
    try:
        base = next((sizes for sizes in _bases(free) if trials.failure(sizes) is None), None)
        if base is None:
            return None
        for one in free:
            if trials.failure({**base, one.name: failed.sizes[one.name]}) is not None:
                return _at_least(trials, base, one)
    except _Enough:
        return None
    return None


def _bases(free: Sequence[FreeSize]) -> Iterator[dict[str, int]]:
    seen: list[dict[str, int]] = []
    for size in BASES:
        sizes = {one.name: within(one, size) for one in free}
        if sizes not in seen:
            seen.append(sizes)
            yield sizes


def _at_least(trials: _Trials, base: dict[str, int], blamed: FreeSize) -> Smallest | None:
    """Find the distance between sizes that run, and the smallest size that fails."""
    name, here = blamed.name, base[blamed.name]
    runs, multiple = [here], 1
    for step in STEPS:
        there = here + step
        if (blamed.most is None or there <= blamed.most) and trials.failure({**base, name: there}) is None:
            runs.append(there)
            multiple = step if here % step == 0 else 1
            break
    for size in range(blamed.least, (blamed.most or here + len(STEPS)) + 1):
        if size in runs:
            continue
        again = trials.failure({**base, name: size})
        if again is not None:
            return Smallest(again, name, tuple(runs), multiple)
        runs.append(size)
    return None
