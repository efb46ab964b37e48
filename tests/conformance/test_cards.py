"""What a word says of itself is complete and true, as far as that can be told without running it."""

import inspect
import subprocess
import sys

from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.diagnostics.page import all_codes, find_page
from surgery_dsl.language.expectation import fields
from surgery_dsl.language.format import format_source
from surgery_dsl.language.plan import Plan
from surgery_dsl.vocabulary import catalogue
from surgery_dsl.vocabulary.word import Card
from tests.conformance import networks
from tests.conformance.live import operate
from tests.conformance.promises import (
    FUNCTIONS,
    INTERFACES,
    NEEDS,
    docstring_gaps,
    is_final,
    word_of_name,
)
from tests.conformance.words import Entry, each, entries
from tests.conformance.workbench import Workbench

ALL = entries()


@each(ALL)
def test_class_is_called_as_its_file(entry: Entry) -> None:
    assert entry.word.__name__ == word_of_name(entry.name)
    assert (entry.word.kind, entry.word.name) == (entry.kind, entry.name)


@each(ALL)
def test_class_is_final_and_concrete(entry: Entry) -> None:
    assert is_final(entry.word), f"{entry} lacks @final"
    assert not entry.word.__subclasses__()
    assert not inspect.isabstract(entry.word)


@each(ALL)
def test_docstring_says_everything(entry: Entry) -> None:
    assert docstring_gaps(entry.word) == []


@each(ALL)
def test_card_is_complete(entry: Entry) -> None:
    card = entry.word.__dict__.get("card")
    assert isinstance(card, Card), f"{entry} has no card of its own"
    assert 0 < len(card.summary) < 80
    assert "\n" not in card.summary
    assert card.summary[0].isupper()
    assert not card.summary.endswith(".")
    assert card.source.strip()
    assert card.example.strip()
    assert card.near_miss.strip()
    assert card.function in FUNCTIONS
    assert card.interface <= INTERFACES
    assert card.needs <= NEEDS
    assert card.fixture in networks.INPUTS


@each(ALL)
def test_positional_arguments_are_arguments(entry: Entry) -> None:
    known = {field for field, _ in fields(entry.word).values()}
    assert {name.lstrip("*") for name in entry.word.positional} <= known
    assert not any(name.startswith("*") for name in entry.word.positional[:-1])


@each(ALL)
def test_near_miss_code_exists_and_has_a_page(entry: Entry) -> None:
    assert entry.card.near_miss_code in {code.id for code in all_codes()}
    page = find_page(entry.card.near_miss_code)
    assert page is not None


@each(ALL)
def test_example_lowers(entry: Entry, workbench: Workbench) -> None:
    plan, found = workbench.read(workbench.example(entry))
    assert [f"{d.code.id} {d.message}" for d in found] == []
    assert plan is not None
    assert f'"word":"{entry}"' in plan.model_dump_json(), "the example's template does not use the word"


@each(ALL)
def test_plan_survives_json(entry: Entry, workbench: Workbench) -> None:
    plan, _ = workbench.read(workbench.example(entry))
    assert plan is not None
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


@each(ALL)
def test_example_is_formatted(entry: Entry, workbench: Workbench) -> None:
    example = workbench.example(entry)
    formatted, found = format_source(example)
    assert not found
    assert formatted == example


@each(ALL)
def test_near_miss_gives_its_code_first(entry: Entry, workbench: Workbench) -> None:
    text = entry.near_miss(workbench.template(entry))
    errors = workbench.errors(text) or refusals(workbench, text)
    assert [d.code.id for d in errors[:1]] == [entry.card.near_miss_code], [d.message for d in errors]
    assert errors[0].help, "a refusal names one fix that works"


def refusals(bench: Workbench, text: str) -> list[Diagnostic]:
    """What refuses a plan while it runs, where nothing did before."""
    try:
        operate(bench, text)
    except Refused as refused:
        return list(refused.diagnostics)
    return []


@each(ALL)
def test_example_has_no_findings_before_it_runs(entry: Entry, workbench: Workbench) -> None:
    found = workbench.findings(workbench.example(entry))
    assert [f"{d.code.id} {d.message}" for d in found] == []


def test_words_import_without_torch() -> None:
    """All of them in one process: a single import at module level would show."""
    program = f"""
import sys
class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {{"torch", "numpy", "sklearn", "safetensors", "transformers", "z3"}}:
            raise ImportError("banned: " + name)
sys.meta_path.insert(0, Guard())
from surgery_dsl.vocabulary import catalogue
for kind, name in {[(entry.kind, entry.name) for entry in ALL]!r}:
    catalogue.find(kind, name)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_kind_is_explained() -> None:
    """A folder of words says what slot takes them."""
    import importlib

    silent = [
        kind for kind in catalogue.kinds() if not importlib.import_module(f"surgery_dsl.vocabulary.{kind}").__doc__
    ]
    assert silent == []
