"""What a difference between two plans is, as data."""

from typing import Any, Literal

from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.model import Data

Ruling = Literal["loosened", "tightened", "changed", "cosmetic"]
Subject = Literal[
    "obligation", "contract", "trust", "inputs", "data", "param", "selection", "step", "training", "order"
]

UNCOMPARED = "which is looser cannot be said, so it counts as loosened"


class Place(Data):
    """A line of one of the plans."""

    line: int
    text: str


class Difference(Data):
    """One difference in meaning.

    Attributes:
        ruling: ``loosened`` where the later plan lets pass, do or rest on more than the earlier one, or where that
            cannot be excluded; ``tightened`` where it lets less; ``changed`` where it does something else, held to the
            same; ``cosmetic`` where only the spelling differs.
        subject: What it is about.
        block: Kind and name of the block.
        what: What differs, in words.
        before: The line of the earlier plan; null where there is none.
        after: The line of the later plan; null where there is none.
    """

    ruling: Ruling
    subject: Subject
    block: str
    what: str
    before: Place | None = None
    after: Place | None = None


class Source:
    """The lines of a plan's text. Final."""

    def __init__(self, text: str) -> None:
        self._lines = text.splitlines()

    def place(self, span: Span | None) -> Place | None:
        """Return a line, by the place of something in it."""
        if span is None or not 1 <= span.line <= len(self._lines):
            return None
        return Place(line=span.line, text=self._lines[span.line - 1].strip())


def bare(value: Any, without: tuple[str, ...] = ()) -> Any:
    """Return data without the places where it stands in a text, and without some fields; what is left can be hashed."""
    if isinstance(value, Data):
        value = value.model_dump()
    if isinstance(value, dict):
        left_out = ("span", "spans", *without)
        return tuple(sorted((key, bare(item, without)) for key, item in value.items() if key not in left_out))
    if isinstance(value, list | tuple):
        return tuple(bare(item, without) for item in value)
    if isinstance(value, set | frozenset):
        return tuple(sorted(bare(item, without) for item in value))
    return value
