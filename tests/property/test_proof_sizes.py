"""Soundness of the tiers for sizes: periods say what trying says, over drawn expressions."""

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from surgery_dsl.interface.expression import Expression, add, evaluate, floor_divide, multiply
from surgery_dsl.proof.questions import SizeQuestion
from surgery_dsl.proof.tiers import congruences, intervals, normal_forms

leaves: st.SearchStrategy[Expression] = st.one_of(st.integers(-6, 12), st.sampled_from(["H", "W"]))


def grow(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    return st.one_of(
        st.tuples(inner, inner).map(lambda pair: add(*pair)),
        st.tuples(st.integers(-3, 5), inner).map(lambda pair: multiply(*pair)),
        st.tuples(inner, st.integers(1, 4)).map(lambda pair: floor_divide(*pair)),
    )


expressions = st.recursive(leaves, grow, max_leaves=6)
ranges = st.tuples(st.integers(0, 5), st.one_of(st.none(), st.integers(0, 25))).map(
    lambda pair: (pair[0], None if pair[1] is None else pair[0] + pair[1])
)


@settings(max_examples=300, deadline=None)
@given(expressions, st.integers(0, 40), st.integers(0, 40))
def test_expressions_grow_as_their_periods_say(expression: Expression, h: int, w: int) -> None:
    steps = congruences.steps_of(expression)
    assert steps is not None
    here = {"H": h, "W": w}
    for name, period in steps.period.items():
        there = {**here, name: here[name] + period}
        assert evaluate(expression, there) == evaluate(expression, here) + steps.growth[name]


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(["equal", "at_least", "divides"]), expressions, expressions, ranges, ranges)
def test_answers_are_those_of_trying(
    relation: str, left: Expression, right: Expression, h: tuple[int, int | None], w: tuple[int, int | None]
) -> None:
    question = SizeQuestion(relation, left, right, (("H", *h), ("W", *w)))  # type: ignore[arg-type]
    answer = normal_forms.sizes(question) or intervals.sizes(question) or congruences.sizes(question)
    assume(answer is not None)
    assert answer is not None
    tried = [
        {"H": x, "W": y}
        for x in range(h[0], (h[0] + 14 if h[1] is None else h[1]) + 1)
        for y in range(w[0], (w[0] + 14 if w[1] is None else w[1]) + 1)
    ]
    broken = [sizes for sizes in tried if not question.holds(sizes)]
    if answer.status == "proved":
        assert broken == []
    else:
        assert answer.status == "refuted"
        assert not question.holds(answer.witness)
        for name, least, most in question.ranges:
            assert answer.witness[name] >= least
            assert most is None or answer.witness[name] <= most
