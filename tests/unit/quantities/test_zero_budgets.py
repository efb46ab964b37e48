"""Counts of what is not zero, against outcomes that are played through entry by entry."""

import random
from collections.abc import Iterator
from itertools import product

import pytest

from surgery_dsl.interface.model import Interface
from surgery_dsl.proof.bookkeeping import extremes, least_zeros
from surgery_dsl.proof.check import CheckReport
from surgery_dsl.vocabulary.quantities.nonzero import Nonzero
from surgery_dsl.vocabulary.selection import Selection
from tests.unit.proof.builders import chain, checked, full

WIDTHS = (3, 4, 5, 2)
NETWORK = chain(WIDTHS)
SITES = ['linear("hidden.0")', 'linear("hidden.1")', 'linear("hidden.*")', 'linear("**")']
Entries = dict[str, set[int]]


def step(number: int, draw: random.Random) -> str:
    unit = draw.choice(["weights", "weights", "channels"])
    take = draw.choice(["lowest(40%)", "highest(25%)", "below(0.5)", "lowest(3)"])
    where = draw.choice(SITES[:3])
    per = draw.choice(["site", "global"])
    recover = "recover tune%d {\n  data = train\n  epochs = 1\n  optimizer = sgd(lr = 0.1)\n  loss = cross_entropy\n}\n"
    train = recover % number if draw.random() < 0.3 else ""
    body = f"identify s{number} {{\n  in = {where}\n  unit = {unit}\n  by = magnitude(p = 1)\n  take = {take}\n"
    return f"{body}  per = {per}\n}}\nexcise s{number} {{ mode = zero }}\n{train}"


def outcome(selection: Selection, draw: random.Random) -> list[int]:
    """Some counts that the selection allows."""
    counts = [draw.choice(range(e.least, e.most + 1, e.step)) for e in selection.taken]
    if selection.total is None:
        return counts
    order = list(range(len(counts)))
    while not selection.total.least <= sum(counts) <= selection.total.most:
        sign = 1 if sum(counts) < selection.total.least else -1
        draw.shuffle(order)
        for at in order:
            extent = selection.taken[at]
            moved = counts[at] + sign * extent.step
            if extent.least <= moved <= extent.most:
                counts[at] = moved
                break
        else:
            raise AssertionError("no outcome keeps the sum")
    return counts


def size(name: str, interface: Interface = NETWORK) -> int:
    return full(interface)[name]


def zeroed(selection: Selection, counts: list[int], draw: random.Random) -> Entries:
    """Which entries an outcome sets to zero: any of the pool's units, rows with their biases."""
    found: Entries = {}
    for pool, count in zip(selection.pools, counts, strict=True):
        units = draw.sample(range(pool.size), count)
        if pool.tensor:
            found.setdefault(pool.tensor, set()).update(units)
            continue
        name = pool.sites[0].module
        width = size(f"{name}.weight") // pool.size
        found.setdefault(f"{name}.weight", set()).update(u * width + i for u in units for i in range(width))
        found.setdefault(f"{name}.bias", set()).update(units)
    return found


def played(report: CheckReport, base: Entries, draw: random.Random) -> int:
    """Run one outcome of a plan and return how many entries are not zero in the end."""
    zero = {name: set(entries) for name, entries in base.items()}
    held: Entries = {name: set() for name in base}
    for run, state in zip(report.runs, report.states, strict=True):
        if run.step.block == "excise":
            selection = state.selections[run.step.name]
            for name, entries in zeroed(selection, outcome(selection, draw), draw).items():
                held[name] |= entries
                zero[name] |= entries
        elif run.step.block == "recover":
            for name in zero:
                loose = set(range(size(name))) - held[name]
                zero[name] = held[name] | {i for i in loose if draw.random() < draw.choice([0.0, 0.2])}
    return sum(size(name) - len(entries) for name, entries in zero.items())


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("seed", range(60))
def test_no_outcome_leaves_the_bounds(seed: int, dense: bool) -> None:
    draw = random.Random(seed)
    body = "".join(step(number, draw) for number in range(draw.randint(1, 3)))
    zeros = {n: set() if dense else {i for i in range(c) if draw.random() < 0.3} for n, c in full(NETWORK).items()}
    known = {name: size(name) - len(entries) for name, entries in zeros.items()}
    report = checked(body, WIDTHS, nonzero=known)
    assert not report.failed, [d.message for d in report.diagnostics]
    state = report.end
    low, high = Nonzero().bounds(state.interface, state.static())
    least, most = extremes(state.interface, low)[0], extremes(state.interface, high)[1]
    for _ in range(40):
        assert least <= played(report, zeros, draw) <= most


def weights(take: str, where: str, name: str, per: str = "global") -> str:
    return (
        f"identify {name} {{\n  in = {where}\n  unit = weights\n  by = magnitude(p = 1)\n  take = {take}\n"
        f"  per = {per}\n}}\nexcise {name} {{ mode = zero }}\n"
    )


def range_of(body: str, nonzero: dict[str, int] | None = None) -> tuple[int, int]:
    report = checked(body, WIDTHS, **({} if nonzero is None else {"nonzero": nonzero}))
    low, high = Nonzero().bounds(report.end.interface, report.end.static())
    return extremes(report.end.interface, low)[0], extremes(report.end.interface, high)[1]


TOTAL = sum(full(NETWORK).values())


@pytest.mark.parametrize(
    ("body", "zeros"),
    [
        (weights("lowest(10)", SITES[2], "a"), (10, 10)),
        (weights("lowest(25%)", SITES[2], "a", "site"), (3 + 5, 3 + 5)),
        (weights("lowest(6)", SITES[0], "a") + weights("lowest(7)", SITES[1], "b"), (13, 13)),
        (weights("lowest(6)", SITES[0], "a") + weights("lowest(4)", SITES[0], "b"), (6, 10)),
        (weights("lowest(9)", SITES[2], "a") + weights("lowest(7)", SITES[0], "b"), (9, 16)),
        (weights("below(0.5)", SITES[2], "a"), (0, 11 + 19)),
        (weights("lowest(9)", SITES[2], "a") + weights("below(0.5)", 'linear("head")', "b"), (9, 9 + 9)),
    ],
)
def test_zeros_that_no_training_followed_are_counted_as_exactly_as_they_are_known(
    body: str, zeros: tuple[int, int]
) -> None:
    assert range_of(body) == (TOTAL - zeros[1], TOTAL - zeros[0])


def test_channels_of_a_global_ranking_cost_what_the_cheapest_and_the_dearest_cost() -> None:
    body = weights("lowest(3)", SITES[2], "a").replace("unit = weights", "unit = channels")
    costs = [(3 + 1) * a + (4 + 1) * b for a, b in product(range(4), range(5)) if a + b == 3]
    assert range_of(body) == (TOTAL - max(costs), TOTAL - min(costs))


def test_zeros_that_were_there_may_be_written_again() -> None:
    known = full(NETWORK) | {"hidden.0.weight": 5}
    body = weights("lowest(6)", SITES[0], "a")
    assert range_of(body, known) == (TOTAL - 12, TOTAL - 7)
    prove = "control c {\n  prove nonzero <= %d\n}\n"
    report = checked(body + prove % (TOTAL - 7), WIDTHS, nonzero=known)
    assert [v.status for v in report.verdicts if v.verb == "prove"] == ["proved"]
    report = checked(body + prove % (TOTAL - 8), WIDTHS, nonzero=known)
    assert [v.status for v in report.verdicts if v.verb == "prove"] == ["undecided"]


def test_rows_and_columns_of_one_tensor_cross() -> None:
    body = """identify cross {
  in = [param("hidden.1.weight", dim = 0), param("hidden.1.weight", dim = 1)]
  unit = channels
  take = only([0, 1])
}
excise cross { mode = zero }
"""
    least, most = range_of(body)
    rows, columns = 2 * 4, 2 * 5
    assert least <= TOTAL - (rows + columns - 4) <= most


# ---- several zeros that are known together -----------------------------------------------------------------------


def test_groups_that_share_no_tensor_add_up_and_overlap_takes_the_better() -> None:
    known = dict.fromkeys("abcd", (0, 9)) | {"d": (2, 9)}
    groups = [(frozenset("ab"), 10), (frozenset("cd"), 5), (frozenset("bc"), 12)]
    best = max(
        sum(least for names, least in chosen) + sum(known[n][0] for n in set(known) - {n for g, _ in chosen for n in g})
        for chosen in _disjoint(groups)
    )
    assert best == 15
    assert least_zeros(groups, known) == best


def _disjoint(groups: list[tuple[frozenset[str], int]]) -> Iterator[list[tuple[frozenset[str], int]]]:
    for picks in product([False, True], repeat=len(groups)):
        chosen = [group for group, pick in zip(groups, picks, strict=True) if pick]
        if len({name for names, _ in chosen for name in names}) == sum(len(names) for names, _ in chosen):
            yield chosen


def test_a_later_budget_adds_up_what_rankings_of_different_layers_zeroed() -> None:
    body = "".join(
        weights(f"lowest({count})", where, name)
        for count, where, name in ((9, '[linear("hidden.0"), linear("hidden.1")]', "a"), (4, 'linear("head")', "b"))
    )
    tune = "recover tune {\n  data = train\n  epochs = 1\n  optimizer = sgd(lr = 0.1)\n  loss = cross_entropy\n}\n"
    report = checked(body + tune + f"control c {{\n  prove nonzero <= {TOTAL - 13}\n}}\n", WIDTHS)
    assert [v.status for v in report.verdicts if v.verb == "prove"] == ["proved"]
    report = checked(body + tune + f"control c {{\n  prove nonzero <= {TOTAL - 14}\n}}\n", WIDTHS)
    assert [v.status for v in report.verdicts if v.verb == "prove"] == ["refuted"]
