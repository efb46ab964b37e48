"""z3 and the tiers on drawn questions: neither contradicts trying, and neither contradicts the other."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surgery_dsl.interface.expression import Expression, add, evaluate, floor_divide, multiply
from surgery_dsl.proof.blame import no_outcome
from surgery_dsl.proof.cross_check import cross_check
from surgery_dsl.proof.questions import BudgetQuestion, SizeQuestion
from surgery_dsl.proof.smt.messages import sizes_out
from surgery_dsl.proof.smt.process import Limits, ask
from surgery_dsl.proof.tiers.normal_forms import flattened
from surgery_dsl.proof.tiers.order import decide_all_sizes, decide_budget
from surgery_dsl.proof.transcript import Entry, Transcript
from tests.property.test_proof_rankings import questions as rankings

leaves: st.SearchStrategy[Expression] = st.one_of(st.integers(-4, 8), st.sampled_from(["H", "W"]))


def grow(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    return st.one_of(
        st.tuples(inner, inner).map(lambda pair: add(*pair)),
        st.tuples(inner, inner).map(lambda pair: multiply(*pair)),
        st.tuples(inner, st.integers(1, 4)).map(lambda pair: floor_divide(*pair)),
    )


expressions = st.recursive(leaves, grow, max_leaves=6)
asked = st.builds(
    lambda relation, left, right, least: SizeQuestion(relation, left, right, (("H", least, None), ("W", 1, 9))),
    st.sampled_from(["equal", "at_least", "divides"]),
    expressions,
    expressions,
    st.integers(0, 5),
)
LIMITS = Limits(rlimit=300_000)


@settings(max_examples=400, deadline=None)
@given(st.recursive(leaves, grow, max_leaves=12), st.integers(-9, 60), st.integers(-9, 60))
def test_chains_of_quotients_are_worth_what_they_were(expression: Expression, h: int, w: int) -> None:
    sizes = {"H": h, "W": w}
    assert evaluate(flattened(expression), sizes) == evaluate(expression, sizes)


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(asked, min_size=20, max_size=20), st.booleans())
def test_z3_says_what_trying_says(questions: list[SizeQuestion], hints: bool) -> None:
    jobs = [{"kind": "sizes", "hints": hints, "question": sizes_out(question)} for question in questions]
    for question, reply in zip(questions, ask(jobs, LIMITS).messages, strict=True):
        least = question.ranges[0][1]
        tried = ({"H": h, "W": w} for h in range(least, least + 20) for w in range(1, 10))
        if reply["status"] == "unsat":
            assert all(question.holds(sizes) for sizes in tried)
        elif reply["status"] == "sat":
            assert not question.holds(reply["witness"])


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(asked, min_size=20, max_size=20), st.lists(rankings(), min_size=20, max_size=20))
def test_z3_denies_no_verdict(sizes: list[SizeQuestion], budgets: list[BudgetQuestion]) -> None:
    entries = [Entry("sizes", q, a) for q, a in zip(sizes, decide_all_sizes(sizes), strict=True)]
    possible = [question for question in budgets if not no_outcome(question.sums, question.domains)]
    entries += [Entry("budget", question, decide_budget(question)) for question in possible]
    found = cross_check(Transcript(entries), limits=LIMITS)
    assert found.disagreements == ()
    assert found.verdicts == found.agree + len(found.gave_up)
