"""Layers that a global ranking can leave with one unit: the arithmetic against every outcome, and what is offered."""

import random
import re
from itertools import product

import pytest

from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.proof.check import CheckReport
from tests.unit.proof.builders import checked, codes, finding

BODY = """
identify weak {
  in = linear("hidden.*")
  unit = channels
  by = magnitude(p = 1)
  take = lowest(TAKE)
  per = globalMORE
}
excise weak { mode = remove }
"""


def ranked(widths: list[int], take: str, more: str = "") -> CheckReport:
    return checked(BODY.replace("TAKE", take).replace("MORE", more), (8, *widths, 4))


def warned(report: CheckReport) -> Diagnostic | None:
    found = [d for d in report.diagnostics if d.code.name == "layer-collapse"]
    return found[0] if found else None


def at_risk(widths: list[int], taken: int, floor: int = 1, cap: int | None = None) -> set[int]:
    """Which layers of four or more units some outcome leaves with one: every way to share out what goes."""
    least = [max(floor, 0 if cap is None else width - cap) for width in widths]
    found = set()
    for kept in product(*(range(low, width + 1) for low, width in zip(least, widths, strict=True))):
        if sum(widths) - sum(kept) == taken:
            found |= {at for at, count in enumerate(kept) if count <= 1 and widths[at] >= 4}
    return found


@pytest.mark.parametrize("seed", range(120))
def test_layers_at_risk_are_those_of_every_outcome(seed: int) -> None:
    draw = random.Random(seed)
    widths = [draw.randint(4, 9) for _ in range(draw.randint(2, 4))] + [draw.randint(2, 3)]
    floor, cap = draw.choice([1, 1, 2]), draw.choice([None, None, 3, 6])
    least = [max(floor, 0 if cap is None else width - cap) for width in widths]
    taken = draw.randint(1, sum(width - low for width, low in zip(widths, least, strict=True)))
    more = (f"\n  floor = {floor}" if floor > 1 else "") + (f"\n  cap = {cap}" if cap is not None else "")
    found = warned(ranked(widths, str(taken), more))
    expected = at_risk(widths, taken, floor, cap)
    if not expected:
        assert found is None
        return
    assert found is not None
    assert found.facts["layers"] == len(expected)
    assert found.path == f"hidden.{min(expected)}"


@pytest.mark.parametrize("widths", [[16, 8], [64, 48, 9], [4, 40, 40], [512, 64, 64]])
@pytest.mark.parametrize("share", [30, 50, 70])
def test_the_floor_that_is_named_ends_it_and_is_the_smallest(widths: list[int], share: int) -> None:
    found = warned(ranked(widths, f"{share}%"))
    assert found is not None
    floor = re.match(r"write `floor = (\d+)%`, the smallest", found.help)
    assert floor is not None, found.help
    assert codes(ranked(widths, f"{share}%", f"\n  floor = {floor[1]}%")) == []
    smaller = warned(ranked(widths, f"{share}%", f"\n  floor = {int(floor[1]) - 1}%"))
    assert smaller is not None


def test_where_the_amount_does_not_fit_the_floor_what_fits_is_said() -> None:
    found = warned(ranked([10, 10], "18"))
    assert found is not None
    assert found.help == "write `floor = 11%` and take at most 16 units, or `per = site`"
    assert codes(ranked([10, 10], "16", "\n  floor = 11%")) == []


def test_the_arithmetic_is_shown() -> None:
    found = warned(ranked([16, 12, 20], "20"))
    assert found is not None
    assert found.notes == (
        "`hidden.0` has 16 channels; all but one are no more than the 20 of 48 that go, and the other 5 fit the 30 "
        "that the other layers may lose",
    )
    assert found.severity == "warning"


def test_all_stages_of_a_schedule_are_one_finding_that_counts_the_original_units() -> None:
    scheduled = BODY.replace("  take = lowest(TAKE)\n", "").replace("MORE", "")
    excise = "excise weak {\n  mode = remove\n  schedule = cubic(0% -> 50%, steps = 4)\n}\n"
    report = checked(scheduled.replace("excise weak { mode = remove }\n", excise), (8, 16, 12, 4))
    found = finding(report, "layer-collapse")
    assert (found.facts["taken"], found.facts["units"], found.facts["layers"]) == (14, 28, 1)


@pytest.mark.parametrize(
    "change",
    [
        ("  per = globalMORE\n", ""),
        ("lowest(TAKE)", "below(0.5)"),
        ("excise weak { mode = remove }", "replace weak_again {\n  at = weak\n  with = reinit(kaiming())\n}"),
    ],
)
def test_other_plans_are_not_warned(change: tuple[str, str]) -> None:
    body = BODY.replace(*change).replace("TAKE", "50%").replace("MORE", "")
    assert "layer-collapse" not in codes(checked(body, (8, 16, 12, 4)))
