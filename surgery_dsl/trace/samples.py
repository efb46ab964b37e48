"""Numbers to put in for the free sizes, so that the forward can run."""

from collections.abc import Iterable, Sequence

from surgery_dsl.interface.expression import linear
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize

# Primes beyond usual kernel sizes and small counts: large enough for five halvings, and no product of two of them
# is mistaken for a third.
_PREFERRED = (67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139)
_ENOUGH = 200
"""Length from which a multiple of a free size is large enough."""
_SMALL = (61, 59, 53, 47, 43, 41, 37, 31, 29, 23, 19, 17, 13, 11, 7, 5, 3)


def samples(free: Iterable[FreeSize], inputs: Sequence[InputSpec] = ()) -> tuple[dict[str, int], ...]:
    """Return two assignments of the free sizes that differ in every size whose range allows it; one if none is free.

    Sizes lie in their range, are odd primes where the range holds any, and differ from one another where possible.
    Those that ``inputs`` take a multiple of are smaller ones.
    """
    sizes = tuple(free)
    factors = {name: factor for spec in inputs for name, factor, _ in map(linear, spec.dims) if factor > 1}
    if not sizes:
        return ({},)
    first: dict[str, int] = {}
    second: dict[str, int] = {}
    used: set[int] = set()
    for size in sorted(sizes, key=lambda s: (s.most is None, (s.most or 0) - s.least)):
        one, two = _pair(size, used, factors.get(size.name, 1))
        first[size.name], second[size.name] = one, two
        used |= {one, two}
    order = [size.name for size in sizes]
    return {name: first[name] for name in order}, {name: second[name] for name in order}


def within(free: FreeSize, size: int) -> int:
    """Return the size of a range that is nearest to a size."""
    return max(size, free.least) if free.most is None else min(max(size, free.least), free.most)


def _pair(size: FreeSize, used: set[int], factor: int) -> tuple[int, int]:
    # The greatest size comes last: there a table of positions is read whole, and torch makes no slice of it.
    small = [n for n in reversed(_SMALL) if factor > 1 and n * factor >= _ENOUGH]
    inside = [n for n in (*small, *_PREFERRED, *_SMALL) if n >= size.least and (size.most is None or n < size.most)]
    found = [n for n in inside if n not in used][:2]
    if len(found) < 2:
        most = size.least + 64 if size.most is None else min(size.most, size.least + 64)
        others = [n for n in range(most, size.least - 1, -1) if n not in found]
        others.sort(key=lambda n: (n == 1, n == size.most, n in used, n % 2 == 0))
        found += others[: 2 - len(found)]
    return (found[0], found[-1])
