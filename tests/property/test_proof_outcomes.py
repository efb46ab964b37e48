"""The promise of ``prove``: whatever ``identify`` selects, what was proved holds of the network that results."""

from itertools import product

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.interface.model import Extent
from surgery_dsl.language.plan import Comparison, Control, Plan
from surgery_dsl.proof.check import CheckReport, check
from surgery_dsl.proof.deciding import decide
from surgery_dsl.proof.sequence import sequence
from surgery_dsl.proof.state import State, start
from surgery_dsl.proof.steps import advance
from surgery_dsl.vocabulary.selection import Selection
from tests.unit.proof.builders import chain, full, lock, plan

PLAN = """
identify weak {{
  in = linear("hidden.*")
  unit = channels
  by = magnitude(p = 1)
  take = {take}
  per = {per}
  floor = {floor}
  round = {round}
}}
excise weak
control final {{
  prove {quantity} {relation} {share}% * base.{quantity}
}}
"""


@st.composite
def plans(draw: st.DrawFn) -> tuple[list[int], str]:
    widths = [draw(st.integers(1, 4)), *(draw(st.integers(2, 7)) for _ in range(draw(st.integers(1, 3)))), 3]
    take = draw(
        st.sampled_from(["below(0.5)", "above(0.5)", "lowest(20%)", "lowest(45%)", "lowest(70%)", "highest(1)"])
    )
    body = PLAN.format(
        take=take,
        per=draw(st.sampled_from(["site", "global"])),
        floor=draw(st.integers(1, 2)),
        round=draw(st.sampled_from([1, 1, 2])),
        quantity=draw(st.sampled_from(["params", "macs", "weight_bytes"])),
        relation=draw(st.sampled_from(["<=", ">=", "<", ">"])),
        share=draw(st.integers(10, 110)),
    )
    return widths, body


def outcomes(selection: Selection) -> list[Selection]:
    """Return every selection that this one could become."""
    sides = [range(taken.least, taken.most + 1, taken.step) for taken in selection.taken]
    found = []
    for counts in product(*sides):
        total = selection.total
        if total is None or total.least <= sum(counts) <= total.most:
            taken = tuple(Extent(least=count, most=count) for count in counts)
            found.append(selection.replaced(taken=taken, total=None))
    return found


def after(text: Plan, widths: list[int], picked: Selection) -> State:
    state = start(text, lock(chain(widths), nonzero=full(chain(widths))), Sink("plan.surg"))
    for run in sequence(text):
        if not isinstance(run.step, Control):
            state = advance(state, run.step, text, picked=picked if run.step.block == "identify" else None)
    return state


def prepared(case: tuple[list[int], str]) -> tuple[Plan, CheckReport, Selection]:
    widths, body = case
    text = plan(body)
    interface = chain(widths)
    report = check(text, lock(interface, nonzero=full(interface)))
    assume("weak" in report.end.selections and not report.end.broken)
    return text, report, report.end.selections["weak"]


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(plans())
def test_every_outcome_keeps_what_was_proved(case: tuple[list[int], str]) -> None:
    text, report, selection = prepared(case)
    (verdict,) = [v for v in report.verdicts if v.verb == "prove"]
    control = next(step for step in text.steps if isinstance(step, Control))
    statement = control.obligations[0].statement
    assert isinstance(statement, Comparison)
    every = outcomes(selection)
    assume(len(every) <= 300)
    found = set()
    for outcome in every:
        state = after(text, case[0], outcome)
        assert not state.sink.failed
        found.add(decide(state, statement).answer.status)
    assert found <= {"proved", "refuted"}, "a network with known sizes leaves nothing open"
    if verdict.status == "proved":
        assert found <= {"proved"}
    elif verdict.status == "refuted":
        assert "refuted" in found


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(plans())
def test_sizes_of_every_outcome_lie_in_the_predicted_ones(case: tuple[list[int], str]) -> None:
    text, report, selection = prepared(case)
    every = outcomes(selection)
    assume(len(every) <= 300)
    predicted = report.end.interface.axes
    for outcome in every:
        exact = after(text, case[0], outcome).interface.axes
        for open_axis, axis in zip(predicted, exact, strict=True):
            if isinstance(open_axis.size, Extent):
                assert isinstance(axis.size, int)
                assert open_axis.size.least <= axis.size <= open_axis.size.most
                assert (axis.size - open_axis.size.least) % open_axis.size.step == 0
            else:
                assert open_axis.size == axis.size
