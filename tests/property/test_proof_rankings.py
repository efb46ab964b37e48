"""Budgets under global rankings: on tiny networks no outcome contradicts an answer, nor lies below a bound.

What can be wrong in a bound (a sign, a rounding, a lost outcome) is put in by hand, and must be noticed.
"""

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import combinations, product
from math import ceil, floor
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from surgery_dsl.proof import running_sums
from surgery_dsl.proof.amount import Amount, Domain, grid_top
from surgery_dsl.proof.questions import Answer, BudgetQuestion, Sum
from surgery_dsl.proof.running_sums import unrolled
from surgery_dsl.proof.tiers import chords, contraction, elimination, min_cut, ranking, regions
from tests.unit.proof.test_budgets import outcomes

NAMES = ("a", "b", "c", "d", "e")
SHAPES: dict[str, list[tuple[str, ...]]] = {
    "chain": [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")],
    "cycle": [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")],
    "triangle": [("a", "b"), ("b", "c"), ("a", "c")],
    "complete": [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")],
    "self-products": [("a", "a"), ("a", "b"), ("b", "b"), ("b", "c")],
    "tied widths": [("a",), ("a", "a"), ("a", "b"), ("a", "c"), ("b", "c")],
    "long products": [("a", "b", "c"), ("b", "c", "d"), ("a", "a", "b"), ("c", "c", "c"), ("d",)],
    "dense": [("a", "b"), ("c", "r"), ("c", "c", "d"), ("r",), ("d", "s"), ("e", "t"), ("t",)],
    "dense without bottlenecks": [("b", "r"), ("c", "s"), ("d", "t"), ("d", "r"), ("s",), ("c",)],
    "dense, sums with sums": [("e", "s"), ("r", "t"), ("a", "t"), ("s", "s"), ("a", "b", "s"), ("t", "u"), ("e", "u")],
}
SUMS: dict[str, dict[tuple[str, ...], int]] = {
    "r": {("a",): 1, (): 2},
    "s": {("r",): 1, ("b",): 1},
    "t": {("s",): 1, ("c",): 3},
    "u": {("s",): 1, ("d",): 1, ("r",): 2},
}
"""What reads all before it: r = a + 2, s = r + b, t = s + 3·c; and u = s + d + 2·r, which is no longer of the row."""


@st.composite
def networks(draw: st.DrawFn) -> tuple[Amount, dict[str, Domain]]:
    """Draw monomials of a network with positive coefficients, and ranges of at most six values."""
    shape = SHAPES[draw(st.sampled_from(sorted(SHAPES)))]
    terms = {monomial: Fraction(draw(st.integers(1, 9)), draw(st.sampled_from([1, 1, 2]))) for monomial in shape}
    amount = Amount(terms, SUMS if any(name in SUMS for monomial in shape for name in monomial) else {})
    domains = {}
    for name in sorted(amount.variables):
        step = draw(st.sampled_from([1, 1, 2, 4]))
        least = draw(st.integers(0, 4))
        most = least + step * draw(st.sampled_from([3, 2, 5, 1, 0])) + draw(st.integers(0, step - 1))
        domains[name] = Domain(least, most, step)
    return amount, domains


@st.composite
def questions(draw: st.DrawFn, relations: tuple[str, ...] = (">=", ">", "==")) -> BudgetQuestion:
    """Draw a limit from above, from below or of both signs, with one to three sums that may overlap."""
    amount, domains = draw(networks())
    signs = draw(st.sampled_from(["above", "below", "mixed"]))
    if signs == "above":
        amount = amount.scale(Fraction(-1))
    elif signs == "mixed":
        amount = Amount({m: c * draw(st.sampled_from([1, -1])) for m, c in amount.written.items()}, amount.sums)
    kept = {name: draw(st.sampled_from(range(d.least, (d.most or 0) + 1, d.step))) for name, d in domains.items()}
    sums = []
    for _ in range(draw(st.sampled_from([1, 2, 3]))):
        members = draw(st.lists(st.sampled_from(sorted(domains)), min_size=1, unique=True))
        weights = [Fraction(draw(st.sampled_from([1, 1, 2, 3])), draw(st.sampled_from([1, 1, 1, 2]))) for _ in members]
        parts = tuple((n, domains[n].most or 0, w) for n, w in zip(members, weights, strict=True))
        removed = Sum(parts, 0, 0).removed(kept)
        least = max(0, floor(removed) - draw(st.integers(0, 3)))
        sums.append(Sum(parts, least, ceil(removed) + draw(st.integers(0, 3))))
    question = BudgetQuestion(draw(st.sampled_from(relations)), amount, amount, domains, tuple(sums))
    values = sorted({amount.at(sizes) for sizes in outcomes(question)})
    shift = -draw(st.sampled_from(values[:3] if values else [Fraction(0)])) + draw(st.integers(-1, 1))
    slack = amount + Amount.constant(shift)
    return BudgetQuestion(question.relation, slack, slack, domains, tuple(sums))


def contradiction(question: BudgetQuestion, answer: Answer | None, every: list[dict[str, int]]) -> str:
    """Return what is wrong with an answer, by all outcomes."""
    slacks = [question.slack.at(sizes) for sizes in every]
    if answer is None:
        return "the tier passed a question with sums on"
    if answer.status == "proved" and any(question.breaks(slack) for slack in slacks):
        return "proved, and some outcome breaks it"
    if answer.status == "refuted":
        found = [s for s in every if all(s[name] == size for name, size in answer.witness.items())]
        if not any(question.breaks(question.slack.at(sizes)) for sizes in found):
            return "refuted by what is no outcome, or does not break it"
    if answer.bound is not None and slacks and answer.bound > min(slacks):
        return "an outcome lies below the bound"
    if answer.least is not None and answer.least not in slacks:
        return "the least slack is no outcome's"
    return ""


@settings(max_examples=400, deadline=None)
@given(questions())
def test_no_outcome_contradicts_an_answer(question: BudgetQuestion) -> None:
    assert contradiction(question, ranking.budget(question), list(outcomes(question))) == ""


@settings(max_examples=300, deadline=None)
@given(questions((">=", ">")))
def test_tiny_questions_are_decided(question: BudgetQuestion) -> None:
    answer = ranking.budget(question)
    assert answer is not None
    if next(outcomes(question), None) is not None:
        assert answer.status != "undecided", answer


@st.composite
def dense(draw: st.DrawFn) -> tuple[Amount, dict[str, Domain], Sum]:
    """Draw a graph in which no variable has few neighbours, so that cuts decide, and one sum."""
    names = "abcdef"[: draw(st.integers(5, 6))]
    sign = draw(st.sampled_from([(-9, -1), (1, 9), (-9, 9)]))
    terms: dict[tuple[str, ...], Fraction] = {}
    for key in (*combinations(names, 2), *((name,) for name in names)):
        terms[key] = Fraction(draw(st.integers(*(sign if len(key) == 2 else (-20, 20)))))
    domains = {name: Domain(least := draw(st.integers(0, 2)), least + draw(st.integers(1, 4))) for name in names}
    parts = tuple((name, domains[name].most or 0, Fraction(draw(st.integers(1, 3)))) for name in names)
    least = draw(st.integers(0, 12))
    return Amount({m: c for m, c in terms.items() if c}), domains, Sum(parts, least, least + draw(st.integers(0, 2)))


@settings(max_examples=300, deadline=None)
@given(dense())
def test_cuts_give_the_least_vertex_or_less(network: tuple[Amount, dict[str, Domain], Sum]) -> None:
    amount, domains, fixed = network
    ranges = {name: (domain.least, domain.most or 0) for name, domain in domains.items()}
    task = regions.Task(unrolled(amount), (fixed,), dict.fromkeys(ranges, 1))
    found = regions.bounded(task, ranges, Fraction(10**9))
    vertices = [dict(zip(ranges, vertex, strict=True)) for vertex in product(*ranges.values())]
    if not any(fixed.removed(v) >= fixed.least for v in vertices):
        return

    def dual(price: Fraction) -> Fraction:
        end = fixed.least if price > 0 else fixed.most
        return min(amount.at(v) + price * (end - fixed.removed(v)) for v in vertices)

    (price,) = found.multipliers
    if all(c < 0 for m, c in amount.terms.items() if len(m) == 2):
        assert found.bound == dual(price)
        assert all(dual(price + step) <= found.bound for step in (Fraction(-1), Fraction(1, 7), Fraction(2)))
    assert found.bound <= dual(price)


# ---- wrong on purpose --------------------------------------------------------------------------------------------


@cache
def samples() -> list[tuple[BudgetQuestion, list[dict[str, int]]]]:
    """Return some hundred questions and their outcomes, the same in every run."""
    found: list[tuple[BudgetQuestion, list[dict[str, int]]]] = []

    @settings(
        max_examples=200,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(questions())
    def collect(question: BudgetQuestion) -> None:
        found.append((question, list(outcomes(question))))

    collect()
    return found


def noticed() -> bool:
    """Whether an answer to one of the samples, or a bound, is contradicted, or the tier contradicts itself."""
    for question, every in samples():
        try:
            if contradiction(question, ranking.budget(question), every):
                return True
            steps = {name: domain.step for name, domain in question.domains.items()}
            ranges = {name: (domain.least, grid_top(domain)) for name, domain in question.domains.items()}
            sums = tuple(fixed.on_grid(question.domains) for fixed in question.sums)
            bound = regions.bounded(regions.Task(unrolled(question.slack), sums, steps), ranges, Fraction(10**9)).bound
            if every and bound > min(question.slack.at(sizes) for sizes in every):
                return True
        except AssertionError:
            return True
    return False


def changed(function: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[..., Any]:
    """Return a function whose results are changed."""
    return lambda *given, **named: change(function(*given, **named))


def _ends_swapped(fixed: chords.UnitSum) -> chords.UnitSum:
    return chords.UnitSum(fixed.amounts, fixed.whole, fixed.most + 1, fixed.least - 1, fixed.scale)


def _amounts_negated(fixed: chords.UnitSum) -> chords.UnitSum:
    amounts = [(variable, -amount) for variable, amount in fixed.amounts]
    return chords.UnitSum(amounts, fixed.whole, fixed.least, fixed.most, fixed.scale)


def _chord_for_tangent(box: Any, flat: Any, touched: Any, key: tuple[int, ...], value: int, tangents: Any) -> None:
    once = tuple(dict.fromkeys(key))
    flat[once] = flat.get(once, 0) + value


def _one_more(found: elimination.Lowest) -> elimination.Lowest:
    return elimination.Lowest(found.value + 1, found.vertex, found.other)


def _without_its_last(halves: Callable[..., Any]) -> Callable[..., Any]:
    def change(task: regions.Task, region: regions.Region) -> Any:
        parts = halves(task, region)
        if parts is None:
            return None
        low, high = parts
        name = next(name for name in low if low[name] != high[name])
        return low, {**high, name: (min(high[name][0] + task.steps[name], high[name][1]), high[name][1])}

    return change


def _dearer(shortened: Callable[..., None]) -> Callable[..., None]:
    def change(box: chords.UnitBox, flat: Any, key: tuple[int, ...], value: int) -> None:
        shortened(box, flat, key, value)
        box.linear[-1] += abs(value)

    return change


def _a_place_short(run: Callable[..., None]) -> Callable[..., None]:
    def change(box: Any, chain: running_sums.Chain, *rest: Any) -> None:
        run(box, running_sums.Chain(chain.members, {(p - 1, name): c for (p, name), c in chain.uses.items()}), *rest)

    return change


def _sums_left_out(terms: Any, chain: Any, ends: Any) -> None:
    """Add nothing of sums that stand alone."""


def _later_start(fixed: Sum) -> Sum:
    return Sum(fixed.parts, min(fixed.least + 1, fixed.most), fixed.most)


MUTATIONS: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "ends of a sum swapped": (chords, "_unit_sum", lambda f: changed(f, _ends_swapped)),
    "removal counted with the wrong sign": (chords, "_unit_sum", lambda f: changed(f, _amounts_negated)),
    "a chord where the power pulls up": (chords, "_without_powers", lambda f: _chord_for_tangent),
    "a minimum rounded up": (elimination.Elimination, "lowest", lambda f: changed(f, _one_more)),
    "an outcome lost between halves": (regions, "halves", _without_its_last),
    "a sum that starts a unit later": (Sum, "on_grid", lambda f: changed(f, _later_start)),
    "a cut that fixes too much": (
        min_cut,
        "_fixed",
        lambda f: lambda terminals, graph, capacities: f(terminals, graph, [c // 2 for c in capacities]),
    ),
    "slopes along a chain that fall too little": (
        contraction,
        "_ranges_of_slopes",
        lambda f: changed(f, lambda ends: ([0] * len(ends[0]), ends[1])),
    ),
    "a chain that is a place short": (chords, "_run", _a_place_short),
    "sums that stand alone left out": (running_sums, "_add_alone", lambda f: _sums_left_out),
    "an auxiliary variable that costs too much": (chords, "_shortened", _dearer),
}


def test_the_samples_are_answered_right() -> None:
    assert not noticed()


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_a_wrong_dual_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, attribute, mutate = MUTATIONS[name]
    monkeypatch.setattr(owner, attribute, mutate(getattr(owner, attribute)))
    assert noticed(), f"nothing contradicts: {name}"
