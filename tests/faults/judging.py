"""What ``check`` says of drawn plans, held against every outcome."""

import random
from dataclasses import dataclass
from functools import cache

import torch

from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Interface
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.check import CheckReport, check
from surgery_dsl.trace.capture import trace
from tests.faults.outcomes import FAMILIES, Case, Widths, cost, drawn
from tests.unit.proof.builders import full, lock

MOST = 600
"""Outcomes of a case, above which it is left out."""
RELATIONS = ("<=", "<", ">=", ">")


@cache
def interface_of(family: str, widths: Widths) -> Interface:
    """Trace a network of these widths."""
    torch.manual_seed(0)
    plan, found = read_plan(Case(family, widths, ()).text(), "plan.surg")
    assert plan is not None, found
    specs: tuple[InputSpec, ...] = plan.patient.inputs
    return trace(FAMILIES[family].build(*widths).eval(), specs)


def report_on(case: Case, claim: str) -> CheckReport:
    """Check a case with one claim."""
    plan, found = read_plan(f"{case.text()}control final {{\n  prove {claim}\n}}\n", "plan.surg")
    assert plan is not None, [one.message for one in found]
    interface = interface_of(case.family, case.widths)
    return check(plan, lock(interface, nonzero=full(interface)))


@dataclass(frozen=True)
class Judged:
    """A claim about a case: what was said, and what all outcomes say."""

    case: Case
    claim: str
    status: str
    holds: bool
    outcomes: int

    @property
    def wrong(self) -> str:
        """Say what is wrong with the verdict; empty where nothing is."""
        if self.status == "proved" and not self.holds:
            return "proved, and some outcome breaks it"
        if self.status == "refuted" and self.holds:
            return "refuted, and every outcome keeps it"
        return ""


def holds(cost_: int, relation: str, limit: int) -> bool:
    """Compare two numbers."""
    return {"<=": cost_ <= limit, "<": cost_ < limit, ">=": cost_ >= limit, ">": cost_ > limit}[relation]


def judged(seed: int) -> Judged | None:
    """Draw a case and a limit close to what its outcomes cost; nothing where the plan is refused for its counts."""
    case = drawn(seed)
    every = case.outcomes()
    if len(every) > MOST:
        return None
    rng = random.Random(f"claim {seed}")
    quantity = rng.choice(["params", "macs"])
    costs = sorted({cost(case.family, widths, quantity) for widths in every})
    counted = "params" if quantity == "params" else "macs(N = 1)"
    limit = rng.choice([costs[0], costs[-1], costs[len(costs) // 2]]) + rng.choice([-1, 0, 0, 1])
    relation = rng.choice(RELATIONS)
    report = report_on(case, f"{counted} {relation} {limit}")
    claims = [verdict for verdict in report.verdicts if verdict.verb == "prove"]
    assert not any(found.code.id.startswith("SD9") for found in report.diagnostics), "the program contradicts itself"
    if any(found.code.id not in ("SD301", "SD302") for found in report.diagnostics if found.severity == "error"):
        return None
    (verdict,) = claims
    kept = all(holds(one, relation, limit) for one in costs)
    return Judged(case, f"{counted} {relation} {limit}", verdict.status, kept, len(every))
