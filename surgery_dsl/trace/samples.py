"""Numbers to put in for the free sizes, so that the forward can run."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

from surgery_dsl.interface.expression import Expression, evaluate, linear, symbols
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize
from surgery_dsl.trace.computed_sizes import ComputedSizes

# Primes beyond usual kernel sizes and small counts: large enough for five halvings, and no product of two of them
# is mistaken for a third.
_PREFERRED = (67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139)
_ENOUGH = 200
"""Length from which a multiple of a free size is large enough."""
_MOVES = (*range(1, 65), *range(-1, -33, -1))
"""How far a sample may move."""
_FAR = 4
"""How many times as large a far sample is: enough for the whole part of a root or of a logarithm to be another."""
_MOST_SAMPLES, _MOST_TRIED, _MOST_PAIRS = 4, 512, 16
"""Samples at which a forward runs, how many are looked at for one more, and how many pairs that is to tell apart."""
_SMALL = (61, 59, 53, 47, 43, 41, 37, 31, 29, 23, 19, 17, 13, 11, 7, 5, 3)


def samples(free: Iterable[FreeSize], inputs: Sequence[InputSpec] = ()) -> tuple[dict[str, int], ...]:
    """Return two assignments of the free sizes that differ in every size whose range allows it; one if none is free.

    Sizes lie in their range, are odd primes where the range holds any, and differ from one another where possible.
    Those that ``inputs`` take a multiple of are smaller ones.
    """
    sizes = tuple(free)
    factors = steps(inputs)
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


def steps(inputs: Sequence[InputSpec]) -> dict[str, int]:
    """Return the free sizes that inputs take a multiple of, with that."""
    return {name: step for spec in inputs for name, step, _ in map(linear, spec.dims) if step > 1}


def telling_apart(
    chosen: tuple[dict[str, int], ...],
    free: Iterable[FreeSize],
    computed: ComputedSizes,
    avoided: Sequence[Mapping[str, int]] = (),
) -> tuple[dict[str, int], ...]:
    """Return samples at which nothing that the code computed of sizes is the same by chance, where there are any.

    The remainders by 2 of odd sizes are; so the second sample moves. Two numbers may be the same at all samples, as
    ``H % 2`` and ``W % 2`` then are; another sample tells these apart. Of what became a plain float nobody can say what
    was made of it; a third sample, far from the others, then lies beside them. Those that are ``avoided`` are not taken
    to tell numbers apart: there a slice may take all that there is, and torch makes none.
    """
    by_name = {size.name: size for size in free}
    same = [size for _, size in computed.constant_by_chance()]
    first, second, more = chosen[0], dict(chosen[min(1, len(chosen) - 1)]), chosen[2:]
    for name in [one for one in by_name if any(one in symbols(size) for size in same)]:
        moved = (second[name] + step for step in _MOVES)
        others = {other for other, size in second.items() if other != name} | set(first.values())
        possible = (n for n in moved if n == within(by_name[name], n) and n not in others)
        about = [size for size in same if name in symbols(size)]
        second[name] = next(
            (n for n in possible if all(evaluate(e, first) != evaluate(e, {**second, name: n}) for e in about)),
            second[name],
        )
    found = (first, second, *more) if len(chosen) > 1 and second != chosen[1] else chosen
    if found == chosen and len(found) < _MOST_SAMPLES:
        found += _separating(first, tuple(computed.axes.alike)[:_MOST_PAIRS], by_name, avoided)
    if len(found) == 2 and computed.is_blurred():
        far = {name: within(size, _FAR * max(first[name], second[name]) + 1) for name, size in by_name.items()}
        found = found if far in found else (*found, far)
    return found


def _separating(
    first: Mapping[str, int],
    alike: Sequence[tuple[Expression, Expression]],
    by_name: Mapping[str, FreeSize],
    avoided: Sequence[Mapping[str, int]],
) -> tuple[dict[str, int], ...]:
    """Return a sample near the first at which most pairs of expressions differ; none where no pair does."""
    names = [name for name in by_name if any(name in symbols(one) | symbols(other) for one, other in alike)]
    best: tuple[int, dict[str, int]] = (0, {})
    for steps in itertools.islice(itertools.product(range(1, 9), repeat=len(names)), _MOST_TRIED):
        moved = {name: within(by_name[name], first[name] + n) for name, n in zip(names, steps, strict=True)}
        if any(n == by_name[name].most for name, n in moved.items()):  # there tables are read whole
            continue
        sample = {**first, **moved}
        if sample in avoided:
            continue
        differ = sum(evaluate(one, sample) != evaluate(other, sample) for one, other in alike)
        best = max(best, (differ, sample), key=lambda found: found[0])
        if differ == len(alike):
            break
    return (best[1],) if best[0] else ()


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
