"""The dual bound of budgets under global rankings: as good as the linear relaxation, fast, and with what proves it."""

import random
import time
from fractions import Fraction
from math import ceil, floor

import pytest

from surgery_dsl.interface.model import Axis, Extent, Interface, Tensor
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.proof.amount import Amount, Domain
from surgery_dsl.proof.questions import BudgetQuestion, Sum
from surgery_dsl.proof.running_sums import unrolled
from surgery_dsl.proof.tiers import regions
from surgery_dsl.proof.tiers.order import decide_budget
from surgery_dsl.vocabulary.quantities import _counting
from tests.unit.proof.test_budgets import outcomes

CYCLE = (64, 128, 256, 512, 256, 128)


def chain(widths: list[int], share: Fraction = Fraction(2, 5), step: int = 8) -> tuple[Amount, dict[str, Domain], Sum]:
    """Return Σ 9·a·b over neighbours, ranges from an eighth to the whole, and a sum that takes a share of all."""
    domains = {f"w{i}": Domain(max(width // 8, 1), width, step) for i, width in enumerate(widths)}
    pairs = zip(domains, list(domains)[1:], strict=False)
    removed = floor(sum(widths) * share) // step * step
    parts = tuple((name, domain.most or 0, Fraction(1)) for name, domain in domains.items())
    terms: dict[tuple[str, ...], Fraction] = {tuple(sorted((a, b))): Fraction(9) for a, b in pairs}
    return Amount(terms), domains, Sum(parts, removed, removed)


def at_most(limit: int, network: tuple[Amount, dict[str, Domain], Sum]) -> BudgetQuestion:
    amount, domains, fixed = network
    slack = Amount.constant(limit) - amount
    return BudgetQuestion(">=", slack, slack, domains, (fixed,))


def bound(amount: Amount, domains: dict[str, Domain], fixed: Sum) -> Fraction:
    ranges = {name: (domain.least, domain.most or 0) for name, domain in domains.items()}
    steps = {name: domain.step for name, domain in domains.items()}
    return regions.bounded(regions.Task(unrolled(amount), (fixed,), steps), ranges, Fraction(10**15)).bound


def linear_optimum(amount: Amount, domains: dict[str, Domain], *sums: Sum) -> Fraction:
    """Return z3's minimum of the linear relaxation with McCormick's envelopes of every product."""
    z3 = pytest.importorskip("z3")
    optimize = z3.Optimize()
    size = {name: z3.Real(name) for name in domains}
    for name, domain in domains.items():
        optimize.add(size[name] >= domain.least, size[name] <= domain.most)
    for fixed in sums:
        removed = z3.Sum([z3.Q(w.numerator, w.denominator) * (whole - size[name]) for name, whole, w in fixed.parts])
        optimize.add(removed >= fixed.least, removed <= fixed.most)
    parts = []
    for monomial, coefficient in amount.terms.items():
        if len(monomial) < 2:
            parts.append(int(coefficient) * (size[monomial[0]] if monomial else 1))
            continue
        a, b = monomial
        (low_a, high_a), (low_b, high_b) = ((domains[n].least, domains[n].most or 0) for n in monomial)
        y = z3.Real(f"{a}*{b}")
        optimize.add(y >= low_b * size[a] + low_a * size[b] - low_a * low_b)
        optimize.add(y >= high_b * size[a] + high_a * size[b] - high_a * high_b)
        optimize.add(y <= high_b * size[a] + low_a * size[b] - low_a * high_b)
        optimize.add(y <= low_b * size[a] + high_a * size[b] - high_a * low_b)
        parts.append(int(coefficient) * y)
    least = optimize.minimize(z3.Sum(parts))
    assert optimize.check() == z3.sat
    return Fraction(str(optimize.lower(least)))


@pytest.mark.parametrize("layers", [2, 3, 5, 10, 20, 50])
@pytest.mark.parametrize("sign", [-1, 1], ids=["limit from above", "limit from below"])
def test_on_chains_the_bound_is_the_optimum_of_the_linear_relaxation(layers: int, sign: int) -> None:
    source = random.Random(layers)
    for widths in ([CYCLE[i % 6] for i in range(layers)], [source.randint(2, 40) * 8 for _ in range(layers)]):
        amount, domains, fixed = chain(widths)
        amount = amount.scale(Fraction(sign))
        assert bound(amount, domains, fixed) == linear_optimum(amount, domains, fixed)


@pytest.mark.parametrize("count", [2, 3, 6])
@pytest.mark.parametrize("sign", [-1, 1], ids=["limit from above", "limit from below"])
def test_with_several_sums_the_bound_meets_the_relaxation(count: int, sign: int) -> None:
    source = random.Random(count)
    amount, domains, _ = chain([source.choice(CYCLE) for _ in range(24)])
    amount = amount.scale(Fraction(sign))
    names = list(domains)
    sums = []
    for at in range(count):  # every other sum reaches into the next one's pools
        members = names[at * 24 // count : (at + 1) * 24 // count + (3 if at % 2 == 0 else 0)]
        whole = sum(domains[name].most or 0 for name in members)
        removed = floor(whole * Fraction(source.choice([2, 3, 5]), 10)) // 8 * 8
        sums.append(Sum(tuple((n, domains[n].most or 0, Fraction(1)) for n in members), removed, removed + 16))
    ranges = {name: (domain.least, domain.most or 0) for name, domain in domains.items()}
    task = regions.Task(unrolled(amount), tuple(sums), dict.fromkeys(ranges, 8))
    found = regions.bounded(task, ranges, Fraction(10**15)).bound
    best = linear_optimum(amount, domains, *sums)
    assert best - abs(best) / 10_000 <= found <= best


@pytest.mark.parametrize("layers", [10, 50, 200, 500])
def test_between_witness_and_bound_lies_little(layers: int) -> None:
    network = chain([CYCLE[i % 6] for i in range(layers)])
    limit = ceil(-bound(network[0].scale(Fraction(-1)), *network[1:]))
    assert decide_budget(at_most(limit, network)).status == "proved"
    below = decide_budget(at_most(limit * 97 // 100, network))
    assert below.status == "refuted"
    assert network[2].removed(below.witness) == network[2].least
    assert all((size - network[1][name].least) % 8 == 0 for name, size in below.witness.items())
    near = decide_budget(at_most(limit - 1, network))
    assert near.least is not None
    assert near.bound is not None
    assert near.status in ("refuted", "undecided")
    assert near.least - near.bound <= limit * Fraction(2, 100)


def test_a_proof_says_what_it_rests_on() -> None:
    network = chain([CYCLE[i % 6] for i in range(30)])
    limit = ceil(-bound(network[0].scale(Fraction(-1)), *network[1:]))
    answer = decide_budget(at_most(limit, network))
    assert answer.certificate is not None
    assert answer.certificate.bound == answer.bound
    assert len(answer.certificate.multipliers) == 1
    assert answer.certificate.multipliers[0] > 0
    assert [cell.bound for cell in answer.certificate.cells] == [answer.bound]
    assert network[2].removed(answer.witness) == network[2].least  # the outcome that is printed is one


def test_a_limit_that_grows_with_the_input_is_proved_for_every_size() -> None:
    amount, domains, fixed = chain([64, 128, 64, 128])
    limit = max(amount.at(sizes) for sizes in outcomes(BudgetQuestion(">=", amount, amount, domains, (fixed,))))
    domains = {**domains, "N": Domain(1, None, 1, "free")}
    for relative, status in ((limit, "proved"), (limit - 1, "refuted")):
        slack = (Amount.constant(relative) - amount) * Amount.variable("N")
        answer = decide_budget(BudgetQuestion(">=", slack, slack, domains, (fixed,)))
        assert answer.status == status
        if status == "refuted":
            assert slack.at(answer.witness) < 0
    fixed_limit = Amount.constant(10 * limit) - amount * Amount.variable("N")
    answer = decide_budget(BudgetQuestion(">=", fixed_limit, fixed_limit, domains, (fixed,)))
    assert answer.status == "refuted"
    assert fixed_limit.at(answer.witness) < 0
    some = {**domains, "N": Domain(1, 10, 1, "free")}
    assert decide_budget(BudgetQuestion(">=", fixed_limit, fixed_limit, some, (fixed,))).status == "proved"


def test_sums_that_no_outcome_keeps_prove_nothing() -> None:
    amount, domains, fixed = chain([64, 64, 64])
    slack = Amount.constant(10**9) - amount
    beyond = Sum(fixed.parts, 190, 191)
    assert decide_budget(BudgetQuestion(">=", slack, slack, domains, (beyond,))).status == "undecided"
    between_steps = Sum(fixed.parts, 9, 15)
    assert decide_budget(BudgetQuestion(">=", slack, slack, domains, (between_steps,))).status == "undecided"


def test_bounds_that_no_outcome_reaches_do_not_refute_under_a_ranking() -> None:
    amount, domains, fixed = chain([64, 128, 64, 128])
    low, high = Amount.constant(-1) - amount, Amount.constant(10**7) - amount
    assert decide_budget(BudgetQuestion(">=", low, high, domains, (fixed,))).status == "undecided"


def test_equality_under_a_ranking() -> None:
    domains = {name: Domain(0, 20) for name in "ab"}
    fixed = Sum((("a", 20, Fraction(1)), ("b", 20, Fraction(1))), 10, 10)
    both = Amount.variable("a") + Amount.variable("b")
    for limit, status in ((30, "proved"), (31, "refuted")):
        slack = Amount.constant(limit) - both
        assert decide_budget(BudgetQuestion("==", slack, slack, domains, (fixed,))).status == status


def test_five_hundred_layers_take_milliseconds() -> None:
    network = chain([CYCLE[i % 6] for i in range(500)])
    limit = ceil(-bound(network[0].scale(Fraction(-1)), *network[1:]))
    for share, status, milliseconds in ((100, "proved", 10), (95, "refuted", 25)):
        question = at_most(limit * share // 100, network)
        times = []
        for _ in range(5):
            began = time.process_time()
            assert decide_budget(question).status == status
            times.append(time.process_time() - began)
        assert min(times) * 1000 < 4 * milliseconds  # other machines are slower; the benchmark holds the limit


def densely_connected(layers: int) -> Interface:
    """Return an interface in which each layer reads what all before it have written."""
    axes: list[Axis] = []

    def axis(size: int | Extent, parts: tuple[tuple[int, ...], ...] = ()) -> int:
        axes.append(Axis(id=len(axes), size=size, parts=parts))
        return len(axes) - 1

    written = [axis(Extent(least=8, most=64, step=8))]
    tensors = []
    for i in range(1, layers + 1):
        read = axis(0, tuple((a,) for a in written)) if i % 2 else axis(0, ((axes[-1].id,), (written[-1],)))
        inner, out, kernel = axis(Extent(least=16, most=128, step=8)), axis(Extent(least=8, most=32, step=8)), axis(3)
        shapes = {"norm": ((read,),), "first": ((inner,), (read,)), "square": ((read,), (read,))}
        shapes["second"] = ((out,), (inner,), (kernel,), (kernel,))
        tensors += [Tensor(name=f"{i}.{n}", role="parameter", dtype="f32", dims=dims) for n, dims in shapes.items()]
        written.append(out)
    return Interface(
        network="net.Dense",
        axes=tuple(axes),
        tensors=tuple(tensors),
        modules=(),
        values=(),
        operators=(),
        calls=(),
        inputs=(),
        outputs=(),
        free=(),
        requirements=(),
    )


def test_sums_of_axes_are_multiplied_out_as_the_interface_says() -> None:
    interface = densely_connected(7)
    products = [(i + 1, _counting.dims_of(tensor)) for i, tensor in enumerate(interface.tensors)]
    expected = Polynomial.sum_of(
        [interface.size(dims).scale(factor).substitute(interface.exact_size) for factor, dims in products]
    )
    assert _counting.total(interface, products).terms == expected.terms
