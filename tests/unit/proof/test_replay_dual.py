"""Dual certificates checked with exact fractions alone: right ones hold, wrong ones do not."""

from fractions import Fraction
from itertools import combinations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgery_dsl.proof.blame import no_outcome
from surgery_dsl.proof.cells import Terms
from surgery_dsl.proof.questions import BudgetQuestion
from surgery_dsl.proof.replay_dual import TooWide, least_vertex, replayed, without_powers
from surgery_dsl.proof.tiers.order import decide_budget
from tests.property.test_proof_rankings import questions
from tests.unit.proof.test_cross_check import WRONG, chain, tight, with_certificate

NAMES = tuple("abcdef")


@pytest.mark.parametrize("layers", [3, 20, 50, 200])
@pytest.mark.parametrize("less", [0, 1])
def test_certificates_of_chains_hold(layers: int, less: int) -> None:
    question = chain(tight(layers) - less, layers)
    answer = decide_budget(question)
    if answer.status != "refuted":
        assert answer.certificate is not None
        assert replayed(question, answer.certificate) == ""


@settings(max_examples=150, deadline=None)
@given(questions())
def test_certificates_of_drawn_networks_hold(question: BudgetQuestion) -> None:
    answer = decide_budget(question) if not no_outcome(question.sums, question.domains) else None
    if answer is not None and answer.certificate is not None:
        assert replayed(question, answer.certificate) == ""


@pytest.mark.parametrize("name", WRONG)
def test_wrong_certificates_do_not_hold(name: str) -> None:
    wrong = with_certificate(WRONG[name])
    assert isinstance(wrong.question, BudgetQuestion)
    assert wrong.answer.certificate is not None
    assert replayed(wrong.question, wrong.answer.certificate) != ""


monomials = st.lists(st.sampled_from(NAMES), max_size=4).map(lambda names: tuple(sorted(names)))
polynomials = st.dictionaries(monomials, st.integers(-9, 9).map(Fraction), max_size=8)


def at(terms: Terms, values: dict[str, Fraction]) -> Fraction:
    total = Fraction(0)
    for monomial, c in terms.items():
        for name in monomial:
            c *= values[name]
        total += c
    return total


@settings(max_examples=200, deadline=None)
@given(polynomials)
def test_the_least_vertex_is_that_of_trying(terms: Terms) -> None:
    linear = {tuple(dict.fromkeys(monomial)): c for monomial, c in terms.items()}
    corners = [dict(zip(NAMES, map(Fraction, bits), strict=True)) for bits in product((0, 1), repeat=len(NAMES))]
    assert least_vertex(linear) == min(at(linear, corner) for corner in corners)


@settings(max_examples=200, deadline=None)
@given(polynomials, st.fractions(0, 1), st.lists(st.fractions(0, 1), min_size=6, max_size=6))
def test_estimates_without_powers_stay_below(terms: Terms, point: Fraction, values: list[Fraction]) -> None:
    here = dict(zip(NAMES, values, strict=True))
    for tangents in ({}, dict.fromkeys(NAMES, point)):
        estimate = without_powers(terms, tangents)
        assert all(len(set(monomial)) == len(monomial) for monomial in estimate)
        assert at(estimate, here) <= at(terms, here)


def test_what_joins_too_much_is_left_open() -> None:
    terms: Terms = {pair: Fraction(-1) for pair in combinations([f"a{i:02}" for i in range(20)], 2)}
    with pytest.raises(TooWide, match="19 axes meet"):
        least_vertex(terms)
