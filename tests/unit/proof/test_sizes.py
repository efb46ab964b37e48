"""Relations of symbolic sizes: each tier against trying all sizes."""

from itertools import product

import pytest

from surgery_dsl.interface.expression import Expression, add, floor_divide, multiply
from surgery_dsl.proof.questions import SizeQuestion
from surgery_dsl.proof.tiers import congruences
from surgery_dsl.proof.tiers.order import decide_sizes

TRIED = 70


def window(size: Expression, kernel: int, stride: int, padding: int) -> Expression:
    """Return the output size of a convolution or pooling."""
    return add(floor_divide(add(size, 2 * padding - kernel), stride), 1)


def repeated(size: Expression, times: int, kernel: int, stride: int, padding: int) -> Expression:
    for _ in range(times):
        size = window(size, kernel, stride, padding)
    return size


H, W = "H", "W"
DOWN = repeated(H, 5, 3, 2, 1)
"""Five convolutions of stride 2."""
STEM = repeated(window(window(H, 7, 2, 3), 3, 2, 1), 3, 3, 2, 1)

CASES = {
    "3x3 keeps the size": ("equal", window(H, 3, 1, 1), H, {"H": 1}, True),
    "stride 2 halves, rounding up": ("equal", window(H, 3, 2, 1), floor_divide(add(H, 1), 2), {"H": 1}, True),
    "main path and 1x1 shortcut": ("equal", DOWN, repeated(H, 5, 1, 2, 0), {"H": 1}, True),
    "main path and 2x2 shortcut": ("equal", DOWN, repeated(H, 5, 2, 2, 0), {"H": 1}, False),
    "the same from 32 on": ("equal", DOWN, repeated(H, 5, 2, 2, 0), {"H": 32}, False),
    "stem and four stages": ("equal", STEM, floor_divide(add(H, 31), 32), {"H": 1}, True),
    "five poolings of any image": ("at_least", repeated(H, 5, 2, 2, 0), 1, {"H": 1}, False),
    "five poolings from 32 on": ("at_least", repeated(H, 5, 2, 2, 0), 1, {"H": 32}, True),
    "u-net of any image": ("equal", multiply(16, floor_divide(H, 16)), H, {"H": 1}, False),
    "flatten of small squares": ("equal", multiply(64, DOWN), 128, {"H": (33, 64)}, True),
    "flatten off by one": ("equal", multiply(64, DOWN), 129, {"H": (33, 64)}, False),
    "flatten of a product": ("equal", multiply("C", H, W), multiply(W, "C", H), {"C": 1, "H": 1, "W": 1}, True),
    "view(B, -1)": ("divides", "B", multiply("B", "C", H), {"B": 1, "C": 1, "H": 1}, True),
    "patches of 16": ("divides", 16, multiply(H, 16), {"H": 1}, True),
    "windows of 7": ("divides", 7, multiply(7, floor_divide(H, 28)), {"H": 28}, True),
    "windows of any image": ("divides", 7, floor_divide(H, 4), {"H": 4}, False),
    "two free sizes": ("at_least", add(H, W), add(floor_divide(H, 2), floor_divide(W, 3)), {"H": 1, "W": 1}, True),
    "two free sizes, too much": ("at_least", add(H, W), add(multiply(2, H), 5), {"H": 1, "W": 1}, False),
    "a quotient of a product": ("equal", floor_divide(multiply(H, W), W), H, {"H": 1, "W": 1}, True),
    "a product that shrinks": (
        "at_least",
        multiply(4, H, W),
        multiply(5, floor_divide(add(H, 1), 2), W),
        {"H": 1, "W": 1},
        False,
    ),
}


def question(relation: str, left: Expression, right: Expression, least: dict[str, object]) -> SizeQuestion:
    ranges = tuple(
        (name, *bound) if isinstance(bound, tuple) else (name, bound, None) for name, bound in sorted(least.items())
    )
    return SizeQuestion(relation, left, right, ranges)  # type: ignore[arg-type]


def by_trying(asked: SizeQuestion) -> dict[str, int] | None:
    """Return the first counterexample among small sizes."""
    sides = [range(low, (low + TRIED if high is None else high) + 1) for _, low, high in asked.ranges]
    if len(sides) > 2:
        sides = [range(side.start, min(side.stop, side.start + 12)) for side in sides]
    for point in product(*sides):
        witness = {name: value for (name, _, _), value in zip(asked.ranges, point, strict=True)}
        if not asked.holds(witness):
            return witness
    return None


@pytest.mark.parametrize("name", CASES)
def test_the_tiers_say_what_trying_says(name: str) -> None:
    relation, left, right, least, holds = CASES[name]
    asked = question(relation, left, right, least)
    answer = decide_sizes(asked)
    assert (by_trying(asked) is None) == holds
    assert answer.status == ("proved" if holds else "refuted"), answer
    if not holds:
        assert not asked.holds(answer.witness)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if len(case[3]) == 1 and not case[4]])
def test_counterexamples_of_one_size_are_the_smallest(name: str) -> None:
    relation, left, right, least, _ = CASES[name]
    asked = question(relation, left, right, least)
    assert decide_sizes(asked).witness == by_trying(asked)


def test_periods_are_right() -> None:
    steps = congruences.steps_of(STEM)
    assert steps is not None
    assert (steps.period, steps.growth) == ({"H": 32}, {"H": 1})
    assert congruences.steps_of(multiply(H, W)) is None
    assert congruences.steps_of(floor_divide(H, W)) is None


def test_a_distant_counterexample_is_found() -> None:
    asked = question("at_least", add(floor_divide(H, 2), 10_000_000), H, {"H": 1})
    answer = decide_sizes(asked)
    assert answer.status == "refuted"
    assert not asked.holds(answer.witness)
    assert answer.witness["H"] == 20_000_001


def test_z3_is_not_imported_for_sizes_that_periods_decide() -> None:
    import subprocess
    import sys

    program = (
        "import sys\n"
        "from tests.unit.proof.test_sizes import DOWN, H, question, repeated\n"
        "from surgery_dsl.proof.tiers.order import decide_sizes\n"
        "decide_sizes(question('equal', DOWN, repeated(H, 5, 1, 2, 0), {'H': 1}))\n"
        "assert 'z3' not in sys.modules and 'surgery_dsl.proof.smt.process' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
