"""Amounts with sums of axes mean what they are multiplied out, in every use; dense networks take room by layers."""

import random
from fractions import Fraction
from itertools import product
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgery_dsl.proof.amount import Amount, Domain
from surgery_dsl.proof.questions import BudgetQuestion, Sum
from surgery_dsl.proof.replay_dual import replayed
from surgery_dsl.proof.running_sums import unrolled
from surgery_dsl.proof.tiers import regions
from surgery_dsl.proof.tiers.order import decide_budget
from surgery_dsl.proof.tiers.witness import Landscape
from tests.unit.proof.test_budgets import outcomes

NAMES = ("a", "b", "c", "d", "e")


@st.composite
def amounts(draw: st.DrawFn) -> Amount:
    """Draw sums of sums in any order, and products in which they may stand twice."""
    sums: dict[str, dict[tuple[str, ...], int]] = {}
    for index in range(draw(st.integers(1, 5))):
        known = [*NAMES, *sums]
        parts = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
        weights: dict[tuple[str, ...], int] = {(part,): draw(st.sampled_from([1, 1, 1, 2])) for part in parts}
        sums[f"s{index}"] = weights | ({(): draw(st.integers(1, 3))} if draw(st.booleans()) else {})
    keys = st.lists(st.sampled_from([*NAMES, *sums]), max_size=3).map(lambda names: tuple(sorted(names)))
    numbers = st.fractions(-9, 9, max_denominator=3).filter(bool)
    return Amount(draw(st.dictionaries(keys, numbers, max_size=6)), sums)


def value(amount: Amount, sizes: dict[str, int]) -> Fraction:
    """Return the value by the definitions alone."""
    known = dict(sizes)
    for name, parts in amount.sums.items():
        known[name] = sum(weight * prod(known[part] for part in key) for key, weight in parts.items())
    return sum((c * prod(known[name] for name in key) for key, c in amount.written.items()), Fraction(0))


@settings(max_examples=200, deadline=None)
@given(amounts(), st.lists(st.integers(0, 5), min_size=5, max_size=5), st.integers(0, 4), st.integers(-2, 2))
def test_every_way_to_read_an_amount_gives_its_value(amount: Amount, numbers: list[int], at: int, more: int) -> None:
    sizes = dict(zip(NAMES, numbers, strict=True))
    expected = value(amount, sizes)
    assert amount.at(sizes) == Amount(amount.terms).at(sizes) == expected
    assert amount.put_in({"a": sizes["a"]}).at(sizes) == expected
    assert (amount * amount + amount.scale(Fraction(2))).at(sizes) == expected**2 + 2 * expected
    assert amount.variables >= Amount(amount.terms).variables
    parts = unrolled(amount)
    total = Amount(parts.terms).at(sizes)
    for chain in parts.chains:
        before = [sum(weight * sizes[name] for name, weight in chain.members[:place]) for place in range(20)]
        total += sum((c * sizes[name] * before[place] for (place, name), c in chain.uses.items()), Fraction(0))
        assert all(name not in dict(chain.members[:place]) for place, name in chain.uses)
    assert total == expected
    land = Landscape(amount, {name: Domain(0, 9) for name in NAMES}, ())
    here = [sizes[name] for name in land.names]
    assert Fraction(land.value(here), land.scale) == expected
    if NAMES[at] in land.number:
        changed = value(amount, {**sizes, NAMES[at]: sizes[NAMES[at]] + more})
        variable = land.number[NAMES[at]]
        for slope in (None, land.slopes(here)[variable]):
            assert Fraction(land.change(here, variable, more, slope), land.scale) == changed - expected


def dense(layers: int, source: random.Random, *, bottleneck: bool = True) -> tuple[Amount, dict[str, Domain], Sum]:
    """Return what a dense network counts: each layer reads the sum of all before it; widths at random, one ranking."""
    written: dict[tuple[str, ...], Fraction] = {}
    sums: dict[str, dict[tuple[str, ...], int]] = {"s00": {("a00",): 1}}
    widths = {"a00": source.randint(2, 9)}
    for i in range(1, layers + 1):
        reader = f"b{i:02}" if bottleneck else f"a{i:02}"
        widths |= {f"a{i:02}": source.randint(2, 9), reader: source.randint(2, 9)}
        written |= {(reader, f"s{i - 1:02}"): Fraction(source.randint(1, 9)), (f"s{i - 1:02}",): Fraction(2)}
        if bottleneck:
            written[f"a{i:02}", reader] = Fraction(source.randint(1, 9))
        sums[f"s{i:02}"] = {(f"s{i - 1:02}",): 1, (f"a{i:02}",): 1}
    domains = {name: Domain(source.randint(0, 2), width) for name, width in widths.items()}
    most = sum(width - domains[name].least for name, width in widths.items())
    removed = source.randint(0, most)
    return Amount(written, sums), domains, Sum(tuple((n, w, Fraction(1)) for n, w in widths.items()), removed, removed)


def root(amount: Amount, domains: dict[str, Domain], fixed: Sum) -> Fraction:
    ranges = {name: (domain.least, domain.most or 0) for name, domain in domains.items()}
    return regions.bounded(
        regions.Task(unrolled(amount), (fixed,), dict.fromkeys(ranges, 1)), ranges, Fraction(10**9)
    ).bound


@pytest.mark.parametrize("sign", [-1, 1], ids=["limit from above", "limit from below"])
def test_the_bound_is_that_of_all_products(sign: int) -> None:
    source = random.Random(7)
    for _ in range(60):
        amount, domains, fixed = dense(source.randint(2, 14), source)
        signed = amount.scale(Fraction(sign))
        assert root(signed, domains, fixed) == root(Amount(signed.terms), domains, fixed)


@pytest.mark.parametrize("sign", [-1, 1], ids=["limit from above", "limit from below"])
@pytest.mark.parametrize("bottleneck", [True, False], ids=["bottlenecks", "no bottlenecks"])
def test_tiny_dense_networks_against_all_outcomes_and_the_certificate(sign: int, bottleneck: bool) -> None:
    source = random.Random(3)
    for _ in range(25):
        amount, domains, fixed = dense(2 if bottleneck else 4, source, bottleneck=bottleneck)
        domains = {name: Domain(max(d.least, (d.most or 0) - 3), d.most) for name, d in domains.items()}
        removed = source.randint(0, sum((d.most or 0) - d.least for d in domains.values()))
        fixed = Sum(fixed.parts, removed, removed)
        every = list(outcomes(BudgetQuestion(">=", amount, amount, domains, (fixed,))))
        least = min(amount.scale(Fraction(sign)).at(sizes) for sizes in every)
        for limit in (least, least + 1):
            slack = amount.scale(Fraction(sign)) + Amount.constant(-limit)
            question = BudgetQuestion(">=", slack, slack, domains, (fixed,))
            answer = decide_budget(question)
            assert answer.status == ("proved" if limit == least else "refuted")
            if answer.status == "refuted":
                assert value(slack, dict(answer.witness)) == answer.least
                assert value(slack, dict(answer.witness)) < 0
                assert fixed.removed(answer.witness) == fixed.least
            else:
                assert answer.certificate is not None
                assert replayed(question, answer.certificate) == ""


def test_a_dense_network_takes_room_by_layers_and_not_by_pairs_of_them() -> None:
    source = random.Random(1)
    small, large = (unrolled(dense(layers, source)[0]).size for layers in (40, 80))
    assert large < Fraction(21, 10) * small
    assert len(dense(40, source)[0].terms) > 5 * small


def test_the_least_slopes_are_those_of_all_vertices() -> None:
    """What is decided before anything is multiplied out is decided right: against all vertices of small cubes."""
    from surgery_dsl.proof.tiers.chords import unit_box
    from surgery_dsl.proof.tiers.contraction import minimiser

    source = random.Random(5)
    for _ in range(120):
        amount, domains, _ = dense(source.randint(2, 4), source, bottleneck=source.random() < 0.7)
        mixed = {key: c * source.choice([1, -1]) for key, c in amount.written.items()}
        ranges = {name: (domain.least, domain.most or 0) for name, domain in domains.items()}
        box = unit_box(unrolled(Amount(mixed, amount.sums)), ranges)
        prices = [(variable, source.randint(-200, 200)) for variable in range(len(box.names))]
        found = minimiser(box).lowest(prices, 1)
        values = []
        for vertex in product((0, 1), repeat=len(box.names)):
            sizes = {name: ends[0] for name, ends in ranges.items()}
            sizes |= {name: ranges[name][label] for name, label in zip(box.names, vertex, strict=True)}
            exact = Amount(mixed, amount.sums).at(sizes)
            values.append(exact + sum(price * vertex[variable] for variable, price in prices))
        assert found.value <= min(values)
        assert found.vertex != found.other or found.value == min(values)
