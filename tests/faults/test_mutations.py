"""Rules that are wrong on purpose: some judge that knows nothing of the rule denies what it says.

The judges: all outcomes of drawn plans; the network that results, traced anew, compared with the prediction and run
beside the one in which the same units are silent; z3, asked again about every verdict; a counterexample put into the
network in plain numbers; and faults that must be refused.
"""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from surgery_dsl.diagnostics.codes import defects
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface import gathering
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Extent, Interface, Requirement
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof import always
from surgery_dsl.proof.check import CheckReport, check
from surgery_dsl.proof.cross_check import cross_check
from surgery_dsl.proof.questions import Answer, BudgetQuestion
from surgery_dsl.proof.tiers import congruences, corner, intervals, order
from surgery_dsl.proof.transcript import Transcript
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.modes import _channels
from surgery_dsl.vocabulary.quantities import _counting, macs
from surgery_dsl.vocabulary.takes import _beyond, _ranked
from surgery_dsl.vocabulary.takes import _counting as counting
from surgery_dsl.vocabulary.takes.only import Only
from surgery_dsl.vocabulary.units import heads
from tests.faults import patients
from tests.faults.fault import excise, prove
from tests.faults.fault import replace as replace_at
from tests.faults.judging import judged
from tests.faults.outcomes import FAMILIES, Case
from tests.unit.proof.builders import chain, full, lock
from tests.unit.proof.builders import plan as plan_of
from tests.unit.selection.bench import block
from tests.unit.units.bench import excised

# ---- the judges --------------------------------------------------------------------------------------------------

SEEDS = range(240)


def outcomes() -> bool:
    """Whether some outcome of a drawn plan contradicts a verdict, or the program contradicts itself."""
    for seed in SEEDS:
        try:
            found = judged(seed)
        except (AssertionError, ValueError, KeyError, IndexError):
            return True
        if found is not None and found.wrong:
            return True
    return False


Cut = tuple[Callable[[], nn.Module], InputSpec, str, int, str]
"""A network, its input, the site that loses a unit, the unit, and the tensors whose rows write it."""


@cache
def _specs(name: str) -> InputSpec:
    plan, _ = read_plan(Case(name, (3, 3, 3, 3), ()).text(), "plan.surg")
    assert plan is not None
    (spec,) = plan.patient.inputs
    return spec


IMAGE = InputSpec(name="x", dtype="f32", dims=("N", 3, 8, 8))
CUTS: dict[str, Cut] = {
    "a chain": (lambda: FAMILIES["chain"].build(4, 5, 3), _specs("chain"), 'linear("layers.1")', 2, "layers.1"),
    "a concatenation": (
        lambda: FAMILIES["joined"].build(3, 4, 5, 4),
        _specs("joined"),
        'linear("parts.1")',
        1,
        "parts.1",
    ),
    "a flattening": (lambda: FAMILIES["flattened"].build(3, 4), _specs("flattened"), 'conv2d("two")', 2, "two"),
    "depthwise groups": (lambda: patients.ResNeXt(), IMAGE, 'conv2d("point")', 3, "point"),
}


def surgery() -> bool:
    """Whether a network that lost a unit is not the predicted one, or computes something else."""
    return any(_cut_differs(*cut) for cut in CUTS.values()) or _groups_differ()


def _cut_differs(build: Callable[[], nn.Module], spec: InputSpec, site: str, unit: int, writer: str) -> bool:
    torch.manual_seed(0)
    model = build().eval()
    with torch.no_grad():
        model.get_parameter(f"{writer}.weight")[unit] = 0
        model.get_parameter(f"{writer}.bias")[unit] = 0
    x = torch.randn(*(2 if isinstance(size, str) else size for size in spec.dims))
    return _differs(model, spec, site, (unit,), x)


def _groups_differ() -> bool:
    torch.manual_seed(0)
    model = patients.ResNeXt().eval()
    with torch.no_grad():
        for name in ("grouped", "depthwise"):
            model.get_parameter(f"{name}.weight")[[1, 5, 9, 13]] = 0
            model.get_parameter(f"{name}.bias")[[1, 5, 9, 13]] = 0
    return _differs(model, IMAGE, 'conv2d("grouped")', (1, 5, 9, 13), torch.randn(2, 3, 8, 8))


def _differs(model: nn.Module, spec: InputSpec, site: str, units: tuple[int, ...], x: torch.Tensor) -> bool:
    words, _ = read_plan(
        f'surg 1\nmodel net {{\n  load = python("none:none")\n  input = x("f32", [N])\n}}\n'
        f"identify weak {{\n  in = {site}\n  unit = channels\n  take = only({list(units)})\n}}\nexcise weak\n",
        "plan.surg",
    )
    assert words is not None
    step = block(words.steps[0].sites[0].word, take=Only(units=units))
    try:
        small, _, _ = excised(copy.deepcopy(model), trace(model, (spec,)), step, lambda net: trace(net, (spec,)))
        with torch.no_grad():
            return not torch.allclose(model(x), small(x), atol=1e-5)
    except (AssertionError, LookupError, Refused, RuntimeError, TypeError, ValueError):
        return True


RANKED = """
identify weak {
  in = linear("hidden.*")
  unit = channels
  by = magnitude()
  take = lowest(40%)
  per = global
}
excise weak
control final {
  prove params <= 0.30 * base.params
  prove params <= base.params
}
"""
SIZES = (
    Requirement(relation="divides", left=2, right=("*", 2, "N"), operator="a", reason="r"),
    Requirement(relation="at_least", left=("//", ("+", "N", 5), 3), right=2, operator="b", reason="r"),
    Requirement(relation="equal", left=("//", ("*", 4, "N"), 2), right=("*", 2, "N"), operator="c", reason="r"),
    Requirement(relation="at_least", left=("//", ("+", "N", 6), 4), right=("//", "N", 4), operator="d", reason="r"),
)


NEVER = Requirement(relation="at_least", left=3, right=("+", "N", 5), operator="e", reason="r")


def _report(body: str, transcript: Transcript | None = None, *sizes: Requirement) -> CheckReport:
    interface = chain((8, 16, 12, 4), sizes)
    return check(plan_of(body), lock(interface, nonzero=full(interface)), transcript)


def z3() -> bool:
    """Whether z3 denies a verdict."""
    open_ = RANKED.replace("  per = global\n", "").replace("lowest(40%)", "below(0.5)")
    for body, sizes in ((RANKED, SIZES), (open_, ()), (open_.replace("below(0.5)", "lowest(11)"), (NEVER,))):
        transcript = Transcript()
        _report(body, transcript, *sizes)
        if cross_check(transcript, "plan.surg").disagreements:
            return True
    return False


def replayed() -> bool:
    """Whether a counterexample is none when it is put in."""
    found = _report(RANKED).diagnostics
    return any(one.code is defects.COUNTEREXAMPLE for one in found)


def refused() -> bool:
    """Whether a step that breaks groups is accepted."""
    torch.manual_seed(0)
    tokens = InputSpec(name="tokens", dtype="i64", dims=("B", 4))
    interface = _traced(patients.Decoder, tokens)
    steps = (
        excise('attention("blocks.*")', "lowest(1)", "heads"),
        replace_at('linear("blocks.0.up")', "widen(40 -> 48)") + prove("params == base.params + 392"),
    )
    head = 'surg 1\nmodel net {\n  load = python("none:none")\n  input = tokens("i64", [B, 4])\n}\n'
    found = []
    for body in steps:
        plan, told = read_plan(head + body, "plan.surg")
        assert plan is not None, told
        found.append([one.code.id for one in check(plan, lock(interface, nonzero=full(interface))).diagnostics])
    return found != [["SD224"], []]


@cache
def _traced(build: Callable[[], nn.Module], spec: InputSpec) -> Interface:
    return trace(build().eval(), (spec,))


# ---- the mutations -----------------------------------------------------------------------------------------------


def changed(change: Callable[[Any], Any]) -> Callable[[Any], Callable[..., Any]]:
    """Return what wraps a function, so that its results are changed."""
    return lambda function: lambda *given, **named: change(function(*given, **named))


def _looser(**fields: int) -> Callable[[Any], Callable[..., Any]]:
    def wrap(kept_range: Any) -> Callable[..., range]:
        def wrong(size: int, rounding: Any) -> range:
            least = max(rounding.keep_at_least + fields.get("floor", 0), 0)
            cap = rounding.remove_at_most
            cap = cap if cap is None else cap + fields.get("cap", 0)
            return kept_range(size, rounding.replaced(keep_at_least=least, remove_at_most=cap))  # type: ignore[no-any-return]

        return wrong

    return wrap


def _without(keep: Callable[[Any], bool]) -> Callable[[Any], Callable[..., Polynomial]]:
    def wrap(_: Any) -> Callable[..., Polynomial]:
        return lambda interface: _counting.total(
            interface, [(1, _counting.dims_of(t)) for t in interface.tensors if t.role == "parameter" and keep(t)]
        )

    return wrap


def _moved(by: int) -> Callable[[tuple[Any, Extent]], tuple[Any, Extent]]:
    return lambda found: (found[0], Extent(least=found[1].least + by, most=found[1].most + by))


def _sums_shifted(entries: Any) -> Callable[..., list[int]]:
    def wrong(dim: Any, kept: Any, interface: Interface) -> list[int]:
        found: list[int] = entries(dim, kept, interface)
        whole = interface.exact(dim)
        summed = any(interface.axes[axis].parts for axis in dim)
        return sorted((entry + 1) % (whole or 1) for entry in found) if summed else found

    return wrong


def _order_turned(entries: Any) -> Callable[..., list[int]]:
    return lambda dim, kept, interface: entries(tuple(reversed(dim)), kept, interface)


def _one_fewer(edit: Any) -> Any:
    return None if edit is None else edit.replaced(slices=edit.slices[:-1])


def _strict(_: Any) -> Callable[[BudgetQuestion, Fraction], bool]:
    return lambda question, slack: slack <= 0 if question.relation == ">=" else slack < 0


def _short_periods(steps_of: Any) -> Callable[..., Any]:
    def wrong(expression: Any) -> Any:
        found = steps_of(expression)
        return found if found is None else replace(found, growth=dict.fromkeys(found.growth, -1))

    return wrong


Mutation = tuple[Callable[[], bool], Any, str, Callable[[Any], Any]]
MUTATIONS: dict[str, Mutation] = {
    "a share rounded up": (outcomes, _ranked, "share_of", changed(lambda count: count + 1)),
    "one unit too many goes": (outcomes, _ranked, "taken_nearest", changed(lambda count: count + 1)),
    "a floor that is one too low": (outcomes, counting, "kept_range", _looser(floor=-1)),
    "a floor that is one too high": (outcomes, counting, "kept_range", _looser(floor=1)),
    "a cap that is one too high": (outcomes, counting, "kept_range", _looser(cap=1)),
    "a ranking that takes one more": (outcomes, _ranked, "shared_out", changed(_moved(1))),
    "a ranking that takes one less": (outcomes, _ranked, "shared_out", changed(_moved(-1))),
    "a threshold that never takes the most": (
        outcomes,
        _beyond,
        "between",
        changed(lambda taken: taken.replaced(most=max(taken.most - taken.step, taken.least))),
    ),
    "parameters without biases": (outcomes, _counting, "parameters", _without(lambda t: len(t.dims) > 1)),
    "ties counted twice": (outcomes, _counting, "parameters", _without(lambda t: True)),
    "parameters of ties are left out": (
        outcomes,
        _counting,
        "parameters",
        _without(lambda t: not t.tied_to and "embed" not in t.name),
    ),
    "products counted once too often": (
        outcomes,
        macs,
        "multiplied",
        changed(lambda ends: tuple(end + Polynomial.constant(1) for end in ends)),
    ),
    "a concatenation that loses a part": (
        outcomes,
        _counting,
        "_linear",
        changed(lambda parts: dict(list(parts.items())[:-1]) if parts and len(parts) > 1 else parts),
    ),
    "an axis that keeps one more": (
        outcomes,
        _channels,
        "_kept",
        changed(lambda size: size + 1 if isinstance(size, int) else size),
    ),
    "the wrong corner of a box": (
        outcomes,
        corner,
        "least_over_box",
        changed(lambda least: None if least is None else least + 3),
    ),
    "a limit that may not be met": (outcomes, BudgetQuestion, "breaks", _strict),
    "sums of rankings forgotten": (outcomes, order, "BUDGETS", lambda _: (intervals.budget, corner.budget)),
    "a carrier that is not cut": (surgery, _channels, "gather", changed(_one_fewer)),
    "an offset of a concatenation": (surgery, gathering, "entries", _sums_shifted),
    "a flattening in another order": (surgery, gathering, "entries", _order_turned),
    "attributes that stay behind": (surgery, gathering, "_integers", changed(lambda _: ())),
    "a prediction that keeps one more": (
        surgery,
        _channels,
        "_kept",
        changed(lambda size: size + 1 if isinstance(size, int) else size),
    ),
    "single heads of a group": (refused, heads, "_pool", changed(lambda pool: pool and pool.replaced(width=1))),
    "a widening that is one off": (
        refused,
        Draft,
        "resize",
        lambda resize: lambda self, axis, size: resize(self, axis, size + 1),
    ),
    "an axis of one that counts as empty": (
        z3,
        always,
        "_some_left",
        changed(lambda found: (found[0], _denied(found[1]))),
    ),
    "ranges read from the wrong end": (
        z3,
        intervals,
        "_at_the_least",
        lambda _: lambda question: Answer("proved", "intervals"),
    ),
    "periods that fall": (z3, congruences, "steps_of", _short_periods),
    "a box that is too narrow": (z3, corner, "least_over_box", changed(lambda _: Fraction(0))),
    "a counterexample of a network with more weights": (
        replayed,
        _counting,
        "parameters",
        changed(lambda count: count + Polynomial.constant(10_000)),
    ),
    "a counterexample that no ranking gives": (
        replayed,
        order,
        "BUDGETS",
        lambda _: (
            lambda question: Answer(
                "refuted", "wrong", witness={n: d.most or d.least for n, d in question.domains.items()}
            ),
        ),
    ),
}


def _denied(answer: Answer) -> Answer:
    return replace(answer, status="refuted", witness={"size": 1})


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("judge", [outcomes, surgery, z3, replayed, refused], ids=lambda judge: judge.__name__)
def test_a_judge_says_nothing_of_the_right_rules(judge: Callable[[], bool]) -> None:
    assert not judge()


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_wrong_rule_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    judge, owner, attribute, wrong = MUTATIONS[name]
    monkeypatch.setattr(owner, attribute, wrong(getattr(owner, attribute)))
    assert judge(), f"nothing denies: {name}"
