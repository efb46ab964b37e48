"""Soundness of the budget tiers: no outcome contradicts an answer."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from surgery_dsl.proof.amount import Amount, Domain
from surgery_dsl.proof.questions import BudgetQuestion, Sum
from surgery_dsl.proof.tiers.order import decide_budget
from tests.unit.proof.test_budgets import outcomes

NAMES = ("a", "b", "c")


@st.composite
def domains(draw: st.DrawFn) -> dict[str, Domain]:
    found = {}
    for name in NAMES:
        step = draw(st.integers(1, 3))
        least = draw(st.integers(0, 4))
        found[name] = Domain(least, least + step * draw(st.integers(0, 4)), step)
    return found


monomials = st.lists(st.sampled_from(NAMES), max_size=3).map(lambda names: tuple(sorted(names)))
amounts = st.dictionaries(monomials, st.integers(-9, 9), max_size=6).map(
    lambda terms: Amount({m: Fraction(c) for m, c in terms.items() if c})
)


@st.composite
def questions(draw: st.DrawFn) -> BudgetQuestion:
    box = draw(domains())
    slack = draw(amounts)
    sums: tuple[Sum, ...] = ()
    if draw(st.booleans()):
        parts = tuple((name, box[name].most or 0, Fraction(1)) for name in NAMES)
        least = draw(st.integers(0, 12))
        sums = (Sum(parts, least, least + draw(st.integers(0, 3))),)
    return BudgetQuestion(draw(st.sampled_from([">=", ">", "=="])), slack, slack, box, sums)


@settings(max_examples=400, deadline=None)
@given(questions())
def test_no_outcome_contradicts_an_answer(question: BudgetQuestion) -> None:
    answer = decide_budget(question)
    every = list(outcomes(question))
    breaking = [sizes for sizes in every if question.breaks(question.slack.at(sizes))]
    if answer.status == "proved":
        assert breaking == []
    elif answer.status == "refuted" and question.slack.variables:
        assert any(all(sizes[name] == size for name, size in answer.witness.items()) for sizes in breaking)
    if answer.bound is not None and answer.status != "refuted" and every:
        assert answer.bound <= min(question.slack.at(sizes) for sizes in every) or answer.tier.startswith("sum")


@settings(max_examples=200, deadline=None)
@given(questions())
def test_multilinear_slacks_over_a_box_are_always_decided(question: BudgetQuestion) -> None:
    multilinear = all(len(set(m)) == len(m) for m in question.slack.terms)
    if multilinear and not question.sums and question.relation != "==":
        assert decide_budget(question).status != "undecided"
