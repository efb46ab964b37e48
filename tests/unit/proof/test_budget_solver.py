"""z3 replays what the budget tiers say, from the question alone."""

import pytest
import z3

from surgery_dsl.proof.questions import BudgetQuestion
from surgery_dsl.proof.tiers.order import decide_budget
from tests.unit.proof.test_budgets import QUESTIONS


def breaks(question: BudgetQuestion) -> z3.CheckSatResult:
    """Ask whether some outcome breaks the claim."""
    solver = z3.Solver()
    sizes = {name: z3.Int(name) for name in question.domains}
    for name, domain in question.domains.items():
        assert domain.most is not None
        steps = z3.Int(f"steps of {name}")
        solver.add(steps >= 0, sizes[name] == domain.least + domain.step * steps, sizes[name] <= domain.most)
    for fixed in question.sums:
        removed = z3.Sum([weight.numerator * (whole - sizes[name]) for name, whole, weight in fixed.parts])
        solver.add(removed >= fixed.least, removed <= fixed.most)
    slack = z3.Sum(
        [
            coefficient.numerator * z3.Product([sizes[name] for name in monomial] or [z3.IntVal(1)])
            for monomial, coefficient in question.slack.terms.items()
        ]
        or [z3.IntVal(0)]
    )
    solver.add({">=": slack < 0, ">": slack <= 0, "==": slack != 0}[question.relation])
    return solver.check()


@pytest.mark.parametrize("name", QUESTIONS)
def test_the_solver_agrees(name: str) -> None:
    expected = {"proved": z3.unsat, "refuted": z3.sat}
    assert breaks(QUESTIONS[name]) == expected[decide_budget(QUESTIONS[name]).status]
