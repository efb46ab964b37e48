"""Counts that may stay are said with numbers, and the edit that is offered then checks."""

import re

import pytest

from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Interface
from surgery_dsl.proof.check import CheckReport, check
from surgery_dsl.trace.capture import trace
from tests.conformance.networks import grouped, mixture
from tests.unit.proof.builders import lock, plan
from tests.unit.units.bench import TRACED
from tests.unit.units.networks import Attention, Stack, settled

HEAD = 'surg 1\n\nmodel net {\n  load = python("x:build")\n  input = x("f32", [N, 5, 12])\n}\n'
BODY = """identify weak {
  in = SITES
  unit = UNIT
  by = magnitude(p = 1)
  take = TAKE
}
excise weak { mode = remove }
"""


def heads(queries: int, keys: int) -> Interface:
    model = settled(Stack(Attention(heads=queries, kv=keys)))
    return trace(model, (InputSpec(name="x", dtype="f64", dims=TRACED),))


NETWORKS = {
    "14 on 2": (lambda: heads(14, 2), 'attention("**")'),
    "4 on 1": (lambda: heads(4, 1), 'attention("**")'),
    "2 of 6 experts": (
        lambda: trace(mixture().eval(), (InputSpec(name="x", dtype="f32", dims=("N", 16)),)),
        'experts("**")',
    ),
    "4 groups": (
        lambda: trace(grouped().eval(), (InputSpec(name="x", dtype="f32", dims=("N", 1, 8, 8)),)),
        'conv2d("features.2")',
    ),
}
KNOWN: dict[str, Interface] = {}


def report(network: str, unit: str, take: str) -> CheckReport:
    build, sites = NETWORKS[network]
    interface = KNOWN.setdefault(network, build()) if network not in KNOWN else KNOWN[network]
    body = BODY.replace("SITES", sites).replace("UNIT", unit).replace("TAKE", take)
    return check(plan(body, HEAD), lock(interface))


def refusal(network: str, unit: str, take: str) -> Diagnostic:
    return next(d for d in report(network, unit, take).diagnostics if d.severity == "error")


def followed(unit: str, take: str, found: Diagnostic) -> tuple[str, str]:
    """Do what the help says, and nothing else."""
    if unit_now := re.search(r"write unit = (\w+)", found.help):
        return unit_now[1], "lowest(1)" if take.startswith("lowest") else take
    if listed := re.search(r"(only\(\[[\d, ]+\]\))", found.help):
        return unit, listed[1]
    if amount := re.search(r"take (?:at most|at least) ([\d.]+%?)|take (\d+) or", found.help):
        return unit, f"lowest({amount[1] or amount[2]})"
    if most := re.search(r"name at most (\d+)", found.help):
        return unit, f"only({list(range(int(most[1])))})"
    if floor := re.search(r"write floor = (\d+)", found.help):
        return unit, f"{take.split(chr(10), maxsplit=1)[0]}\n  floor = {floor[1]}"
    if kept := re.search(r"keep (\d+)", found.help):
        return unit, re.sub(r"-> \d+", f"-> {kept[1]}", take)
    raise AssertionError(found.help)


CASES = [
    ("14 on 2", "kv_groups", "lowest(20%)"),
    ("14 on 2", "kv_groups", "lowest(2)"),
    ("14 on 2", "kv_groups", "lowest(100%)"),
    ("14 on 2", "heads", "lowest(3)"),
    ("14 on 2", "heads", "lowest(13)"),
    ("14 on 2", "heads", "lowest(14)"),
    ("14 on 2", "heads", "lowest(5%)"),
    ("14 on 2", "heads", "only([0, 4])"),
    ("14 on 2", "heads", "lowest(14 -> 7)"),
    ("14 on 2", "heads", "lowest(50%)\n  floor = 14"),
    ("4 on 1", "kv_groups", "lowest(1)"),
    ("4 on 1", "heads", "lowest(4)"),
    ("2 of 6 experts", "experts", "lowest(5)"),
    ("2 of 6 experts", "experts", "lowest(6)"),
    ("2 of 6 experts", "experts", "lowest(100%)"),
    ("2 of 6 experts", "experts", "lowest(6 -> 1)"),
    ("2 of 6 experts", "experts", "only([0, 1, 2, 3, 4])"),
    ("4 groups", "groups", "lowest(4)"),
    ("4 groups", "groups", "lowest(10%)"),
    ("4 groups", "channels", "lowest(1)"),
    ("4 groups", "channels", "only([0])"),
]


@pytest.mark.parametrize(("network", "unit", "take"), CASES)
def test_what_is_offered_checks(network: str, unit: str, take: str) -> None:
    found = refusal(network, unit, take)
    mended = report(network, *followed(unit, take, found))
    assert [d.message for d in mended.diagnostics] == [], found.help
    assert all(v.status == "proved" for v in mended.verdicts)


def test_the_legal_counts_are_numbers() -> None:
    note = "14 query / 2 KV heads: legal keep counts are 7 and 14"
    for unit, take in (("kv_groups", "lowest(20%)"), ("kv_groups", "lowest(2)")):
        assert refusal("14 on 2", unit, take).notes[0].startswith(note)
    assert "legal keep counts are 2, 4, 6, … and 14" in refusal("14 on 2", "heads", "lowest(3)").notes[0]
    assert "legal keep counts of key/value heads: 1" in refusal("4 on 1", "kv_groups", "lowest(1)").message
    found = refusal("2 of 6 experts", "experts", "lowest(5)")
    assert found.notes[0] == "each token goes through 2 of 6 experts, so at least 2 must stay"
    assert (found.message.endswith("at least 2 must stay"), found.help) == (True, "take at most 4")


@pytest.mark.parametrize(
    ("take", "least", "most"), [("below(0.5)", 0, 4), ("lowest(90%)", 4, 4), ("lowest(50%)\n  per = global", 2, 4)]
)
def test_shares_and_bounds_leave_as_many_experts_as_each_token_needs(take: str, least: int, most: int) -> None:
    found = report("2 of 6 experts", "experts", take)
    assert not found.failed
    assert {(e.least, e.most) for e in found.end.selections["weak"].taken} == {(least, most)}
