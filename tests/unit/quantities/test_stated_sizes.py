"""``macs`` at stated sizes: what a forward of that size costs, and what is said of a limit without a size."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.interface import expression
from surgery_dsl.interface.lock import Lock
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.check import CheckReport, check
from surgery_dsl.proof.readings import Reader
from surgery_dsl.proof.state import State
from surgery_dsl.run.streaming.figures import counted
from surgery_dsl.vocabulary.quantities.macs import Macs
from tests.unit.proof.builders import checked, facts, finding, lock
from tests.unit.quantities.bench import Bench, static, traced


def images() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(4, 6, 3, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 5),
    ).eval()


MODEL = images()
INTERFACE = traced(MODEL, "N", 3, "H", "W")
HEAD = """surg 1

model net {
  load = python("images:build")
  input = x("f32", [N, 3, H, W])
}
"""


def flops(n: int, h: int, w: int) -> int:
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        MODEL(torch.zeros(n, 3, h, w))
    return int(counter.get_total_flops())


def report(body: str, found: Lock | None = None) -> CheckReport:
    plan, diagnostics = read_plan(HEAD + body, "plan.surg")
    assert plan is not None, [d.message for d in diagnostics]
    return check(plan, found or lock(INTERFACE))


@pytest.mark.parametrize("size", [(1, 32, 32), (2, 17, 40), (3, 64, 9)])
def test_the_count_is_that_of_a_forward_of_the_stated_size(size: tuple[int, int, int]) -> None:
    word = Macs(sizes=dict(zip("NHW", size, strict=True)))
    assert 2 * word.measure(MODEL, INTERFACE, Bench(MODEL)) == flops(*size)
    low, high = word.bounds(INTERFACE, static(INTERFACE))
    assert low == high
    reader = Reader(State("plan.surg", Sink("plan.surg"), INTERFACE, INTERFACE))
    amount = reader._amount(low, reader.state, "", word.nominal())
    assert (2 * (amount.number or 0), reader.domains) == (flops(*size), {})
    assert 2 * counted(word, INTERFACE, static(INTERFACE)) == flops(*size)


def test_sizes_that_are_not_stated_stay_free() -> None:
    per_image = flops(1, 32, 32) // 2
    holds = report(f"control c {{\n  prove macs(H = 32, W = 32) <= {per_image}\n}}\n")
    assert [v.status for v in holds.verdicts if v.verb == "prove"] == ["refuted"]
    relative = report("control c {\n  prove macs(H = 32) <= base.macs(H = 32)\n}\n")
    assert [v.status for v in relative.verdicts if v.verb == "prove"] == ["proved"]


def test_a_limit_for_every_image_is_refuted_with_a_size_at_which_it_is_proved() -> None:
    limit = flops(1, 256, 256) // 2
    found = finding(report(f"control c {{\n  prove macs <= {limit}\n}}\n"), "refuted")
    assert found.help.endswith(f"`macs(N = 1, H = 256, W = 256) <= {limit}` is proved")
    fixed = found.help.split("`")[1]
    assert [v.status for v in report(f"control c {{\n  prove {fixed}\n}}\n").verdicts if v.verb == "prove"] == [
        "proved"
    ]


def test_the_sizes_of_the_data_come_first() -> None:
    limit = flops(1, 256, 256) // 2
    known = lock(INTERFACE, facts("test", (3, 40, 48)))
    found = finding(report(f"control c {{\n  prove macs <= {limit}\n}}\n", known), "refuted")
    assert "`macs(N = 1, H = 40, W = 48) <=" in found.help


def test_no_size_is_proposed_where_none_keeps_the_limit() -> None:
    found = finding(report("control c {\n  prove macs <= 20\n}\n"), "refuted")
    assert "is proved" not in found.help


def test_a_limit_at_a_stated_size_names_the_smallest_in_its_own_words() -> None:
    found = finding(checked("control c {\n  prove macs(N = 4) <= 1400\n}\n"), "refuted")
    assert found.help == "write `macs(N = 4) <= 1472`"


@pytest.mark.parametrize(
    ("written", "code"),
    [("M = 4", "SD110"), ("N = 0", "SD112"), ("N = 1.5", "SD112"), ('N = "x"', "SD112"), ("N = 4, N = 5", "SD103")],
)
def test_sizes_that_are_none_are_refused(written: str, code: str) -> None:
    plan, diagnostics = read_plan(HEAD + f"control c {{\n  prove macs({written}) <= 5\n}}\n", "plan.surg")
    found = diagnostics if plan is None else check(plan, lock(INTERFACE)).diagnostics
    assert code in [d.code.id for d in found]


def test_a_size_outside_its_range_is_refused() -> None:
    ranged = INTERFACE.replaced(free=tuple(f.replaced(least=8, most=64) for f in INTERFACE.free))
    found = report("control c {\n  prove macs(N = 8, H = 65, W = 8) <= 9M\n}\n", lock(ranged))
    assert finding(found, "argument-out-of-range").facts == {"H": 65}


def test_put_in_is_evaluation() -> None:
    size = expression.floor_divide(expression.add(expression.multiply("H", "W", 3), 5, "N"), 4)
    part = expression.put_in(size, {"H": 5})
    for w in range(9):
        for n in range(9):
            assert expression.evaluate(part, {"W": w, "N": n}) == expression.evaluate(size, {"H": 5, "W": w, "N": n})
    assert expression.put_in(size, {"H": 5, "W": 2, "N": 1}) == (30 + 5 + 1) // 4
