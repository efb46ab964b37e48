"""Words behind one another: plans of several steps, drawn from the templates, hold together as each step does alone.

Every drawn plan is one that ``check`` accepts. It must run as predicted, and what ``check`` proved of its end, for
every outcome, must hold for the outcome at hand.
"""

import random
import re

import pytest

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.canonical import differences
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.bookkeeping import extremes
from surgery_dsl.proof.check import check
from surgery_dsl.vocabulary.kinds import Quantity
from tests.conformance import networks
from tests.conformance.live import Operation, operate, written
from tests.conformance.words import TEMPLATES, Entry, entries
from tests.conformance.workbench import Workbench

STEPS = [
    (entry, template)
    for entry in entries("criteria", "losses", "modes", "takes", "trainables", "transforms", "units")
    for template in entry.templates()
]
NAMES = ("chosen", "step", "head", "tune")
PLANS = 6
"""Plans for each seed."""

DATA_DECIDES = {
    "SD129": "an index that a smaller layer does not have",
    "SD221": "everything that an earlier choice left",
    "SD222": "too few units left to round to one",
    "SD234": "the host's own forward pairs two lists",
    "SD519": "what a step made zero still gives a constant that nothing can hold",
    "SD306": "a take that looks for something finds none",
}
"""What may be refused only as the plan runs, because an earlier choice or the data decides it."""


def header(network: str) -> str:
    """Everything before the steps."""
    text = Entry("modes", "remove").example(TEMPLATES / "modes.surg", network)
    return text.partition("identify")[0]


def steps(entry: Entry, template: str, network: str, number: int) -> str:
    """The steps of a template under names of their own."""
    text = entry.example(TEMPLATES / template, network)
    body = text[re.search(r"^(identify|replace|recover)\b", text, re.M).start() :]  # type: ignore[union-attr]
    return re.sub(rf"\b({'|'.join(NAMES)})(?= \{{| *$|\)|, every)", rf"\g<1>_{number}", body, flags=re.M)


def drawn(seed: int, bench: Workbench) -> list[str]:
    """Plans that check accepts: each step is drawn until one fits behind the last."""
    choice = random.Random(seed)
    plans = []
    while len(plans) < PLANS:
        network = choice.choice(sorted(networks.INPUTS))
        plan, count = header(network), 0
        for number in range(3):
            for _ in range(10):
                entry, template = choice.choice(STEPS)
                trial = plan + steps(entry, template.name, network, number)
                if not bench.errors(trial):
                    plan, count = trial, count + 1
                    break
        if count > 1:
            plans.append(plan)
    return plans


@pytest.mark.parametrize("seed", range(6))
def test_what_is_accepted_runs_as_predicted(seed: int, workbench: Workbench) -> None:
    ran = 0
    for text in drawn(seed, workbench):
        operation = _run(workbench, text)
        if isinstance(operation, Refused):
            assert operation.diagnostics[0].code.id in DATA_DECIDES, f"{operation}\n{text}"
            continue
        ran += 1
        for moment in operation.moments:
            assert differences(moment.predicted.interface, moment.after.interface) == (), text
            assert written(moment) <= moment.effect.writes, text
        assert operation.untouched[0] == operation.untouched[1], text
        assert operation.reloaded is not None
        assert operation.reloaded.digests == operation.final.digests, text
        assert _outside(operation, text, workbench) == [], text
    assert ran > PLANS // 2


def _run(bench: Workbench, text: str) -> Operation | Refused:
    try:
        return operate(bench, text, folder=bench.new_folder())
    except Refused as refused:
        return refused


def _outside(operation: Operation, text: str, bench: Workbench) -> list[str]:
    """Quantities whose value lies outside of what was proved for every outcome."""
    plan, _ = read_plan(text, str(bench.folder / "plan.surg"))
    assert plan is not None
    end = check(plan, bench.lock(plan)).end
    found = []
    for entry in entries("quantities"):
        if not getattr(entry.word, "static", False) or any(field.is_required() for field in _fields(entry)):
            continue
        word = entry.word()
        assert isinstance(word, Quantity)
        low, high = word.bounds(end.interface, end.static())
        least, most = extremes(end.interface, low)[0], extremes(end.interface, high)[1]
        value = word.measure(operation.final.model, operation.state.interface, operation.session) * word.denominator
        if not least <= value <= most:
            found.append(f"{entry.name}: {value} is not in {least}..{most}")
    return found


def _fields(entry: Entry) -> list[object]:
    return list(entry.word.model_fields.values())
