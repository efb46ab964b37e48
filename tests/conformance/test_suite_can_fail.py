"""The suite notices every promise that a word breaks: each wrong word fails just the tests that are about it."""

import importlib
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from surgery_dsl.run import exactness
from surgery_dsl.run.steps import Steps
from surgery_dsl.vocabulary import catalogue
from tests.conformance import definitions, live, test_cards, test_gates, test_promises
from tests.conformance.words import Entry
from tests.conformance.workbench import Workbench

FOLDER = Path(__file__).parent / "wrong"

RUN = {
    "test_traced_interface_is_the_predicted_one",
    "test_nothing_is_written_that_was_not_declared",
    "test_what_a_step_brings_is_there",
    "test_what_keeps_the_function_keeps_it",
    "test_rollback_is_bit_exact",
    "test_result_reloads_to_the_same_bits",
    "test_equal_seeds_give_equal_bits",
    "test_what_needs_a_seed_draws_and_nothing_else_does",
    "test_card_covers_what_the_word_does",
    "test_card_claims_no_more_than_some_use_reaches",
}
"""Tests that look at a network; they fail all together where no plan with the word runs."""

FAILS: dict[str, set[str]] = {
    "keeps_its_word": set(),
    "hides_a_change": {"test_traced_interface_is_the_predicted_one"},
    "writes_undeclared": {"test_nothing_is_written_that_was_not_declared"},
    "claims_to_be_exact": {"test_what_keeps_the_function_keeps_it"},
    "claims_to_write_nothing": {
        "test_what_keeps_the_function_keeps_it",
        "test_card_covers_what_the_word_does",
        "test_card_claims_no_more_than_some_use_reaches",
    },
    "draws_freely": {"test_equal_seeds_give_equal_bits", "test_what_needs_a_seed_draws_and_nothing_else_does"},
    "works_behind_the_back": RUN,  # the result does not even reload
    "leaves_something": {"test_rollback_is_bit_exact"},
    "says_too_little": {"test_card_covers_what_the_word_does"},
    "boasts": {"test_card_claims_no_more_than_some_use_reaches"},
    "is_not_final": {"test_class_is_final_and_concrete"},
    "is_called_otherwise": {"test_class_is_called_as_its_file"},
    "explains_nothing": {"test_docstring_says_everything"},
    "misses_wrongly": {"test_near_miss_gives_its_code_first"},
    "misses_nothing": {"test_near_miss_gives_its_code_first"},
    "knows_no_code": {"test_near_miss_code_exists_and_has_a_page", "test_near_miss_gives_its_code_first"},
    "has_a_bad_example": RUN
    | {
        "test_example_lowers",
        "test_plan_survives_json",
        "test_example_has_no_findings_before_it_runs",
    },
    "is_badly_spaced": {"test_example_is_formatted"},
    "says_too_much": {"test_card_is_complete"},
    "stands_nowhere": RUN
    | {
        "test_card_is_complete",
        "test_example_lowers",
        "test_plan_survives_json",
        "test_example_is_formatted",
        "test_near_miss_gives_its_code_first",
        "test_example_has_no_findings_before_it_runs",
    },
    "needs_torch": {"test_words_import_without_torch"},
}
"""What each wrong transform fails, and nothing else."""


@pytest.fixture
def _wrong_words(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the catalogue find the wrong words as if they stood among the others."""
    names, exists = catalogue.names, catalogue.exists
    wrong = {kind.name: [path.stem for path in kind.glob("*.py")] for kind in FOLDER.iterdir() if kind.is_dir()}
    for kind in wrong:
        package = importlib.import_module(f"surgery_dsl.vocabulary.{kind}")
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(FOLDER / kind)])
    monkeypatch.setattr(catalogue, "exists", lambda kind, name: exists(kind, name) or name in wrong.get(kind, ()))
    monkeypatch.setattr(catalogue, "names", lambda kind: tuple(sorted([*names(kind), *wrong.get(kind, ())])))
    # The run refuses most of these by itself; here the suite's own eyes are tested.
    monkeypatch.setattr(Steps, "_compare", lambda *_, **__: None)
    monkeypatch.setattr(Steps, "_refuse_undeclared", lambda *_, **__: None)
    monkeypatch.setattr(exactness, "refuse_other", lambda *_: None)
    yield
    catalogue.find.cache_clear()


def failed(entry: Entry, tests: dict[str, Callable[..., None]], given: dict[str, Any]) -> set[str]:
    """Return the names of the tests that a word does not pass."""
    found = set()
    for name, test in tests.items():
        wanted = {key: value for key, value in given.items() if key in inspect.signature(test).parameters}
        try:
            test(**wanted | ({"entry": entry} if "entry" in inspect.signature(test).parameters else {}))
        except Exception:  # noqa: BLE001 - whatever a test raises, it does not pass
            found.add(name)
    return found


def gathered(*modules: Any) -> dict[str, Callable[..., None]]:
    return {name: item for module in modules for name, item in vars(module).items() if name.startswith("test_")}


@pytest.mark.usefixtures("_wrong_words")
@pytest.mark.parametrize("name", FAILS)
def test_a_wrong_word_fails_what_it_breaks(name: str, workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry("transforms", name)
    monkeypatch.setattr(test_cards, "ALL", [entry])  # what is imported without torch
    tests = gathered(test_cards, test_promises)
    for about_no_word in ("test_every_kind_is_explained", "test_training_that_f16_cannot_do_says_what_can"):
        del tests[about_no_word]
    if name != "needs_torch":
        del tests["test_words_import_without_torch"]  # a process for each would take long
    given = {"workbench": workbench, "runs": test_promises.Runs(workbench)}
    assert failed(entry, tests, given) == FAILS[name]


def test_every_wrong_word_is_tried() -> None:
    assert {path.stem for path in (FOLDER / "transforms").glob("*.py")} == FAILS.keys()
    assert gathered(test_promises).keys() >= RUN


@pytest.mark.usefixtures("_wrong_words")
def test_wrong_bounds_and_missing_definitions_are_noticed(
    workbench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = Entry("quantities", "counts_wrong")

    def run(text: str) -> live.Operation:
        return live.operate(workbench, text)

    with pytest.raises(AssertionError):
        test_gates.test_bounds_are_what_is_measured(entry, "mlp", workbench, run)
    with pytest.raises(AssertionError, match=r"definitions\.py"):
        test_gates.test_measured_value_is_the_definition(entry, workbench, run)
    monkeypatch.setitem(definitions.QUANTITIES, "counts_wrong", lambda *_: 3.0)
    with pytest.raises(AssertionError):
        test_gates.test_measured_value_is_the_definition(entry, workbench, run)


@pytest.mark.usefixtures("_wrong_words")
def test_a_predicate_that_always_holds_is_noticed(workbench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry("predicates", "always_holds")
    monkeypatch.setitem(definitions.PREDICATES, "always_holds", definitions.exact)

    def run(text: str) -> live.Operation:
        return live.operate(workbench, text)

    test_gates.test_predicate_that_holds_is_proved_and_true(entry, workbench, run)
    with pytest.raises(AssertionError):
        test_gates.test_predicate_that_does_not_hold_is_refuted_and_false(entry, workbench, run)


CHANGES: dict[str, Callable[[nn.Module], object]] = {
    "a weight": lambda model: nn.init.zeros_(model.get_parameter("head.weight")),
    "an integer": lambda model: setattr(model.get_submodule("head"), "in_features", 3),
    "a mode": lambda model: model.get_submodule("act.0").train(),
    "a gradient": lambda model: setattr(model.get_parameter("head.bias"), "grad", torch.ones(10)),
    "what needs gradients": lambda model: model.get_parameter("head.bias").requires_grad_(False),
    "a hook": lambda model: model.get_submodule("head").register_forward_hook(lambda *_: None),
    "a module": lambda model: setattr(model.get_submodule("act"), "0", nn.ReLU()),
    "a tensor object": lambda model: setattr(
        model.get_submodule("head"), "bias", nn.Parameter(model.get_parameter("head.bias").detach().clone())
    ),
    "an order": lambda model: model._modules.update(head=model._modules.pop("head"), act=model._modules.pop("act")),
    "a class": lambda model: setattr(model.get_submodule("act.0"), "__class__", nn.GELU),
    "a class's attribute": lambda model: setattr(type(model), "odd", 1),
    "random numbers": lambda model: torch.rand(1),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_fingerprint_shows_every_change(what: str) -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ModuleList([nn.ReLU()])
            self.head = nn.Linear(4, 10)

    model = Own().eval()
    before = live.fingerprint(model)
    assert live.fingerprint(model) == before
    CHANGES[what](model)
    assert live.fingerprint(model) != before
