"""The tiers in order: the first that answers decides.

A tier is a function from a question to an answer or ``None``. Budgets under global rankings are decided before the
corner of the box, which does not know of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from surgery_dsl.interface.expression import symbols
from surgery_dsl.proof.questions import Answer, BudgetQuestion, SizeQuestion
from surgery_dsl.proof.tiers import congruences, corner, intervals, normal_forms

SIZES: tuple[Callable[[SizeQuestion], Answer | None], ...] = (
    normal_forms.sizes,
    intervals.sizes,
    congruences.sizes,
)
"""Tiers for sizes; what they leave open goes to z3, all of it at once."""


def _ranking(question: BudgetQuestion) -> Answer | None:
    """Ask the tier for global rankings, which plans without them need not load."""
    if not question.sums:
        return None
    from surgery_dsl.proof.tiers import ranking

    return ranking.budget(question)


BUDGETS: tuple[Callable[[BudgetQuestion], Answer | None], ...] = (
    intervals.budget,
    normal_forms.budget,
    _ranking,
    corner.budget,
)


def decide_all_sizes(questions: Sequence[SizeQuestion]) -> list[Answer]:
    """Decide relations of symbolic sizes; one child process serves all that need the solver."""
    narrowed = [_narrowed(question) for question in questions]
    answers = [_first(question) for question in narrowed]
    open_ = [question for question, answer in zip(narrowed, answers, strict=True) if answer is None]
    if not open_:
        return [answer for answer in answers if answer is not None]
    from surgery_dsl.proof.tiers import solver  # few networks need it, and every check pays for imports

    solved = iter(solver.decide(open_))
    return [answer if answer is not None else next(solved) for answer in answers]


def decide_sizes(question: SizeQuestion) -> Answer:
    """Decide one relation of symbolic sizes."""
    return decide_all_sizes([question])[0]


def _narrowed(question: SizeQuestion) -> SizeQuestion:
    """Keep the ranges of the free sizes that occur."""
    used = symbols(question.left) | symbols(question.right)
    return replace(question, ranges=tuple(r for r in question.ranges if r[0] in used))


def _first(question: SizeQuestion) -> Answer | None:
    return next((answer for tier in SIZES if (answer := tier(question)) is not None), None)


def decide_budget(question: BudgetQuestion) -> Answer:
    """Decide a budget."""
    found = next((answer for tier in BUDGETS if (answer := tier(question)) is not None), None)
    return found if found is not None else Answer("undecided", "none", reason="no tier decides it")
