"""A report as data: sections of paragraphs, tables and plots. Every text is plain: renderers make it harmless."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

CODE = re.compile(r"`([^`]+)`")
"""What stands between backticks in a text is shown as code."""

Kind = Literal["text", "name", "number", "status"]
"""What a column holds: prose, names of modules and files, numbers, or words such as ``passed``."""

SHORT, LONG = 32, 48
"""Characters up to which a text is best in one line, and from which it needs room for several."""

LONGEST = 120
"""Rows of one table that are shown; the certificate has the others."""


@final
@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    title: str
    kind: Kind = "text"


@final
@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first column names what its rows are about.

    Attributes:
        caption: What it shows.
        columns: As many as each row has cells.
        rows: Cells as plain text.
        left_out: How many rows more there are.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    left_out: int = 0


def table(caption: str, columns: tuple[Column, ...], rows: Sequence[tuple[str, ...]]) -> Table:
    """Return a table of at most :data:`LONGEST` rows, which says how many it leaves out; empty columns are dropped."""
    kept = [at for at in range(len(columns)) if at == 0 or any(row[at] for row in rows)]
    shown = tuple(tuple(row[at] for at in kept) for row in rows[:LONGEST])
    return Table(caption, tuple(columns[at] for at in kept), shown, max(0, len(rows) - LONGEST))


@final
@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph."""

    text: str


@final
@dataclass(frozen=True, slots=True)
class Items:
    """A list of sentences."""

    items: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Code:
    """Lines to type or to read as they stand."""

    text: str


@final
@dataclass(frozen=True, slots=True)
class Warn:
    """Something wrong with the result itself, said before all else."""

    title: str
    items: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True)
class Series:
    """A line of a plot: points in the order of x."""

    name: str
    points: tuple[tuple[float, float], ...]


@final
@dataclass(frozen=True, slots=True)
class LinePlot:
    """Lines over a number."""

    title: str
    description: str
    x: str
    y: str
    series: tuple[Series, ...]


@final
@dataclass(frozen=True, slots=True)
class BarPlot:
    """One bar from zero for each name, drawn in the order given."""

    title: str
    description: str
    unit: str
    bars: tuple[tuple[str, float], ...]


@final
@dataclass(frozen=True, slots=True)
class Interval:
    """What an attack reached, what is bounded, and the limit, of one claim."""

    name: str
    low: float
    high: float
    limit: float | None


@final
@dataclass(frozen=True, slots=True)
class IntervalPlot:
    """For each claim the interval between attack and bound, with the limit; each on an axis of its own, from zero."""

    title: str
    description: str
    intervals: tuple[Interval, ...]


@final
@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values lie in each of equally wide bins.

    Attributes:
        title: What is counted.
        description: What is to be seen.
        x: What the values are.
        low: Where the first bin begins.
        high: Where the last one ends.
        counts: How many values each bin holds.
        marks: Values to point out, with their names.
    """

    title: str
    description: str
    x: str
    low: float
    high: float
    counts: tuple[int, ...]
    marks: tuple[tuple[str, float], ...] = ()


Plot = LinePlot | BarPlot | IntervalPlot | Histogram


@final
@dataclass(frozen=True, slots=True)
class Fold:
    """Parts that are read on demand, under a line that says what they are."""

    summary: str
    parts: "tuple[Part, ...]"


FEW = 24
"""Rows up to which a long table is shown at once."""


def folded(one: Table) -> "Part":
    """Return a table, folded away where it is long."""
    rows = len(one.rows) + one.left_out
    return one if rows <= FEW else Fold(f"{one.caption}: {rows:,} rows", (one,))


Part = Text | Items | Code | Table | Plot | Fold


@final
@dataclass(frozen=True, slots=True)
class Section:
    """A section; ``name`` is unique and stays, so that others can point to it."""

    name: str
    title: str
    parts: tuple[Part, ...]
    sections: "tuple[Section, ...]" = ()


@final
@dataclass(frozen=True, slots=True)
class Document:
    """A whole report.

    Attributes:
        title: Its heading.
        verdict: The one word that matters most.
        warnings: What is wrong with the result.
        lead: What stands before the first section.
        sections: The sections.
    """

    title: str
    verdict: str
    warnings: tuple[Warn, ...]
    lead: tuple[Part, ...]
    sections: tuple[Section, ...]
