"""A plan followed once more with the counts that a run took: what was open in ``check`` is a number here. No torch.

Which of the units went stands in the record of edits, and no size depends on it.
"""

from collections.abc import Mapping
from dataclasses import replace

from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.interface.lock import Lock
from surgery_dsl.interface.model import Extent
from surgery_dsl.language.plan import Control, Identify, Plan
from surgery_dsl.proof.check import CheckReport
from surgery_dsl.proof.sequence import sequence
from surgery_dsl.proof.state import State, start
from surgery_dsl.proof.steps import advance
from surgery_dsl.vocabulary.selection import Selection

Taken = Mapping[tuple[str, int], Mapping[str, int]]
"""How many units of each pool were taken, by step and stage; stages count from 1."""


def carried_out(plan: Plan, lock: Lock, taken: Taken) -> CheckReport:
    """Return the states of a plan after each run, with exact counts where ``taken`` has them; nothing is decided.

    Counts that cannot be (of pools that the plan does not have, or out of range) are left open, as ``check`` has them.
    """
    sink = Sink(plan.file)
    state = begin = start(plan, lock, sink)
    states: list[State] = []
    runs = sequence(plan)
    for run in runs:
        before = state
        if not isinstance(run.step, Control):
            state = advance(state, run.step, plan)
        if isinstance(run.step, Identify) and run.step.name in state.selections:
            counts = taken.get((run.step.name, max(1, run.stage)), {})
            exact = _counted(state.selections[run.step.name], counts)
            state = advance(replace(before, sink=sink), run.step, plan, picked=exact)
        states.append(state)
    return CheckReport(sink.found, (), (), runs, tuple(states), begin)


def _counted(selection: Selection, counts: Mapping[str, int]) -> Selection:
    found = tuple(
        Extent(least=counts[pool.key], most=counts[pool.key])
        if possible.least <= counts.get(pool.key, -1) <= possible.most
        else possible
        for pool, possible in zip(selection.pools, selection.taken, strict=True)
    )
    return selection.replaced(taken=found)
