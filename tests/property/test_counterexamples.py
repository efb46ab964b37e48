"""Every counterexample that is printed exists and breaks the line: it is replayed with another arithmetic."""

from fractions import Fraction
from itertools import product

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from surgery_dsl.diagnostics.codes import defects
from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.language.plan import Comparison, Control
from surgery_dsl.proof import deciding, replay
from surgery_dsl.proof.amount import Amount, Domain
from surgery_dsl.proof.check import check
from surgery_dsl.proof.deciding import decide, worst_sizes
from surgery_dsl.proof.questions import Answer, BudgetQuestion, Sum
from surgery_dsl.proof.smallest import smallest
from surgery_dsl.proof.state import State, start
from surgery_dsl.proof.steps import advance
from tests.unit.proof.builders import chain, codes, full, lock, plan

PLAN = """
identify weak {{
  in = linear("hidden.*")
  unit = channels
  by = magnitude(p = 1)
  take = {take}
{more}}}
excise weak
control final {{
  prove {claim}
}}
"""
TAKES = st.sampled_from(["lowest(30%)", "lowest(45%)", "lowest(3)", "below(0.5)", "highest(20%)"])
MORE = st.sampled_from(["", "  per = global\n", "  round = 2\n", "  per = global\n  floor = 2\n", "  floor = 3\n"])
WIDTHS = st.lists(st.integers(4, 12), min_size=2, max_size=5)
CLAIMS = st.tuples(
    st.sampled_from(["params", "macs(N = 2)", "weight_bytes", "params - macs(N = 1)"]),
    st.sampled_from(["<=", ">=", "<", ">", "=="]),
    st.integers(10, 90),
)


def followed(text: str, widths: list[int]) -> tuple[State, Comparison] | None:
    """Return the state at the control block and its claim; ``None`` where a step cannot be followed."""
    interface = chain((5, *widths, 3))
    read = plan(text)
    state = start(read, lock(interface, nonzero=full(interface)), Sink("plan.surg"))
    for step in read.steps:
        if isinstance(step, Control):
            (obligation,) = step.obligations
            assert isinstance(obligation.statement, Comparison)
            return None if state.broken else (state, obligation.statement)
        state = advance(state, step, read)
    return None


@settings(max_examples=150, deadline=None)
@given(WIDTHS, TAKES, MORE, CLAIMS)
def test_what_is_refuted_replays_as_broken(
    widths: list[int], take: str, more: str, claim: tuple[str, str, int]
) -> None:
    quantity, relation, share = claim
    limit = f"{share}% * base.{quantity}" if "-" not in quantity else f"{share - 50}"
    text = PLAN.format(take=take, more=more, claim=f"{quantity} {relation} {limit}")
    found = followed(text, widths)
    assume(found is not None)
    assert found is not None
    state, statement = found
    decided = decide(state, statement)
    if decided.answer.status != "refuted":
        return
    worst = worst_sizes(decided, statement)
    outcome = smallest(decided.question, worst)
    for sizes in (worst, outcome.sizes):
        again = replay.replay(state, statement, sizes)
        assert again.misfit == ""
        assert again.breaks(statement.relation)
        assert replay.forbidden(state, sizes) == ""


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 5), st.integers(1, 2)), min_size=2, max_size=4),
    st.lists(st.integers(-5, 5), min_size=8, max_size=8),
    st.integers(0, 12),
    st.booleans(),
)
def test_an_outcome_that_is_built_keeps_the_sums_and_breaks_the_limit(
    boxes: list[tuple[int, int, int]], coefficients: list[int], gone: int, ranked: bool
) -> None:
    names = [chr(ord("a") + at) for at in range(len(boxes))]
    domains = {n: Domain(low, low + extra, step) for n, (low, extra, step) in zip(names, boxes, strict=True)}
    terms: dict[tuple[str, ...], Fraction] = {(): Fraction(coefficients[0] * 4)}
    for at, name in enumerate(names):
        terms[(name,)] = Fraction(coefficients[1 + at])
    for one, other, factor in zip(names, names[1:], coefficients[5:], strict=False):
        terms[one, other] = Fraction(factor)
    slack = Amount({monomial: c for monomial, c in terms.items() if c})
    sums = (Sum(tuple((n, domains[n].most or 0, Fraction(1)) for n in names), gone, gone),) if ranked else ()
    question = BudgetQuestion(">=", slack, slack, domains, sums)
    grids = [range(d.least, (d.most or 0) + 1, d.step) for d in domains.values()]
    outcomes = [dict(zip(names, point, strict=True)) for point in product(*grids)]
    broken = [
        sizes
        for sizes in outcomes
        if all(s.least <= s.removed(sizes) <= s.most for s in sums) and question.breaks(slack.at(sizes))
    ]
    assume(broken)
    outcome = smallest(question, broken[-1])
    assert {name: outcome.sizes[name] for name in names} in broken


def test_a_false_counterexample_is_a_defect_and_not_printed(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """A broken tier that refutes what holds is caught by the replay."""
    monkeypatch.setattr(
        deciding, "decide_budget", lambda question: Answer("refuted", "broken tier", witness={}, least=Fraction(-1))
    )
    interface = chain((5, 8, 8, 3))
    text = PLAN.format(take="below(0.5)", more="", claim="params <= base.params")
    report = check(plan(text), lock(interface, nonzero=full(interface)))
    assert codes(report) == [defects.COUNTEREXAMPLE.name]
    (verdict,) = [v for v in report.verdicts if v.verb == "prove"]
    assert verdict.status == "undecided"


def test_an_outcome_that_no_selection_leaves_is_a_defect(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """A witness beyond what the ranking takes is not printed, though it breaks the line."""

    def everything_stays(question: BudgetQuestion) -> Answer:
        return Answer("refuted", "broken tier", witness={name: d.most or 0 for name, d in question.domains.items()})

    monkeypatch.setattr(deciding, "decide_budget", everything_stays)
    interface = chain((5, 8, 8, 3))
    text = PLAN.format(take="lowest(50%)", more="  per = global\n", claim="params <= 0.8 * base.params")
    report = check(plan(text), lock(interface, nonzero=full(interface)))
    found = [d for d in report.diagnostics if d.code is defects.COUNTEREXAMPLE]
    assert "takes 2 in all, and 8 go" in found[0].message
