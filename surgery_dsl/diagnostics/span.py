"""A place in a plan."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open range of characters of one source text.

    Lines and columns count from 1 in Unicode code points; ``end_column`` is exclusive.
    """

    line: int
    column: int
    end_line: int
    end_column: int

    def to(self, other: "Span") -> "Span":
        """Return the smallest span that covers this one and a later one."""
        return Span(self.line, self.column, other.end_line, other.end_column)
