"""Counting with round, floor and cap, against enumeration of every legal count."""

from fractions import Fraction
from itertools import product

from hypothesis import assume, given
from hypothesis import strategies as st

from surgery_dsl.vocabulary.selection import Rounding
from surgery_dsl.vocabulary.takes._counting import (
    kept_range,
    most_taken,
    share_of,
    shared_out,
    taken_nearest,
    taken_within,
)

roundings = st.builds(
    Rounding,
    multiple=st.integers(1, 6),
    keep_at_least=st.integers(0, 8),
    remove_at_most=st.none() | st.integers(0, 12),
)
sizes = st.integers(1, 16)


def legal(size: int, rounding: Rounding) -> list[int]:
    """Every count that may stay where something goes."""
    return [
        kept
        for kept in range(size + 1)
        if kept % rounding.multiple == 0
        and kept >= rounding.keep_at_least
        and (rounding.remove_at_most is None or size - kept <= rounding.remove_at_most)
    ]


@given(sizes, roundings)
def test_legal_counts(size: int, rounding: Rounding) -> None:
    assert list(kept_range(size, rounding)) == legal(size, rounding)
    assert most_taken(size, rounding) == max((size - kept for kept in legal(size, rounding)), default=0)


@given(st.fractions(0, 1, max_denominator=1000), st.integers(0, 500))
def test_shares_round_half_up(share: Fraction, size: int) -> None:
    count = share_of(share, size)
    assert Fraction(-1, 2) <= share * size - count < Fraction(1, 2)


@given(sizes, st.integers(0, 16), roundings)
def test_the_nearest_legal_count_stays(size: int, asked: int, rounding: Rounding) -> None:
    assume(asked <= size)
    taken = taken_nearest(size, asked, rounding)
    choices = legal(size, rounding)
    if not asked or not choices:
        assert taken == 0
        return
    target = size - asked
    # the nearest multiple first (of two, the greater), then floor and cap
    multiples = range(0, size + rounding.multiple, rounding.multiple)
    nearest = min(multiples, key=lambda kept: (abs(kept - target), -kept))
    assert size - taken == min(choices, key=lambda kept: abs(kept - nearest))


@given(sizes, st.integers(0, 16), roundings)
def test_findings_never_lose_what_was_not_found(size: int, found: int, rounding: Rounding) -> None:
    assume(found <= size)
    want = max((size - kept for kept in legal(size, rounding) if size - kept <= found), default=0)
    assert taken_within(size, found, rounding) == (want if found else 0)


@given(st.lists(st.tuples(st.integers(1, 5), roundings), min_size=1, max_size=3), st.integers(0, 15))
def test_shared_out_bounds_every_outcome_and_nothing_else(pools: list[tuple[int, Rounding]], asked: int) -> None:
    counts = [size for size, _ in pools]
    rules = [rounding for _, rounding in pools]
    assume(asked <= sum(counts))
    limits = [most_taken(size, rule) for size, rule in pools]
    total = min(asked, sum(limits))
    outcomes = [
        tuple(taken_nearest(size, n, rule) for (size, rule), n in zip(pools, split, strict=True))
        for split in product(*(range(limit + 1) for limit in limits))
        if sum(split) == total
    ]
    extents, fixed = shared_out(counts, asked, rules)
    for at, extent in enumerate(extents):
        seen = {outcome[at] for outcome in outcomes}
        assert (extent.least, extent.most) == (min(seen), max(seen))
        assert all((n - extent.least) % extent.step == 0 for n in seen)
    sums = {sum(outcome) for outcome in outcomes}
    assert fixed.least <= min(sums) <= max(sums) <= fixed.most
    if all(rounding.multiple == 1 for rounding in rules):
        assert sums == {fixed.least} == {fixed.most}
