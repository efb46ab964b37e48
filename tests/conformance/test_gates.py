"""Quantities and predicates: what is proved is what is measured, and both are what the definition says."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.language.plan import Comparison, Control, Plan, Property
from surgery_dsl.proof.bookkeeping import extremes
from surgery_dsl.proof.check import check
from surgery_dsl.proof.gates import readings
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.word import Word
from tests.conformance import networks
from tests.conformance.definitions import LOOSELY, OF_A_STEP, PREDICATES, QUANTITIES
from tests.conformance.live import Operation, operate
from tests.conformance.words import TEMPLATES, Entry, each, entries, render
from tests.conformance.workbench import Workbench

Run = Callable[[str], Operation]

QUANTITY = entries("quantities")
PREDICATE = entries("predicates")
SHAPES = ["mlp", "cnn", "grouped", "residual", "tied", "linear3d", "layer_norm"]


@pytest.fixture(scope="module")
def run(workbench: Workbench) -> Run:
    """Run the steps of a plan; its gates change nothing, so plans that differ in them alone share a run.

    But for gates on what a step did, which is measured when it runs.
    """

    @cache
    def steps(text: str) -> Operation:
        return operate(workbench, text)

    speaking_of_steps = {entry.name for entry in QUANTITY if getattr(entry.word, "within_run", False)}

    def shared(text: str) -> Operation:
        before, _, gates = text.partition("control final")
        return steps(text if any(f"{name}(" in gates for name in speaking_of_steps) else before)

    return shared


def plan_of(bench: Workbench, text: str) -> Plan:
    plan, found = bench.read(text)
    assert plan is not None, found
    return plan


def quantity_of(plan: Plan, entry: Entry) -> Quantity:
    """The quantity as the plan's control block has it."""
    for step in plan.steps:
        for obligation in step.obligations if isinstance(step, Control) else ():
            assert isinstance(obligation.statement, Comparison)
            for reading in readings(obligation.statement.left):
                if isinstance(reading.word, entry.word):
                    return reading.word
    raise LookupError(str(entry))


def measured(word: Quantity, operation: Operation) -> float:
    now = operation.final
    return word.measure(now.model, operation.state.interface, operation.session)


def number(interface: Interface, polynomial: Polynomial) -> float:
    """The value of a bound where all sizes are exact, free ones at their least."""
    low, high = extremes(interface, polynomial)
    assert low == high, "a size is open"
    return float(low)


@each(entry for entry in QUANTITY if getattr(entry.word, "static", False))
@pytest.mark.parametrize("network", SHAPES)
def test_bounds_are_what_is_measured(entry: Entry, network: str, workbench: Workbench, run: Run) -> None:
    for template in workbench.accepted(entry):
        text = entry.example(template, *_networks(entry, network))
        word = quantity_of(plan_of(workbench, text), entry)
        operation = run(text)
        state = operation.state
        low, high = (
            number(state.interface, bound) / word.denominator for bound in word.bounds(state.interface, state.static())
        )
        found = measured(word, operation)
        assert low <= found <= high
        if not word.attained:
            assert high - low <= 2 / word.denominator * (word.denominator > 1), "an exact count has one value"


def _networks(entry: Entry, *usual: str) -> tuple[str, ...]:
    """The networks that a quantity is measured on: its own, where it speaks of that kind alone."""
    return usual if entry.card.fixture in SHAPES else (entry.card.fixture,) * len(usual)


def _template(entry: Entry, usual: str) -> Path:
    """The plan of the quantity, or of the networks that it speaks of, alone, where there is one."""
    own = (TEMPLATES / f"quantities.{name}.surg" for name in (entry.name, entry.card.fixture))
    return next((path for path in own if path.is_file()), TEMPLATES / usual)


@each(QUANTITY)
def test_measured_value_is_the_definition(entry: Entry, workbench: Workbench, run: Run) -> None:
    assert entry.name in QUANTITIES or entry.name in OF_A_STEP, "write its definition into definitions.py"
    for network in _networks(entry, "mlp", "cnn"):
        text = entry.example(_template(entry, "quantities.kept_shapes.surg"), network)
        word = quantity_of(plan_of(workbench, text), entry)
        operation = run(text)
        seed = int(getattr(word, "data", "train") == "test")
        data = networks.data(network, seed=seed)
        if entry.name in OF_A_STEP:
            moment = next(one for one in operation.moments if one.run.step.name == getattr(word, "step", ""))
            expected = OF_A_STEP[entry.name](word, moment.before.model, moment.after.model, data)
        else:
            expected = QUANTITIES[entry.name](word, operation.final.model, operation.session.base(), data)
        found, factor = measured(word, operation), LOOSELY.get(entry.name)
        if factor is None:
            assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)
        else:
            assert expected / factor < found < expected * factor
        assert word.least is None or expected >= word.least
        assert word.most is None or expected <= word.most


@each(QUANTITY)
def test_quantity_tells_networks_apart(entry: Entry, workbench: Workbench, run: Run) -> None:
    """A quantity that is the same before and after a surgery that it speaks of would pass every gate."""
    first, second = _networks(entry, "dead_mlp", "cnn")
    text = entry.example(_template(entry, "quantities.kept_shapes.surg"), first)
    word = quantity_of(plan_of(workbench, text), entry)
    operation = run(text)
    values = {measured(word, operation)}
    template = _template(entry, "quantities.measured.surg")
    other = run(entry.example(template, second))
    if other is operation:  # one plan for its kind of network: what it was is told from what became of it
        session = other.session
        values.add(word.measure(session.base(), session.base_interface, session))
    else:
        values.add(measured(word, other))
    assert len(values) == 2


def property_of(plan: Plan) -> Word:
    for step in plan.steps:
        for obligation in step.obligations if isinstance(step, Control) else ():
            if isinstance(obligation.statement, Property):
                return obligation.statement.word
    raise LookupError("the plan has no property")


@each(PREDICATE)
def test_predicate_that_holds_is_proved_and_true(entry: Entry, workbench: Workbench, run: Run) -> None:
    text = workbench.example(entry)
    plan = plan_of(workbench, text)
    report = check(plan, workbench.lock(plan))
    verdicts = [v for v in report.verdicts if v.verb == "prove"]
    assert [v.status for v in verdicts] == ["proved"]
    assert PREDICATES[entry.name](property_of(plan), run(text))


@each(PREDICATE)
def test_predicate_that_does_not_hold_is_refuted_and_false(entry: Entry, workbench: Workbench, run: Run) -> None:
    own = TEMPLATES / "refuted" / f"predicates.{entry.name}.surg"
    template = own if own.is_file() else TEMPLATES / "refuted" / "predicates.surg"
    text = render(template, entry.word, entry.card.example, entry.card.fixture)
    plan = plan_of(workbench, text)
    report = check(plan, workbench.lock(plan))
    verdicts = [v for v in report.verdicts if v.verb == "prove"]
    assert [v.status for v in verdicts] == ["refuted"]
    assert report.failed
    assert not PREDICATES[entry.name](property_of(plan), run(text))
