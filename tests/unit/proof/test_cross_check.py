"""z3 looks again at what the tiers said: it agrees on every example, and tells a tier that is wrong."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from math import floor
from pathlib import Path
from typing import Any

import pytest

from surgery_dsl import check
from surgery_dsl.interface.expression import add, floor_divide, multiply
from surgery_dsl.proof import cross_check as module
from surgery_dsl.proof.amount import Amount, Domain
from surgery_dsl.proof.cross_check import CrossChecked, cross_check
from surgery_dsl.proof.questions import Answer, BudgetQuestion, DualCertificate, SizeQuestion, Sum
from surgery_dsl.proof.smt import process
from surgery_dsl.proof.smt.process import Limits
from surgery_dsl.proof.tiers import congruences, corner, intervals, multipliers
from surgery_dsl.proof.tiers.order import decide_budget, decide_sizes
from surgery_dsl.proof.transcript import Entry, Transcript
from tests.cli.program import run
from tests.unit.proof.test_budgets import QUESTIONS
from tests.unit.proof.test_sizes import CASES, question
from tests.unit.proof.test_solver import HARD

ROOT = Path(__file__).resolve().parents[3]
LOCKED = [lock.with_suffix("") for lock in sorted((ROOT / "examples").glob("*/*.surg.lock"))]


def looked_at(*entries: Entry) -> CrossChecked:
    return cross_check(Transcript(list(entries)))


def entry(asked: SizeQuestion | BudgetQuestion) -> Entry:
    return Entry("it holds", asked, decide_sizes(asked) if isinstance(asked, SizeQuestion) else decide_budget(asked))


@pytest.mark.parametrize("plan", LOCKED, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_z3_agrees_on_every_example(plan: Path) -> None:
    found = check(plan, cross_check=True, make_lock=False).cross_checked
    if found is not None:  # a refused plan may not come to its proof
        assert (found.gave_up, found.disagreements) == ((), ())
        assert found.agree == found.verdicts


def test_the_examples_bring_verdicts() -> None:
    found = [check(ROOT / "examples" / name / "plan.surg", cross_check=True) for name in ("slim_digits", "llm_shrink")]
    assert all(one.cross_checked is not None and one.cross_checked.agree >= 3 for one in found)


def test_z3_agrees_on_every_question_of_the_tests() -> None:
    entries = [entry(asked) for asked in QUESTIONS.values()]
    entries += [entry(question(*case[:4])) for case in CASES.values()]
    found = looked_at(*entries)
    assert (found.gave_up, found.disagreements) == ((), ())
    assert found.agree == sum(one.answer.tier != "z3" for one in entries) > 20


def test_equal_verdicts_are_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    real = module.ask

    def counted(jobs: list[process.Message], limits: Limits) -> process.Replies:
        counts.append(len(jobs))
        return real(jobs, limits)

    monkeypatch.setattr(module, "ask", counted)
    same = entry(QUESTIONS["just enough"])
    found = looked_at(same, same, same)
    assert (found.verdicts, found.agree, counts) == (3, 3, [1])


# ---- tiers that are wrong ----------------------------------------------------------------------------------------


def chain(limit: int, layers: int = 20) -> BudgetQuestion:
    """Return a limit on the parameters of a chain of layers from which a global ranking takes 40 %."""
    widths = [64 * (1 + i % 8) for i in range(layers + 1)]
    names = [f"a{i:02}" for i in range(layers + 1)]
    domains = {name: Domain(width // 8, width, 8) for name, width in zip(names, widths, strict=True)}
    terms = {(): Fraction(limit)} | {pair: Fraction(-9) for pair in pairwise(names)}
    total = sum(widths) * 2 // 5 // 8 * 8
    parts = tuple((name, width, Fraction(1)) for name, width in zip(names, widths, strict=True))
    return BudgetQuestion(">=", Amount(terms), Amount(terms), domains, (Sum(parts, total, total),))


def tight(layers: int = 20) -> int:
    """Return the least whole limit that the dual proves without splitting the box."""
    return -floor(decide_budget(chain(0, layers)).bound or 0)


def test_a_bound_under_a_global_ranking_is_replayed() -> None:
    whole, split = entry(chain(tight())), entry(chain(tight() - 1))
    between = entry(chain(tight(50) - 1, 50))
    certificates = [one.answer.certificate for one in (whole, split, between)]
    assert all(certificate is not None for certificate in certificates)
    assert [len(certificate.cells) > 1 for certificate in certificates if certificate] == [False, True, True]
    assert [one.answer.status for one in (whole, split, between)] == ["proved", "proved", "undecided"]
    assert looked_at(whole, split, between).agree == 3


def with_certificate(change: Callable[[DualCertificate], DualCertificate]) -> Entry:
    right = entry(chain(tight()))
    assert right.answer.certificate is not None
    changed = change(right.answer.certificate)
    return replace(right, answer=replace(right.answer, certificate=changed, bound=changed.bound))


def other_cells(certificate: DualCertificate, **fields: object) -> DualCertificate:
    return replace(certificate, cells=tuple(replace(cell, **fields) for cell in certificate.cells))  # type: ignore[arg-type]


WRONG: dict[str, Callable[[DualCertificate], DualCertificate]] = {
    "a multiplier of the wrong sign": lambda c: other_cells(c, multipliers=tuple(-m for m in c.multipliers)),
    "a multiplier of zero": lambda c: other_cells(c, multipliers=(Fraction(0),)),
    "a bound that is too good": lambda c: replace(other_cells(c, bound=c.bound + 2), bound=c.bound + 2),
    "another bound than its cells": lambda c: replace(c, bound=c.bound + 2),
    "a box that leaves outcomes out": lambda c: other_cells(c, box=(("a00", 8, 56),)),
    "no cell": lambda c: replace(c, cells=()),
    "no multiplier": lambda c: other_cells(c, multipliers=()),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_certificate_is_denied(name: str) -> None:
    (found,) = looked_at(with_certificate(WRONG[name])).disagreements
    assert found.code.id == "SD907"
    assert "`it holds` is proved by tier `Lagrangian dual`, and z3 denies it" in found.message


@pytest.mark.parametrize("less", [0, 1])
def test_a_bound_beyond_its_certificate_is_denied(less: int) -> None:
    right = entry(chain(tight(50) - less, 50))
    wrong = replace(right, answer=replace(right.answer, bound=(right.answer.bound or 0) + Fraction(1)))
    (found,) = looked_at(wrong).disagreements
    assert f"`it holds` is {right.answer.status} by tier" in found.message
    assert "the certificate shows" in found.message


def test_a_dual_with_a_flipped_sign_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    real = multipliers.Dual.at

    def flipped(*arguments: Any, **options: Any) -> multipliers.Point:
        point = real(*arguments, **options)
        return replace(point, prices=tuple(-price for price in point.prices))

    monkeypatch.setattr(multipliers.Dual, "at", flipped)
    wrong = entry(chain(tight() + 10**6))
    assert wrong.answer.status == "proved"
    assert len(looked_at(wrong).disagreements) == 1


def test_a_corner_that_is_off_by_one_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    real = corner.grid_top
    monkeypatch.setattr(corner, "grid_top", lambda domain: real(domain) - domain.step)
    wrong = entry(QUESTIONS["one too little"])
    assert wrong.answer.status == "proved"
    (found,) = looked_at(wrong).disagreements
    assert "it fails at a = 16" in found.message


def test_a_wrong_period_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(congruences, "steps_of", lambda _: congruences.Steps({"H": 1}, {"H": 0}))
    asked = question("equal", multiply(4, floor_divide("H", 4)), "H", {"H": 4})
    wrong = Entry("H is whole", asked, congruences.sizes(asked) or Answer("undecided", "none"))
    assert wrong.answer.status == "proved"
    (found,) = looked_at(wrong).disagreements
    assert "`H is whole` is proved by tier `congruence`, and z3 denies it: it fails at H = 5" in found.message


def test_a_wrong_interval_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intervals, "bounds", lambda *_: (0, 0))
    asked = question("at_least", floor_divide("H", 2), 1, {"H": 1})
    wrong = Entry("something is left", asked, intervals.sizes(asked) or Answer("undecided", "none"))
    (found,) = looked_at(wrong).disagreements
    assert "it fails at H = 1" in found.message


@pytest.mark.parametrize(
    "answer",
    [
        Answer("refuted", "corner of the box", {"a": 16, "b": 8, "c": 6}, Fraction(-1)),  # holds there
        Answer("refuted", "corner of the box", {"a": 17, "b": 9, "c": 6}, Fraction(-1)),  # no outcome
        Answer("refuted", "corner of the box", {"a": 16}, Fraction(-1)),  # half an outcome
        Answer("refuted", "corner of the box", {"a": 16, "b": 9, "c": 6}, Fraction(-5000)),  # another number
    ],
)
def test_a_counterexample_that_is_none_is_denied(answer: Answer) -> None:
    assert len(looked_at(Entry("it holds", QUESTIONS["one too little"], answer)).disagreements) == 1


def test_a_counterexample_of_sizes_that_is_none_is_denied() -> None:
    asked = question("divides", 7, floor_divide("H", 4), {"H": 28})
    for size in (28, 4, 0):
        assert looked_at(Entry("it divides", asked, Answer("refuted", "congruence", {"H": size}))).disagreements
    assert not looked_at(Entry("it divides", asked, Answer("refuted", "congruence", {"H": 32}))).disagreements


def test_vacuous_verdicts_are_looked_at_too() -> None:
    possible = chain(tight())
    impossible = replace(possible, sums=(replace(possible.sums[0], least=10**6, most=10**6),))
    nothing = Answer("undecided", "intervals")
    assert looked_at(Entry("it holds", impossible, nothing, vacuous=True)).agree == 1
    assert len(looked_at(Entry("it holds", possible, nothing, vacuous=True)).disagreements) == 1


# ---- what z3 leaves open -----------------------------------------------------------------------------------------


def test_what_z3_gives_up_is_never_an_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    cubes = add(multiply("x", "x", "x"), multiply("y", "y", "y"), multiply(-1, "z", "z", "z"))
    asked = question("at_least", multiply(cubes, cubes), 1, {"x": 1, "y": 1, "z": 1})
    found = cross_check(Transcript([Entry("Fermat", asked, Answer("proved", "Euler"))]), limits=Limits(rlimit=200_000))
    assert (found.agree, found.disagreements) == (0, ())
    assert [claim for claim, _ in found.gave_up] == ["Fermat"]
    monkeypatch.setattr(process, "CHILD", ("/nonexistent/python",))
    found = looked_at(entry(QUESTIONS["just enough"]))
    assert (found.verdicts, found.agree, len(found.gave_up)) == (1, 0, 1)
    assert "could not be started" in found.gave_up[0][1]


def test_what_z3_decided_itself_and_what_nobody_decided_is_left_out() -> None:
    by_z3 = entry(HARD)
    assert by_z3.answer.tier == "z3"
    assert looked_at(by_z3, Entry("open", HARD, Answer("undecided", "none"))).verdicts == 0


# ---- the command -------------------------------------------------------------------------------------------------

EXAMPLE = ROOT / "examples" / "slim_digits"


def test_the_command_prints_one_line_and_data() -> None:
    shown = run(EXAMPLE, "check", "--cross-check", "plan.surg")
    assert shown.code == 0
    assert re.search(r"^cross-check: (\d+) verdicts, \1 agree \(z3 [\d.]+\), 0 gave up, 0 disagree$", shown.out, re.M)
    data = json.loads(run(EXAMPLE, "check", "--cross-check", "plan.surg", "--output-format", "json").out)
    found = data["plans"][0]["cross_check"]
    assert found["verdicts"] == found["agree"] > 0
    plain = json.loads(run(EXAMPLE, "check", "plan.surg", "--output-format", "json").out)
    assert "cross_check" not in plain["plans"][0]


def test_the_command_fails_loudly_where_z3_denies(monkeypatch: pytest.MonkeyPatch) -> None:
    from surgery_dsl.proof.tiers import order

    def lying(_: BudgetQuestion) -> Answer:
        return Answer("proved", "a hunch", bound=Fraction(10**12))

    monkeypatch.setattr(order, "BUDGETS", (lying,))
    shown = run(EXAMPLE, "check", "--cross-check", "plan.surg")
    assert shown.code == 2
    assert "error[SD907]" in shown.err
    assert "is proved by tier `a hunch`, and z3 denies it" in shown.err
    assert "2 disagree" in shown.out


def test_the_command_lists_what_z3_leaves_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "CHILD", ("/nonexistent/python",))
    shown = run(EXAMPLE, "check", "--cross-check", "plan.surg")
    assert shown.code == 0
    assert "  not cross-checked: " in shown.out
    assert re.search(r"verdicts, 0 agree, [1-9]\d* gave up, 0 disagree", shown.out)
