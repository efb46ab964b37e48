"""Budgets under a global ranking: this program's tiers beside z3 and cvc5 on the same questions.

    python benchmarks/budgets.py            # everything, about six minutes
    python benchmarks/budgets.py --quick    # without the solvers

A question is: does params stay within a limit whatever a global ranking leaves, 40 % of all channels removed, each
layer between an eighth and all of its width, in steps of 8? Times are CPU seconds of one process, the least of several
runs for this program, one run for the others, which have ten seconds. cvc5 is left out where it is not installed.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from typing import Any

from surgery_dsl.proof.amount import Amount, Domain
from surgery_dsl.proof.questions import BudgetQuestion, Sum
from surgery_dsl.proof.running_sums import unrolled
from surgery_dsl.proof.tiers.order import decide_budget
from surgery_dsl.proof.tiers.regions import Task, bounded

CYCLE = (64, 128, 256, 512, 256, 128)
SECONDS = 10.0
RUNS = 5


@dataclass(frozen=True)
class Network:
    """Widths by axis, the number of weights of each product of axes and sums of axes, and what the sums are."""

    name: str
    widths: dict[str, int]
    weights: dict[tuple[str, ...], int]
    sums: dict[str, dict[tuple[str, ...], int]] = field(default_factory=dict)

    @property
    def count(self) -> Amount:
        """The number of weights."""
        return Amount({monomial: Fraction(weight) for monomial, weight in self.weights.items()}, self.sums)


def chain(layers: int) -> Network:
    """Return convolutions of 3 x 3 in a row."""
    widths = {f"w{i}": CYCLE[i % 6] for i in range(layers)}
    names = list(widths)
    return Network(f"chain, {layers} layers", widths, {tuple(sorted(p)): 9 for p in pairwise(names)})


def residual() -> Network:
    """Return four stages of sixty blocks of two convolutions: 484 convolutions with the stem and three shortcuts."""
    widths: dict[str, int] = {}
    weights: dict[tuple[str, ...], int] = {}
    for stage in range(4):
        widths[f"s{stage}"] = 64 * 2**stage
        for block in range(60):
            inner = f"m{stage}.{block}"
            widths[inner] = 64 * 2**stage
            weights[tuple(sorted((f"s{stage}", inner)))] = 18
        if stage:
            weights[f"s{stage - 1}", f"s{stage}"] = 1
    weights["s0",] = 27 * 49
    return Network("residual, 484 convolutions", widths, weights)


def bottleneck() -> Network:
    """Return four stages of forty bottlenecks: 483 convolutions."""
    widths: dict[str, int] = {}
    weights: dict[tuple[str, ...], int] = {}
    for stage in range(4):
        widths[f"s{stage}"] = 256 * 2**stage
        for block in range(40):
            first, second = f"m{stage}.{block}", f"n{stage}.{block}"
            widths[first] = widths[second] = 64 * 2**stage
            for pair, count in (((f"s{stage}", first), 1), ((first, second), 9), ((second, f"s{stage}"), 1)):
                weights[tuple(sorted(pair))] = count
        if stage:
            weights[f"s{stage - 1}", f"s{stage}"] = 1
    return Network("bottlenecks, 483 convolutions", widths, weights)


def densely_connected(layers: int = 120) -> Network:
    """Return a DenseNet: each layer reads what all before it have written."""
    widths = {"a0": 64}
    weights: dict[tuple[str, ...], int] = {}
    sums: dict[str, dict[tuple[str, ...], int]] = {"s1": {("a0",): 1}}
    for i in range(1, layers + 1):
        widths[f"b{i}"], widths[f"a{i}"] = 128, 32
        weights |= {(f"b{i}", f"s{i}"): 1, (f"s{i}",): 2, (f"a{i}", f"b{i}"): 9, (f"b{i}",): 2}
        sums[f"s{i + 1}"] = {(f"s{i}",): 1, (f"a{i}",): 1}
    return Network(f"dense, {layers} layers", widths, weights, sums)


def question(network: Network, limit: int, *, upper: bool = True) -> BudgetQuestion:
    """Return the question as ``check`` asks it."""
    domains = {name: Domain(max(8, width // 8 // 8 * 8), width, 8) for name, width in network.widths.items()}
    removed = floor(sum(network.widths.values()) * Fraction(2, 5)) // 8 * 8
    fixed = Sum(tuple((name, width, Fraction(1)) for name, width in network.widths.items()), removed, removed)
    count = network.count
    slack = Amount.constant(limit) - count if upper else count - Amount.constant(limit)
    return BudgetQuestion(">=", slack, slack, domains, (fixed,))


@dataclass(frozen=True)
class Limits:
    """The dual bound of a count and what the worst outcome found has."""

    bound: int
    found: int


def limits(network: Network, *, upper: bool = True) -> Limits:
    """Return the least limit that the root bound proves, and the count of the worst outcome found."""
    asked = question(network, 0, upper=upper)
    ranges = {name: (domain.least, domain.most or 0) for name, domain in asked.domains.items()}
    task = Task(unrolled(asked.slack), asked.sums, dict.fromkeys(ranges, 8))
    least = bounded(task, ranges, Fraction(10**18)).bound
    bound = ceil(-least) if upper else floor(least)
    near = decide_budget(question(network, bound + (-1 if upper else 1), upper=upper))
    if near.least is None:
        raise SystemExit(f"no outcome of {network.name} was found")
    found = bound - 1 - near.least if upper else bound + 1 + near.least
    return Limits(bound, int(found))


def cpu(work: Callable[[], object], runs: int = RUNS) -> float:
    """Return the least CPU time of several runs, in milliseconds."""
    best = float("inf")
    for _ in range(runs):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return best * 1000


# ---- solvers -----------------------------------------------------------------------------------------------------


def z3_nonlinear(asked: BudgetQuestion) -> str:
    """Ask z3 for an outcome that breaks the limit, as nonlinear integer arithmetic."""
    import z3

    solver = z3.Solver()
    sizes = {name: z3.Int(name) for name in asked.domains}
    units = {name: z3.Int(f"{name}/8") for name in asked.domains}
    for name, domain in asked.domains.items():
        solver.add(sizes[name] == 8 * units[name], sizes[name] >= domain.least, sizes[name] <= domain.most)
    for fixed in asked.sums:
        solver.add(z3.Sum([whole - sizes[name] for name, whole, _ in fixed.parts]) == fixed.least)
    terms = []
    for monomial, weight in asked.slack.terms.items():
        product = z3.IntVal(int(weight))
        for name in monomial:
            product = product * sizes[name]
        terms.append(product)
    solver.add(z3.Sum(terms) < 0)
    solver.set("timeout", int(SECONDS * 1000))
    return {"sat": "refuted", "unsat": "proved"}.get(str(solver.check()), "unknown")


def z3_envelopes(asked: BudgetQuestion) -> str:
    """Minimise the slack over McCormick's envelopes with z3's ``Optimize``; it proves, and cannot refute."""
    import z3

    optimize = z3.Optimize()
    sizes = {name: z3.Real(name) for name in asked.domains}
    for name, domain in asked.domains.items():
        optimize.add(sizes[name] >= domain.least, sizes[name] <= domain.most)
    for fixed in asked.sums:
        optimize.add(z3.Sum([whole - sizes[name] for name, whole, _ in fixed.parts]) == fixed.least)
    terms = []
    for monomial, weight in asked.slack.terms.items():
        if len(monomial) == 2:
            left, right = (asked.domains[name] for name in monomial)
            a, b = (sizes[name] for name in monomial)
            y = z3.Real("*".join(monomial))
            top_a, top_b = left.most or 0, right.most or 0
            optimize.add(y <= top_b * a + left.least * b - left.least * top_b)
            optimize.add(y <= right.least * a + top_a * b - top_a * right.least)
            terms.append(int(weight) * y)
        else:
            terms.append(int(weight) * (sizes[monomial[0]] if monomial else z3.RealVal(1)))
    least = optimize.minimize(z3.Sum(terms))
    optimize.set("timeout", int(SECONDS * 1000))
    if optimize.check() != z3.sat:
        return "unknown"
    return "proved" if Fraction(str(optimize.lower(least))) >= 0 else "open"


def cvc5_nonlinear(asked: BudgetQuestion) -> str:
    """Ask cvc5 for an outcome that breaks the limit, as nonlinear integer arithmetic."""
    import cvc5  # type: ignore[import-untyped,unused-ignore]
    from cvc5 import Kind

    solver: Any = cvc5.Solver()
    solver.setLogic("QF_NIA")
    solver.setOption("tlimit-per", str(int(SECONDS * 1000)))
    integer, number = solver.getIntegerSort(), solver.mkInteger
    sizes = {}
    for name, domain in asked.domains.items():
        unit = solver.mkConst(integer, name)
        sizes[name] = solver.mkTerm(Kind.MULT, number(8), unit)
        solver.assertFormula(solver.mkTerm(Kind.GEQ, sizes[name], number(domain.least)))
        solver.assertFormula(solver.mkTerm(Kind.LEQ, sizes[name], number(domain.most or 0)))
    for fixed in asked.sums:
        kept = sum(whole for _, whole, _ in fixed.parts) - fixed.least
        total = solver.mkTerm(Kind.ADD, *(sizes[name] for name, _, _ in fixed.parts))
        solver.assertFormula(solver.mkTerm(Kind.EQUAL, total, number(kept)))
    terms = []
    for monomial, weight in asked.slack.terms.items():
        factors = [number(int(weight)), *(sizes[name] for name in monomial)]
        terms.append(solver.mkTerm(Kind.MULT, *factors) if len(factors) > 1 else factors[0])
    solver.assertFormula(solver.mkTerm(Kind.LT, solver.mkTerm(Kind.ADD, *terms), number(0)))
    answer = solver.checkSat()
    return "refuted" if answer.isSat() else "proved" if answer.isUnsat() else "unknown"


def _child(work: Callable[[BudgetQuestion], str], asked: BudgetQuestion, out: Any) -> None:
    began = time.process_time()
    try:
        out.put((work(asked), time.process_time() - began))
    except ImportError:
        out.put(("not installed", 0.0))


def stopped(work: Callable[[BudgetQuestion], str], asked: BudgetQuestion) -> str:
    """Run a solver in a process of its own, stopped when it takes twice its limit; building the terms counts."""
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    child = context.Process(target=_child, args=(work, asked, out))
    child.start()
    child.join(2 * SECONDS + 10)
    if child.is_alive():
        child.kill()
        child.join()
        return f"stopped after {2 * SECONDS + 10:.0f} s"
    verdict, seconds = out.get()
    return f"{verdict}, {seconds:.2f} s" if verdict != "not installed" else verdict


# ---- tables ------------------------------------------------------------------------------------------------------


def graphs() -> None:
    """Print proved, refuted and undecided for all graphs, and the band."""
    print("| network | monomials | limit on | proved ms | tight ms | refuted ms | undecided ms | band % |")
    print("|---|---|---|---|---|---|---|---|")
    networks = [chain(10), chain(50), chain(200), chain(500), residual(), bottleneck(), densely_connected()]
    for network in networks:
        for upper in (True, False):
            ends = limits(network, upper=upper)
            sign = 1 if upper else -1
            cells = []
            for limit, wanted in (
                (ends.bound + sign * abs(ends.bound) // 20, "proved"),
                (ends.bound, "proved"),
                (ends.found - sign * abs(ends.found) // 20, "refuted"),
            ):
                asked = question(network, limit, upper=upper)
                if decide_budget(asked).status != wanted:
                    raise SystemExit(f"{network.name}: {limit} is not {wanted}")
                cells.append(f"{cpu(lambda asked=asked: decide_budget(asked)):.1f}")  # type: ignore[misc]
            open_ = question(network, (ends.bound + ends.found) // 2, upper=upper)
            answer = decide_budget(open_)
            if answer.status == "undecided" and answer.least is not None and answer.bound is not None:
                band = float((answer.least - answer.bound) / abs(ends.bound) * 100)
                cells += [f"{cpu(lambda asked=open_: decide_budget(asked), 2):.0f}", f"{band:.2f}"]  # type: ignore[misc]
            else:
                cells += ["none", "0"]
            side = "above" if upper else "below"
            print(f"| {network.name} | {len(network.count.terms)} | {side} | {' | '.join(cells)} |", flush=True)


def growth() -> None:
    """Print how the cost grows with the number of layers."""
    print("\n| chain, layers | proved ms | us a layer | refuted ms | us a layer |")
    print("|---|---|---|---|---|")
    for layers in (100, 300, 1000, 3000, 10_000):
        network = chain(layers)
        ends = limits(network)
        cells = []
        for limit in (ends.bound, ends.found * 19 // 20):
            asked = question(network, limit)
            spent = cpu(lambda asked=asked: decide_budget(asked), 3)  # type: ignore[misc]
            cells += [f"{spent:.1f}", f"{spent / layers * 1000:.1f}"]
        print(f"| {layers} | {' | '.join(cells)} |", flush=True)


def dense_growth() -> None:
    """Print how the cost grows with the layers of a dense network, whose monomials grow with their square."""
    print("\n| dense, layers | numbers | monomials | above: proved ms | refuted ms | below: proved ms | refuted ms |")
    print("|---|---|---|---|---|---|---|")
    for layers in (60, 120, 240, 480):
        network = densely_connected(layers)
        cells = []
        for upper in (True, False):
            ends = limits(network, upper=upper)
            for limit in (ends.bound, ends.found * (19 if upper else 21) // 20):
                asked = question(network, limit, upper=upper)
                cells.append(f"{cpu(lambda asked=asked: decide_budget(asked), 3):.1f}")  # type: ignore[misc]
        size = unrolled(network.count).size
        print(f"| {layers} | {size} | {len(network.count.terms)} | {' | '.join(cells)} |", flush=True)


def solvers() -> None:
    """Print the verdicts and times of the solvers on the same questions."""
    print("\n| question | this program | z3, nonlinear | z3 `Optimize`, envelopes | cvc5, nonlinear |")
    print("|---|---|---|---|---|")
    for network in (chain(10), chain(50), chain(200), chain(500), residual()):
        ends = limits(network)
        for limit, name in ((ends.bound + abs(ends.bound) // 20, "5 % loose"), (ends.found * 19 // 20, "5 % short")):
            asked = question(network, limit)
            answer = decide_budget(asked)
            mine = f"{answer.status}, {cpu(lambda asked=asked: decide_budget(asked)) / 1000:.4f} s"  # type: ignore[misc]
            plain = replace(asked, domains=dict(asked.domains))
            others = [stopped(work, plain) for work in (z3_nonlinear, z3_envelopes, cvc5_nonlinear)]
            print(f"| {network.name}, {name} | {mine} | {' | '.join(others)} |", flush=True)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="leave the solvers out")
    parser.add_argument("--solvers", action="store_true", help="the solvers alone")
    arguments = parser.parse_args()
    if not arguments.solvers:
        graphs()
        growth()
        dense_growth()
    if not arguments.quick:
        solvers()


if __name__ == "__main__":
    main()
