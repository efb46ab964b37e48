"""z3 on sizes: the verdicts of the shape formulas that networks bring, its cache, and children that die."""

import sys
from collections.abc import Sequence

import pytest

from surgery_dsl.interface.expression import Expression, add, floor_divide, multiply
from surgery_dsl.proof.questions import Answer, SizeQuestion
from surgery_dsl.proof.smt import process
from surgery_dsl.proof.smt.messages import sizes_out
from surgery_dsl.proof.smt.process import Limits, Message, ask
from surgery_dsl.proof.tiers import solver
from surgery_dsl.proof.tiers.order import decide_all_sizes, decide_sizes
from tests.unit.proof.test_sizes import CASES, H, W, by_trying, question, repeated, window

Least = dict[str, object]
Case = tuple[str, Expression, Expression, Least, "bool | dict[str, int]"]
"""Relation, sides, ranges; whether it holds, or the smallest sizes at which it does not."""


def halved(size: Expression, times: int) -> Expression:
    """Return a size after max-pools of edge 2."""
    return repeated(size, times, 2, 2, 0)


def ceil(size: Expression, divisor: int) -> Expression:
    return floor_divide(add(size, divisor - 1), divisor)


STEM = repeated(window(H, 7, 2, 3), 4, 3, 2, 1)
SQUARE = multiply(2048, floor_divide(add(H, 31), 64), floor_divide(add(W, 31), 64))
SHAPES: dict[str, Case] = {
    "conv k3 s1 p1 keeps H": ("equal", window(H, 3, 1, 1), H, {"H": 1}, True),
    "conv k3 s2 p1 is ceil(H / 2)": ("equal", window(H, 3, 2, 1), ceil(H, 2), {"H": 1}, True),
    "five stages of stride 2, 1x1 shortcut": (
        "equal",
        repeated(H, 5, 3, 2, 1),
        repeated(H, 5, 1, 2, 0),
        {"H": 1},
        True,
    ),
    "the same with a 2x2 shortcut": (
        "equal",
        repeated(H, 5, 3, 2, 1),
        repeated(H, 5, 2, 2, 0),
        {"H": 32},
        {"H": 33},
    ),
    "stem and four stages are ceil(H / 32)": ("equal", STEM, ceil(H, 32), {"H": 1}, True),
    "five max-pools of any image": ("at_least", halved(H, 5), 1, {"H": 1}, {"H": 1}),
    "five max-pools of 32 or more": ("at_least", halved(H, 5), 1, {"H": 32}, True),
    "U-Net of four levels, from 16 on": ("equal", multiply(16, halved(H, 4)), H, {"H": 16}, {"H": 17}),
    "U-Net where 16 divides H": (
        "equal",
        multiply(16, halved(multiply(16, "m"), 4)),
        multiply(16, "m"),
        {"m": 1},
        True,
    ),
    "flatten of squares of 33 to 95": ("equal", SQUARE, 2048, {"H": (33, 95), "W": (33, 95)}, True),
    "flatten of all images": ("equal", SQUARE, 2048, {"H": 33, "W": 33}, {"H": 33, "W": 97}),
    "flatten of three symbolic sizes": (
        "equal",
        multiply("C", H, W),
        multiply(W, "C", H),
        {"C": 1, "H": 1, "W": 1},
        True,
    ),
    "view(B, -1)": ("divides", "B", multiply("B", "C", H, W), {"B": 1, "C": 1, "H": 1, "W": 1}, True),
    "view(B, T, h, -1), h symbolic": (
        "divides",
        multiply("B", "T", "h"),
        multiply("B", "T", "h", "d"),
        {"B": 1, "T": 1, "h": 1, "d": 1},
        True,
    ),
    "view(B, T, h, -1) as a quotient": (
        "equal",
        multiply("B", "T", "h", floor_divide(multiply("B", "T", "h", "d"), multiply("B", "T", "h"))),
        multiply("B", "T", "h", "d"),
        {"B": 1, "T": 1, "h": 1, "d": 1},
        True,
    ),
    "view(B, T, 12, -1) of 768": ("divides", multiply(12, "B", "T"), multiply(768, "B", "T"), {"B": 1, "T": 1}, True),
    "k of 12 heads go: heads divide": ("divides", 64, add(768, multiply(-64, "k")), {"k": (0, 11)}, True),
    "k of 12 heads go: some stay": ("at_least", add(768, multiply(-64, "k")), 1, {"k": (0, 11)}, True),
    "k of 768 channels go": ("divides", 12, add(768, multiply(-1, "k")), {"k": (0, 767)}, {"k": 1}),
    "32 query, 8 key/value heads, groups go": (
        "divides",
        add(8, multiply(-1, "k")),
        add(32, multiply(-4, "k")),
        {"k": (0, 7)},
        True,
    ),
    "groups of any size": ("divides", "kv", multiply("g", "kv"), {"g": 1, "kv": 1}, True),
    "query heads alone go": (
        "divides",
        8,
        add(32, multiply(-1, "k")),
        {"k": (0, 31)},
        {"k": 1},
    ),
    "windows of 7 where 28 divides H": ("divides", 7, floor_divide(multiply(28, "m"), 4), {"m": 1}, True),
    "windows of 7 in any image": ("divides", 7, floor_divide(H, 4), {"H": 28}, {"H": 32}),
    "windows of 7, padded": ("divides", 7, multiply(7, ceil(floor_divide(H, 4), 7)), {"H": 1}, True),
    "patches of 16": ("equal", window(multiply(16, "m"), 16, 16, 0), "m", {"m": 1}, True),
    "conv output grows with H, kernel, stride and padding symbolic": (
        "at_least",
        floor_divide(add(H, 1, multiply(2, "p"), multiply(-1, "k")), "s"),
        floor_divide(add(H, multiply(2, "p"), multiply(-1, "k")), "s"),
        {"H": 1, "p": 0, "k": 1, "s": 1},
        True,
    ),
    # products of two sizes with floor quotients: what the tiers before cannot do
    "merging patches of both edges": (
        "equal",
        multiply(ceil(ceil(H, 2), 2), ceil(ceil(W, 2), 2)),
        multiply(ceil(H, 4), ceil(W, 4)),
        {"H": 1, "W": 1},
        True,
    ),
    "windows back to an image": (
        "equal",
        multiply(49, "B", ceil(H, 7), ceil(W, 7)),
        multiply("B", multiply(7, ceil(H, 7)), multiply(7, ceil(W, 7))),
        {"B": 1, "H": 1, "W": 1},
        True,
    ),
    "windows without padding": (
        "equal",
        multiply(49, floor_divide(H, 7), floor_divide(W, 7)),
        multiply(H, W),
        {"H": 7, "W": 7},
        {"H": 7, "W": 8},
    ),
    "halving both edges, then the area": (
        "at_least",
        multiply(H, W),
        multiply(4, floor_divide(H, 2), floor_divide(W, 2)),
        {"H": 1, "W": 1},
        True,
    ),
}


def asked(name: str) -> SizeQuestion:
    return question(*SHAPES[name][:4])


@pytest.mark.parametrize("name", SHAPES)
def test_shape_formulas_are_decided_with_the_smallest_counterexample(name: str) -> None:
    expected = SHAPES[name][4]
    answer = decide_sizes(asked(name))
    assert answer.status == ("proved" if expected is True else "refuted"), answer
    if expected is not True:
        assert answer.witness == expected


@pytest.mark.parametrize("hints", [True, False])
def test_z3_alone_decides_them_too(hints: bool) -> None:
    jobs = [{"kind": "sizes", "hints": hints, "question": sizes_out(asked(name))} for name in SHAPES]
    for (name, case), reply in zip(SHAPES.items(), ask(jobs).messages, strict=True):
        assert reply["status"] == ("unsat" if case[4] is True else "sat"), (name, reply)
        assert reply.get("witness", True) == case[4]


@pytest.mark.parametrize("hints", [True, False])
def test_z3_agrees_with_trying(hints: bool) -> None:
    jobs = [{"kind": "sizes", "hints": hints, "question": sizes_out(question(*case[:4]))} for case in CASES.values()]
    for (name, case), reply in zip(CASES.items(), ask(jobs).messages, strict=True):
        assert reply["status"] == ("unsat" if case[4] else "sat"), (name, reply)


def test_what_nobody_can_decide_is_undecided_after_the_same_work_everywhere() -> None:
    # x^3 + y^3 = z^3 has no solution in positive integers (Euler), and no tier knows that
    cubes = [multiply(name, name, name) for name in ("x", "y", "z")]
    difference = add(cubes[0], cubes[1], multiply(-1, cubes[2]))
    asked_ = question("at_least", multiply(difference, difference), 1, {"x": 1, "y": 1, "z": 1})
    first, second = (solver.decide([asked_], Limits(rlimit=300_000))[0] for _ in range(2))
    assert (first.status, first.tier) == ("undecided", "z3")
    assert first == second


# ---- asked once --------------------------------------------------------------------------------------------------


@pytest.fixture
def asked_of_z3(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Forget what was asked before, and count what is asked."""
    counts: list[int] = []
    real = process.ask

    def counted(jobs: Sequence[Message], limits: Limits = process.LIMITS) -> process.Replies:
        counts.append(len(jobs))
        return real(jobs, limits)

    monkeypatch.setattr(solver, "_known", {})
    monkeypatch.setattr(process, "ask", counted)
    return counts


def test_equal_questions_are_asked_once(asked_of_z3: list[int]) -> None:
    first = question("equal", floor_divide(multiply("a", "b"), "b"), "a", {"a": 1, "b": 1})
    second = question("equal", floor_divide(multiply("y", "x"), "x"), "y", {"x": 1, "y": 1})
    assert [answer.status for answer in solver.decide([first, second])] == ["proved", "proved"]
    assert solver.decide([second])[0].status == "proved"
    assert asked_of_z3 == [1]


def test_blocks_that_are_alike_are_proved_once(asked_of_z3: list[int]) -> None:
    blocks = []
    for shift in range(24):  # sides moved from one side to the other, sizes under other names
        h, w = f"h{shift}", f"w{shift}"
        area = multiply(4, floor_divide(h, 2), floor_divide(w, 2))
        blocks.append(question("at_least", add(multiply(h, w), shift), add(area, shift), {h: 1, w: 1}))
        blocks.append(question("at_least", multiply(-1, area), multiply(-1, h, w), {w: 1, h: 1}))
    assert {answer.status for answer in decide_all_sizes(blocks)} == {"proved"}
    assert asked_of_z3 == [1]


# ---- children that die -------------------------------------------------------------------------------------------

HARD = question("at_least", multiply(H, W), multiply(4, floor_divide(H, 2), floor_divide(W, 2)), {"H": 1, "W": 1})
SECOND = question("at_least", multiply(H, W), multiply(9, floor_divide(H, 3), floor_divide(W, 3)), {"H": 1, "W": 1})
VERSION = 'print(\'{"version": "0"}\', flush=True)'
UNSAT = 'print(\'{"status": "unsat"}\', flush=True)'
DEATHS = {
    "hangs": ("import time; time.sleep(60)", "stopped after"),
    "hangs after a torn line": ("import time; print('{\"stat', end='', flush=True); time.sleep(60)", "stopped after"),
    "is killed": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "killed by signal 9"),
    "runs out of memory": ("raise MemoryError('out of memory')", "out of memory"),
    "writes garbage": ("print('hello')", "said nothing more"),
    "writes other JSON": ("print('[1, 2]')", "said nothing more"),
    "says too much": (f"{UNSAT}; {UNSAT}; {UNSAT}", "said nothing more"),
    "ends early": (VERSION, "said nothing more"),
}


def with_child(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    monkeypatch.setattr(process, "CHILD", (sys.executable, "-c", program))
    monkeypatch.setattr(solver, "_known", {})


@pytest.mark.parametrize("death", DEATHS)
def test_a_child_that_dies_leaves_its_question_undecided(monkeypatch: pytest.MonkeyPatch, death: str) -> None:
    program, reason = DEATHS[death]
    with_child(monkeypatch, program)
    answers = solver.decide([HARD, SECOND], Limits(wall_seconds=1.0, children=2))
    assert [answer.status for answer in answers] == ["undecided", "undecided"]
    assert reason in answers[0].reason
    monkeypatch.undo()
    assert solver.decide([HARD])[0].status == "proved"  # what died is not remembered


def test_a_child_that_cannot_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with_child(monkeypatch, "")
    monkeypatch.setattr(process, "CHILD", ("/nonexistent/python",))
    assert "could not be started" in solver.decide([HARD])[0].reason


def test_what_a_child_answered_before_it_died_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with_child(monkeypatch, f"{VERSION}; {UNSAT}; raise SystemExit('torn')")
    first, second = solver.decide([HARD, SECOND], Limits(children=1))
    assert first == Answer("proved", "z3", reason="z3: the negation has no solution")
    assert second.status == "undecided"
    assert "torn" in second.reason


def test_a_new_child_goes_on_after_the_one_that_died(monkeypatch: pytest.MonkeyPatch) -> None:
    dies_at_hard = "import sys, json; jobs = json.load(sys.stdin)['jobs']; len(jobs) == 2 and sys.exit(9)"
    with_child(monkeypatch, f"{dies_at_hard}; {UNSAT}")
    first, second = solver.decide([HARD, SECOND])
    assert (first.status, second.status) == ("undecided", "proved")
    assert "code 9" in first.reason


def test_real_limits_of_memory_and_time_end_the_child() -> None:
    job = {"kind": "sizes", "question": sizes_out(HARD)}
    (reply,) = ask([job], Limits(memory_bytes=1 << 20)).messages
    assert reply["status"] == "unknown"
    cubes = add(*(multiply(name, name, name) for name in ("x", "y")), multiply(-1, "z", "z", "z"))
    endless = question("at_least", multiply(cubes, cubes), 1, {"x": 1, "y": 1, "z": 1})
    job = {"kind": "sizes", "question": sizes_out(endless)}
    (reply,) = ask([job], Limits(rlimit=4_000_000_000, cpu_seconds=1)).messages
    assert reply["status"] == "unknown"
    assert "killed by signal" in reply["reason"]


@pytest.mark.parametrize("name", [name for name, case in SHAPES.items() if case[4] is not True])
def test_the_counterexamples_of_the_table_are_the_smallest(name: str) -> None:
    found = by_trying(asked(name))
    assert found is not None
    assert max(found.values()) >= max(decide_sizes(asked(name)).witness.values())
