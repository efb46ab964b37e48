"""The tiers in order: the first that answers decides.

A tier is a function from a question to an answer or ``None``. A sharper bound for budgets under a global ranking
takes its place in :data:`BUDGETS` before the corner of the box.
"""

from collections.abc import Callable
from dataclasses import replace

from surgery_dsl.interface.expression import symbols
from surgery_dsl.proof import budgets, congruences, intervals, normal_forms, solver
from surgery_dsl.proof.questions import Answer, BudgetQuestion, SizeQuestion

SIZES: tuple[Callable[[SizeQuestion], Answer | None], ...] = (
    normal_forms.sizes,
    intervals.sizes,
    congruences.sizes,
    solver.sizes,
)
BUDGETS: tuple[Callable[[BudgetQuestion], Answer | None], ...] = (
    intervals.budget,
    normal_forms.budget,
    budgets.budget,
)


def decide_sizes(question: SizeQuestion) -> Answer:
    """Decide a relation of symbolic sizes."""
    used = symbols(question.left) | symbols(question.right)
    narrowed = replace(question, ranges=tuple(r for r in question.ranges if r[0] in used))
    for tier in SIZES:
        answer = tier(narrowed)
        if answer is not None:
            return answer
    return Answer("undecided", "none")


def decide_budget(question: BudgetQuestion) -> Answer:
    """Decide a budget."""
    for tier in BUDGETS:
        answer = tier(question)
        if answer is not None:
            return answer
    return Answer("undecided", "none")
