"""Which outcomes a ranking with ``round`` can really have.

A ranking gives each pool a part of what is asked for, and each part then goes to the nearest legal count. A tier knows
only between which bounds the sum of these counts lies, so that what it finds may be no outcome. Here it is told apart:
each count comes of a range of parts, and an outcome exists where the parts can add up to what is asked for.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from math import prod

from surgery_dsl.language.plan import Identify, Plan
from surgery_dsl.proof.bookkeeping import variable
from surgery_dsl.proof.identify import roundings_of
from surgery_dsl.proof.questions import BudgetQuestion
from surgery_dsl.proof.state import State
from surgery_dsl.vocabulary.selection import Selection
from surgery_dsl.vocabulary.takes._counting import most_taken, taken_nearest
from surgery_dsl.vocabulary.takes._ranked import Ranked, together

MOST_TRIED = 1 << 14
"""Outcomes that are tried one by one where the one that was found is none."""

Counts = dict[int, tuple[int, int]]
"""For each count of units that can go from a pool, the least and the most that were asked of it."""


def attained(state: State, plan: Plan, question: BudgetQuestion, witness: Mapping[str, int]) -> dict[str, int] | None:
    """Return an outcome that exists and breaks a question: the one that was found, or one near it; ``None`` if none is.

    Only one ranking at a time is varied, and none of more than :data:`MOST_TRIED` outcomes. Where a later step took an
    open count from an axis, its sizes before and after are not held together, and no outcome is known to be one.
    """
    if _taken_apart(question):
        return None
    wrong = [ranking for ranking in rankings(state, plan) if not ranking.gives(witness)]
    if not wrong:
        return dict(witness)
    if len(wrong) > 1:
        return None
    for sizes in wrong[0].outcomes():
        tried = {**witness, **{name: size for name, size in sizes.items() if name in witness}}
        if question.breaks(question.reached.at(tried)):
            return tried
    return None


def _taken_apart(question: BudgetQuestion) -> bool:
    """Whether a sum speaks of an axis that the counts read as a later step left it."""
    read = question.slack.variables | question.reached.variables
    axes = {name.rpartition(".")[0] for name in read}
    ranked = (name for fixed in question.sums for name, _, _ in fixed.parts)
    return any(name not in read and name.rpartition(".")[0] in axes for name in ranked)


def exists(state: State, plan: Plan, witness: Mapping[str, int]) -> bool:
    """Whether every ranking with ``round`` can leave these sizes."""
    return all(ranking.gives(witness) for ranking in rankings(state, plan))


class _Ranking:
    """The counts of one ranking. Final."""

    def __init__(self, names: list[str], wholes: list[int], counts: list[Counts], total: int) -> None:
        self.names, self.wholes, self.counts, self.total = names, wholes, counts, total

    def gives(self, witness: Mapping[str, int]) -> bool:
        """Whether the sizes of an outcome can come of the ranking; sizes that it does not name are not looked at."""
        ends = [
            counts.get(whole - witness[name]) if name in witness else (0, max(most for _, most in counts.values()))
            for name, whole, counts in zip(self.names, self.wholes, self.counts, strict=True)
        ]
        known = [end for end in ends if end is not None]
        if len(known) < len(ends):
            return False
        return sum(least for least, _ in known) <= self.total <= sum(most for _, most in known)

    def outcomes(self) -> Iterator[dict[str, int]]:
        """Yield the sizes that the ranking can leave, where they are few."""
        if prod(map(len, self.counts)) > MOST_TRIED:
            return
        for gone in product(*self.counts):
            sizes = {n: whole - one for n, whole, one in zip(self.names, self.wholes, gone, strict=True)}
            if self.gives(sizes):
                yield sizes


def rankings(state: State, plan: Plan) -> Iterator[_Ranking]:
    """Yield the rankings with ``round`` whose steps ran before a place."""
    for step in plan.steps:
        if not isinstance(step, Identify) or step.per != "global" or (step.round or 1) == 1:
            continue
        selection = state.selections.get(step.name)
        if selection is None or selection.gone is not None or step.name not in state.effects:
            continue
        found = _ranking(step, selection, state)
        if found is not None:
            yield found


def _ranking(step: Identify, selection: Selection, state: State) -> _Ranking | None:
    after = state.after[step.name]
    if not isinstance(step.take, Ranked) or any(pool.axis is None for pool in selection.pools):
        return None
    names, wholes, counts, room = [], [], [], 0
    for pool, rounding in zip(selection.pools, roundings_of(step, selection.pools), strict=True):
        axis = pool.axis or 0
        if state.before[step.name].interface.exact_size(axis) != pool.size:
            return None
        names.append(variable(axis, after.versions.get(axis, 0)))
        wholes.append(pool.size)
        limit = most_taken(pool.size, rounding)
        room += limit
        ranges: Counts = {}
        for asked in range(limit + 1):
            gone = taken_nearest(pool.size, asked, rounding)
            ranges[gone] = (ranges.get(gone, (asked, asked))[0], asked)
        counts.append(ranges)
    return _Ranking(names, wholes, counts, min(step.take.count(together(selection.pools)), room))
