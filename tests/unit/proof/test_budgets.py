"""Budgets at the corner of the box, against trying every outcome."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import product

import pytest

from surgery_dsl.proof.amount import Amount, Domain
from surgery_dsl.proof.questions import BudgetQuestion, Sum
from surgery_dsl.proof.tiers.order import decide_budget


def amount(**terms: int) -> Amount:
    """``ab=3`` is 3·a·b; ``one=-5`` the constant."""
    return Amount({tuple(sorted(name)) if name != "one" else (): Fraction(c) for name, c in terms.items() if c})


def outcomes(question: BudgetQuestion) -> Iterator[dict[str, int]]:
    names = sorted(question.domains)
    boxes = [question.domains[name] for name in names]
    sides = [range(d.least, (d.least + 40 if d.most is None else d.most) + 1, d.step) for d in boxes]
    for point in product(*sides):
        sizes = dict(zip(names, point, strict=True))
        if all(fixed.least <= fixed.removed(sizes) <= fixed.most for fixed in question.sums):
            yield sizes


def ask(
    slack: Amount, domains: Mapping[str, Domain], relation: str = ">=", sums: tuple[Sum, ...] = ()
) -> BudgetQuestion:
    return BudgetQuestion(relation, slack, slack, domains, sums)  # type: ignore[arg-type]


BOX = {"a": Domain(4, 16, 4), "b": Domain(1, 9), "c": Domain(2, 6, 2)}

QUESTIONS = {
    "params of two layers": ask(amount(one=300, ab=-1, bc=-2, a=-3), BOX),
    "just enough": ask(amount(one=16 * 9 + 9 * 6 * 2 + 48, ab=-1, bc=-2, a=-3), BOX),
    "one too little": ask(amount(one=16 * 9 + 9 * 6 * 2 + 48 - 1, ab=-1, bc=-2, a=-3), BOX),
    "strictly": ask(amount(one=16 * 9, ab=-1), BOX, ">"),
    "a lower limit": ask(amount(one=-4, ab=1), BOX),
    "a lower limit, too high": ask(amount(one=-5, ab=1), BOX),
    "mixed signs": ask(amount(ab=2, bc=-5, one=50), BOX),
    "mixed signs that hold": ask(amount(ab=2, bc=-5, one=300), BOX),
    "a square": ask(amount(aa=-1, one=256), BOX),
    "equal": ask(amount(a=1, one=-4), BOX, "=="),
    "equal, always": ask(Amount({}), BOX, "=="),
    "the sum of a ranking": ask(
        amount(one=30, a=-1, b=-1),
        {"a": Domain(0, 20), "b": Domain(0, 20)},
        sums=(Sum((("a", 20, Fraction(1)), ("b", 20, Fraction(1))), 10, 10),),
    ),
    "the sum of a ranking, broken": ask(
        amount(one=29, a=-1, b=-1),
        {"a": Domain(0, 20), "b": Domain(0, 20)},
        sums=(Sum((("a", 20, Fraction(1)), ("b", 20, Fraction(1))), 10, 10),),
    ),
}


@pytest.mark.parametrize("name", QUESTIONS)
def test_answers_are_those_of_every_outcome(name: str) -> None:
    question = QUESTIONS[name]
    worst = [question.slack.at(sizes) for sizes in outcomes(question) if question.breaks(question.slack.at(sizes))]
    answer = decide_budget(question)
    assert answer.status == ("refuted" if worst else "proved"), answer
    if worst:
        assert question.breaks(question.slack.at(answer.witness))
        assert answer.witness in [
            {n: s for n, s in sizes.items() if n in answer.witness} for sizes in outcomes(question)
        ]


def test_the_bound_is_the_worst_outcome() -> None:
    question = QUESTIONS["one too little"]
    answer = decide_budget(question)
    assert answer.bound == answer.least == min(question.slack.at(sizes) for sizes in outcomes(question)) == -1


@pytest.mark.parametrize(
    ("slack", "status"),
    [
        (amount(n=3, one=-3), "proved"),
        (amount(n=3, one=-4), "refuted"),
        (amount(one=1_000_000, n=-1), "refuted"),
        (amount(nn=1, n=-2, one=1), "proved"),
        (amount(an=1, n=-4), "proved"),
        (amount(an=1, n=-5), "refuted"),
        (amount(an=7, n=-5, a=-1, one=0), "proved"),
    ],
)
def test_free_sizes_have_no_end(slack: Amount, status: str) -> None:
    domains = {"n": Domain(1, None, 1, "free"), "a": Domain(4, 16, 4)}
    answer = decide_budget(ask(slack, domains))
    assert answer.status == status, answer
    if status == "refuted":
        assert slack.at({"a": 4, "n": 1} | dict(answer.witness)) < 0


def test_a_free_size_with_a_range_is_bounded() -> None:
    slack = amount(one=100, n=-1)
    assert decide_budget(ask(slack, {"n": Domain(1, 100, 1, "free")})).status == "proved"
    refuted = decide_budget(ask(slack, {"n": Domain(1, 101, 1, "free")}))
    assert (refuted.status, refuted.witness) == ("refuted", {"n": 101})


def test_an_outcome_under_a_ranking_is_one_that_keeps_the_sum() -> None:
    # the corner a = b = c = 20 breaks the limit, but a ranking that takes 30 cannot leave it
    domains = {name: Domain(4, 20) for name in "abc"}
    fixed = Sum(tuple((name, 20, Fraction(1)) for name in "abc"), 30, 30)
    tight = ask(amount(one=305, ab=-1, bc=-1), domains, sums=(fixed,))
    answer = decide_budget(tight)
    worst = min(tight.slack.at(sizes) for sizes in outcomes(tight))
    assert worst >= 0
    assert (answer.status, answer.tier) == ("proved", "Lagrangian dual")
    assert answer.bound is not None
    assert answer.bound <= worst
    broken = decide_budget(ask(amount(one=224, ab=-1, bc=-1), domains, sums=(fixed,)))
    assert broken.status == "refuted"
    assert fixed.removed(broken.witness) == 30


def test_bounds_that_no_outcome_reaches_do_not_refute() -> None:
    loose = BudgetQuestion(">=", amount(one=-1), amount(one=5), {})
    assert decide_budget(loose).status == "undecided"
    assert decide_budget(BudgetQuestion(">=", amount(one=-1), amount(one=-1), {})).status == "refuted"


def test_five_hundred_layers_are_decided_in_milliseconds() -> None:
    import time

    widths = [64 * (1 + i % 8) for i in range(501)]
    domains = {f"w{i}": Domain(width // 8, width, 8) for i, width in enumerate(widths)}
    terms = {tuple(sorted((f"w{i}", f"w{i + 1}"))): Fraction(-9) for i in range(500)}
    worst = sum(9 * widths[i] * widths[i + 1] for i in range(500))
    began = time.process_time()
    assert decide_budget(ask(Amount({(): Fraction(worst), **terms}), domains)).status == "proved"
    assert decide_budget(ask(Amount({(): Fraction(worst - 1), **terms}), domains)).status == "refuted"
    assert time.process_time() - began < 2.0
