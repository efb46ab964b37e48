"""An edit of a plan's text, as a value that an editor can apply."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from surgery_dsl.diagnostics.span import Span

Verified = Literal["accepted", "ended", "read"]
"""What checking the edited text again said."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """What stands in the place of a range of characters; an empty range inserts."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """One edit that ends a finding. It is a fix only after the edited text was checked again.

    Attributes:
        title: What it does, as the help says it.
        replacements: What changes; ranges do not overlap.
        verified: ``accepted`` where the edited plan is accepted, ``ended`` where this finding is gone, none is new and
            others remain, ``read`` where it is gone and there was no network to check the rest against.
        loosens: Whether the edited plan lets pass, do or rest on more than the plan as it is, or whether that cannot
            be excluded. A person has to want this.
    """

    title: str
    replacements: tuple[Replacement, ...]
    verified: Verified = "read"
    loosens: bool = True


class Lines:
    """Where the characters of a text stand. Final."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts = [0]
        for line in text.split("\n"):
            self._starts.append(self._starts[-1] + len(line) + 1)

    def offset(self, line: int, column: int) -> int:
        """Return the index of a character; places behind the text are its end."""
        if line >= len(self._starts):
            return len(self.text)
        return min(self._starts[line - 1] + column - 1, len(self.text))

    def at(self, span: Span) -> str:
        """Return what stands in a range."""
        return self.text[self.offset(span.line, span.column) : self.offset(span.end_line, span.end_column)]

    def line(self, number: int) -> str:
        """Return a line without its end."""
        return (
            self.text[self.offset(number, 1) : max(self._starts[number] - 1, 0)] if number < len(self._starts) else ""
        )


def applied(text: str, replacements: Iterable[Replacement]) -> str:
    """Return a text with some ranges replaced."""
    lines = Lines(text)
    for change in sorted(replacements, key=lambda one: one.span, reverse=True):
        start = lines.offset(change.span.line, change.span.column)
        end = lines.offset(change.span.end_line, change.span.end_column)
        text = text[:start] + change.text + text[end:]
    return text
