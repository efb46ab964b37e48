"""Which steps of a plan read which data: what made or chose the network is no evidence of what it does."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.interface.model import Data
from surgery_dsl.language.plan import Control, Excise, Identify, Plan, Recover, Replace, Search, Step
from surgery_dsl.proof.words import data_names
from surgery_dsl.vocabulary.word import Word

WRITTEN = {"transform": "with", "sites": "in"}
"""How attributes are written, where the typed plan calls them otherwise."""


@dataclass(frozen=True)
class Touch:
    """A step that reads a data set, and where the plan says so."""

    step: str
    data: str
    span: Span | None


def touches(plan: Plan, block: str, data: str, facts: Mapping[str, DataFacts]) -> Iterator[Touch]:
    """Yield the steps before a control block that read a data set, or the same data under another name."""
    digest = facts[data].digest if data in facts else None
    for step in plan.steps:
        if isinstance(step, Control) and step.name == block:
            return
        for name, span in reads(step):
            if name == data or (digest is not None and name in facts and facts[name].digest == digest):
                yield Touch(step.name, name, span)


def reads(step: Step) -> Iterator[tuple[str, Span | None]]:
    """Yield the data sets that a step makes or chooses the network by, each with its place."""
    if not isinstance(step, Identify | Excise | Replace | Recover | Search):
        return
    for attribute in type(step).model_fields:
        value = getattr(step, attribute)
        span = step.spans.get(WRITTEN.get(attribute, attribute), step.span)
        names = value if isinstance(step, Recover) and attribute == "data" else _named(value)
        for name in names:
            yield name, span


def _named(value: Any) -> Iterator[str]:
    if isinstance(value, Word):
        yield from data_names(value)
    elif isinstance(value, tuple):
        for item in value:
            yield from _named(item)
    elif isinstance(value, Data):
        for name in type(value).model_fields:
            yield from _named(getattr(value, name))
