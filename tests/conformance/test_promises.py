"""What every word does to a network is what it says, on the network that its card names."""

from collections.abc import Iterator
from functools import cache
from typing import Literal

import pytest
import torch

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.evidence.identities._identity import names as identities
from surgery_dsl.interface.canonical import differences
from surgery_dsl.vocabulary.context import Effect
from tests.conformance.live import (
    Moment,
    Operation,
    created,
    interface_effects,
    operate,
    written,
)
from tests.conformance.words import Entry, each, entries
from tests.conformance.workbench import Workbench

ROUNDING = {"": 1e-5, "f64": 1e-10}
STRENGTH = ["none", "exact", "bounded", "changing"]

OPERATING = entries(
    "criteria",
    "datasets",
    "initializers",
    "losses",
    "modes",
    "models",
    "optimizers",
    "predicates",
    "quantities",
    "rates",
    "schedules",
    "sites",
    "takes",
    "trainables",
    "transforms",
    "units",
)


class Runs:
    """Every plan is run once for each dtype, however many tests look at it."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self._of = cache(self._attempt)

    def _attempt(self, text: str, dtype: Literal["", "f64"]) -> Operation | Exception:
        try:
            return operate(self.bench, text, dtype, None if dtype else self.bench.new_folder())
        except Exception as error:  # noqa: BLE001 - raised again for each test that looks at it
            return error

    def of(self, text: str, dtype: Literal["", "f64"] = "") -> Operation:
        """Return what came of a plan."""
        found = self._of(text, dtype)
        if isinstance(found, Exception):
            raise found
        return found

    def all(self, entry: Entry, dtype: Literal["", "f64"] = "") -> Iterator[Operation]:
        """Run the example of a word wherever ``check`` has nothing against it."""
        accepted = self.bench.accepted(entry)
        assert accepted, [f"{d.code.id} {d.message}" for d in self.bench.errors(self.bench.example(entry))]
        for template in accepted:
            yield self.of(entry.example(template), dtype)


@pytest.fixture(scope="module")
def runs(workbench: Workbench) -> Runs:
    return Runs(workbench)


def moments(found: Iterator[Operation]) -> Iterator[tuple[Operation, Moment]]:
    for operation in found:
        for moment in operation.moments:
            yield operation, moment


@each(OPERATING)
def test_traced_interface_is_the_predicted_one(entry: Entry, runs: Runs) -> None:
    for _, moment in moments(runs.all(entry)):
        assert differences(moment.predicted.interface, moment.after.interface) == (), f"{moment}"


@each(OPERATING)
def test_nothing_is_written_that_was_not_declared(entry: Entry, runs: Runs) -> None:
    for _, moment in moments(runs.all(entry)):
        assert written(moment) <= moment.effect.writes, f"{moment}"
        assert created(moment) <= moment.effect.creates <= set(moment.after.digests), f"{moment}"
        anew = moment.effect.creates & set(moment.before.digests)
        assert anew <= moment.effect.writes | moment.effect.renamed.keys(), f"{moment}"


@each(OPERATING)
def test_what_a_step_brings_is_there(entry: Entry, runs: Runs) -> None:
    for _, moment in moments(runs.all(entry)):
        before, after = moment.before.interface.module_by_path, moment.after.interface.module_by_path
        assert set(moment.effect.brings) <= set(after), f"{moment}"
        new = {path for path in after if path not in before}
        tops = (*moment.effect.brings, *_moved(moment))
        assert all(any(path == top or path.startswith(f"{top}.") for top in tops) for path in new), moment


def _moved(moment: Moment) -> Iterator[str]:
    """Yield the paths that modules have moved to: where the names of a tensor before and after part."""
    for old, new in moment.effect.renamed.items():
        parts = new.split(".")
        odd = next((i for i, (a, b) in enumerate(zip(old.split("."), parts, strict=False)) if a != b), 0)
        yield ".".join(parts[: odd + 1])


@each(OPERATING)
def test_what_keeps_the_function_keeps_it(entry: Entry, runs: Runs) -> None:
    for operation, moment in moments(runs.all(entry)):
        _holds(moment, operation.inputs, "")
    if any(moment.effect.function == "exact" for _, moment in moments(runs.all(entry))):
        for operation, moment in moments(runs.all(entry, "f64")):
            _holds(moment, operation.inputs, "f64")


def _holds(moment: Moment, inputs: torch.Tensor, dtype: str) -> None:
    if moment.effect.function == "exact":
        assert moment.effect.rule in identities(), f"{moment}"
        before, after = moment.before.outputs(inputs), moment.after.outputs(inputs)
        scale = max(1.0, float(before.abs().max()))
        rounding = max(ROUNDING[dtype], 8 * torch.finfo(before.dtype).eps)  # in 16 bits steps are coarse
        assert float((before - after).abs().max()) <= rounding * scale, f"{moment}"
    if moment.effect.function == "none":
        assert moment.before.digests == moment.after.digests, f"{moment}"


@each(OPERATING)
def test_rollback_is_bit_exact(entry: Entry, runs: Runs) -> None:
    for operation in runs.all(entry):
        before, after = operation.untouched
        assert before == after


@each(OPERATING)
def test_result_reloads_to_the_same_bits(entry: Entry, runs: Runs) -> None:
    for operation in runs.all(entry):
        assert operation.reloaded is not None
        assert operation.reloaded.digests == operation.final.digests
        assert differences(operation.final.interface, operation.reloaded.interface) == ()
        assert torch.equal(operation.final.outputs(operation.inputs), operation.reloaded.outputs(operation.inputs))


@each(OPERATING)
def test_equal_seeds_give_equal_bits(entry: Entry, runs: Runs, workbench: Workbench) -> None:
    first = list(runs.all(entry))
    torch.rand(7)  # what was drawn before may not matter
    again = [operate(workbench, entry.example(template)) for template in workbench.accepted(entry)]
    assert [operation.final.digests for operation in again] == [operation.final.digests for operation in first]


@each(entries("criteria", "initializers", "modes", "transforms"))
def test_what_needs_a_seed_draws_and_nothing_else_does(entry: Entry, runs: Runs, workbench: Workbench) -> None:
    first = list(runs.all(entry))
    other = [operate(workbench, entry.example(template), seed=3) for template in workbench.accepted(entry)]
    drew = any(a.final.digests != b.final.digests for a, b in zip(first, other, strict=True))
    assert drew == ("seed" in entry.card.needs)


@each(entries("modes", "transforms"))
def test_card_covers_what_the_word_does(entry: Entry, runs: Runs) -> None:
    for _, moment in moments(runs.all(entry)):
        word = getattr(moment.run.step, "mode", None) or getattr(moment.run.step, "transform", None)
        if not isinstance(word, entry.word):
            continue
        assert interface_effects(moment) <= entry.card.interface, f"{moment}"
        assert _strength(moment.effect) >= STRENGTH.index(entry.card.function), f"{moment}"


def _strength(effect: Effect) -> int:
    return STRENGTH.index(effect.function)


@each(entries("modes", "transforms"))
def test_card_claims_no_more_than_some_use_reaches(entry: Entry, runs: Runs) -> None:
    """An effect that no example shows is a promise that nothing holds the word to."""
    reached = {
        moment.effect.function
        for _, moment in moments(runs.all(entry))
        if isinstance(getattr(moment.run.step, "mode", None) or getattr(moment.run.step, "transform", None), entry.word)
    }
    assert entry.card.function in reached


def test_training_that_f16_cannot_do_says_what_can(workbench: Workbench) -> None:
    """AdamW divides by the root of a second moment plus 1e-8, which is zero in f16."""
    entry = Entry("optimizers", "adamw")
    with pytest.raises(Refused) as caught:
        operate(workbench, workbench.example(entry), dtype="f16")
    assert caught.value.diagnostics[0].code.id == "SD504"
    assert "bf16" in caught.value.diagnostics[0].help
    assert operate(workbench, workbench.example(entry), dtype="bf16").moments
