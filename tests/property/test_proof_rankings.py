"""Budgets under global rankings: on tiny networks no outcome contradicts an answer, nor lies below a bound."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from surgery_dsl.proof.amount import Amount, Domain
from surgery_dsl.proof.questions import Answer, BudgetQuestion, Sum
from surgery_dsl.proof.tiers import ranking
from tests.unit.proof.test_budgets import outcomes

NAMES = ("a", "b", "c", "d", "e")
SHAPES = {
    "chain": [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e")],
    "cycle": [("a", "b"), ("b", "c"), ("c", "d"), ("a", "d")],
    "triangle": [("a", "b"), ("b", "c"), ("a", "c")],
    "complete": [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c"), ("b", "d"), ("c", "d")],
    "self-products": [("a", "a"), ("a", "b"), ("b", "b"), ("b", "c")],
    "tied widths": [("a",), ("a", "a"), ("a", "b"), ("a", "c"), ("b", "c")],
    "long products": [("a", "b", "c"), ("b", "c", "d"), ("a", "a", "b"), ("c", "c", "c"), ("d",)],
}


@st.composite
def networks(draw: st.DrawFn) -> tuple[Amount, dict[str, Domain]]:
    """Draw monomials of a network with positive coefficients, and ranges of at most six values."""
    shape = SHAPES[draw(st.sampled_from(sorted(SHAPES)))]
    terms = {monomial: Fraction(draw(st.integers(1, 9)), draw(st.sampled_from([1, 1, 2]))) for monomial in shape}
    domains = {}
    for name in sorted({name for monomial in shape for name in monomial}):
        step = draw(st.sampled_from([1, 1, 2, 4]))
        least = draw(st.integers(0, 4))
        most = least + step * draw(st.integers(0, 3)) + draw(st.integers(0, step - 1))
        domains[name] = Domain(least, most, step)
    return Amount(terms), domains


@st.composite
def questions(draw: st.DrawFn, relations: tuple[str, ...] = (">=", ">", "==")) -> BudgetQuestion:
    """Draw a limit from above, from below or of both signs, with one to three sums that may overlap."""
    amount, domains = draw(networks())
    signs = draw(st.sampled_from(["above", "below", "mixed"]))
    if signs == "above":
        amount = amount.scale(Fraction(-1))
    elif signs == "mixed":
        amount = Amount({m: c * draw(st.sampled_from([1, -1])) for m, c in amount.terms.items()})
    sums = []
    for _ in range(draw(st.integers(1, 3))):
        members = draw(st.lists(st.sampled_from(sorted(domains)), min_size=1, unique=True))
        weights = [Fraction(draw(st.sampled_from([1, 1, 2, 3])), draw(st.sampled_from([1, 1, 1, 2]))) for _ in members]
        parts = tuple((n, domains[n].most or 0, w) for n, w in zip(members, weights, strict=True))
        at = {name: domains[name].least + domains[name].step * draw(st.integers(0, 3)) for name in members}
        removed = Sum(parts, 0, 0).removed({n: min(size, domains[n].most or 0) for n, size in at.items()})
        least = max(0, int(removed) - draw(st.integers(0, 2)))
        sums.append(Sum(parts, least, least + draw(st.integers(0, 3))))
    question = BudgetQuestion(draw(st.sampled_from(relations)), amount, amount, domains, tuple(sums))  # type: ignore[arg-type]
    values = sorted({amount.at(sizes) for sizes in outcomes(question)})
    shift = -draw(st.sampled_from(values[:3] if values else [Fraction(0)])) + draw(st.integers(-1, 1))
    slack = amount + Amount.constant(shift)
    return BudgetQuestion(question.relation, slack, slack, domains, tuple(sums))


def contradiction(question: BudgetQuestion, answer: Answer | None) -> str:
    """Return what is wrong with an answer, by all outcomes."""
    every = list(outcomes(question))
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


@settings(max_examples=600, deadline=None)
@given(questions())
def test_no_outcome_contradicts_an_answer(question: BudgetQuestion) -> None:
    assert contradiction(question, ranking.budget(question)) == ""
