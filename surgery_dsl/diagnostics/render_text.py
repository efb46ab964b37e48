"""Diagnostics as text for people: the finding, its place in the plan, notes and one fix.

Written by hand rather than with a library: a library takes longer to import than ``check`` has time for, and text
of the user must never be read as markup.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from surgery_dsl.diagnostics.code import Severity
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.plain import cells, columns, plain
from surgery_dsl.diagnostics.span import Span

WIDTH = 120
_COLORS = {Severity.ERROR: "1;31", Severity.WARNING: "1;33", Severity.NOTE: "1;36"}
_GUTTER, _BOLD, _HELP = "1;34", "1", "1;32"
_NEAR = 2


@dataclass(frozen=True, slots=True)
class _Mark:
    """One underlined place of a line."""

    line: int
    start: int
    end: int
    text: str
    primary: bool


class _Painter:
    """Adds colour, or does not."""

    def __init__(self, color: bool) -> None:
        self.color = color

    def __call__(self, style: str, text: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self.color and text else text


def render_text(
    diagnostics: Iterable[Diagnostic], sources: Mapping[str, str], color: bool = False, width: int = WIDTH
) -> str:
    """Return the diagnostics as text, without a line end at the end.

    ``sources`` maps the paths that diagnostics name to their texts; where one is missing, no source is shown.
    Control characters, terminal escapes and bidirectional marks in messages and sources are written out. ``color``
    adds ANSI colours; ``width`` is where notes wrap and long source lines are cropped.
    """
    painter = _Painter(color)
    return "\n\n".join("\n".join(_one(d, sources, painter, max(width, 40))) for d in diagnostics)


def _one(diagnostic: Diagnostic, sources: Mapping[str, str], paint: _Painter, width: int) -> list[str]:
    style = _COLORS[diagnostic.severity]
    head = paint(style, f"{diagnostic.severity}[{diagnostic.code.id}]") + paint(_BOLD, f": {plain(diagnostic.message)}")
    lines = [head]
    marks = _marks(diagnostic)
    gutter = len(str(max((mark.line for mark in marks), default=1)))
    if diagnostic.file:
        place = plain(diagnostic.file)
        if diagnostic.span is not None:
            place += f":{diagnostic.span.line}:{diagnostic.span.column}"
        lines.append(f"{' ' * gutter}{paint(_GUTTER, '-->')} {place}")
    source = sources.get(diagnostic.file)
    if source is not None and marks:
        lines.extend(_window(source.split("\n"), marks, gutter, style, paint, width))
    lines.extend(_remarks(diagnostic, gutter, paint, width))
    return lines


def _marks(diagnostic: Diagnostic) -> list[_Mark]:
    marks = [_mark(label.span, label.text, primary=False) for label in diagnostic.labels]
    if diagnostic.span is not None:
        marks.append(_mark(diagnostic.span, diagnostic.label, primary=True))
    return sorted(marks, key=lambda mark: (mark.line, mark.start))


def _mark(span: Span, text: str, primary: bool) -> _Mark:
    # A place that goes on over several lines is underlined to the end of its first one.
    end = span.end_column if span.end_line == span.line else 1 << 30
    return _Mark(span.line, span.column, end, text, primary)


def _window(source: list[str], marks: list[_Mark], gutter: int, style: str, paint: _Painter, width: int) -> list[str]:
    """Return the marked source lines, each with its marks below it."""
    bar = paint(_GUTTER, "|")
    margin = " " * gutter
    lines = [f"{margin} {bar}"]
    numbers = sorted({mark.line for mark in marks})
    shown = set(numbers)
    for one, other in pairwise(numbers):
        if other - one == _NEAR:
            shown.add(one + 1)
    before = 0
    for number in sorted(shown):
        if before and number - before > 1:
            lines.append(f"{margin} {paint(_GUTTER, ':')}")
        before = number
        here = [mark for mark in marks if mark.line == number]
        text = source[number - 1].rstrip("\r") if number <= len(source) else ""
        cut = _Cut(text, here, width - gutter - 3)
        lines.append(f"{paint(_GUTTER, str(number).rjust(gutter))} {bar} {cut.text}".rstrip())
        for mark in here:
            start, length = cut.place(mark)
            sign = paint(style, "^" * length) if mark.primary else paint(_GUTTER, "-" * length)
            words = paint(style if mark.primary else _GUTTER, plain(mark.text))
            lines.append(f"{margin} {bar} {' ' * start}{sign} {words}".rstrip())
    return lines


class _Cut:
    """A source line as it is shown: tabs expanded, controls written out, cropped around its marks if it is long."""

    def __init__(self, line: str, marks: list[_Mark], width: int) -> None:
        self.length = len(line)
        shown, self.starts = columns(line)
        self.offset = 0
        if self.starts[-1] <= width:
            self.text = "".join(shown)
            return
        first = self._cell(min((mark.start for mark in marks), default=1))
        left = max(0, min(first - width // 3, self.starts[-1] - width + 2))
        start = next((i for i, cell in enumerate(self.starts) if cell >= left), 0)
        room = width - 2
        end = start
        while end < len(shown) and self.starts[end + 1] - self.starts[start] <= room:
            end += 1
        self.offset = self.starts[start] - (1 if start else 0)
        self.text = ("…" if start else "") + "".join(shown[start:end]) + ("…" if end < len(shown) else "")

    def _cell(self, column: int) -> int:
        index = min(column - 1, self.length)
        return self.starts[index] + max(0, column - 1 - self.length)

    def place(self, mark: _Mark) -> tuple[int, int]:
        """Return the first cell of a mark and how many it covers (at least one), within what is shown."""
        start = self._cell(mark.start)
        end = self._cell(min(mark.end, self.length + 1 if mark.end > mark.start + 1 else mark.end))
        place = max(0, start - self.offset)
        room = max(1, cells(self.text) - place)
        return place, max(1, min(end - start, room))


def _remarks(diagnostic: Diagnostic, gutter: int, paint: _Painter, width: int) -> list[str]:
    remarks: list[tuple[str, str, str]] = []
    if diagnostic.path and diagnostic.path not in diagnostic.message:
        remarks.append((_GUTTER, "path", diagnostic.path))
    remarks.extend((_BOLD, "note", note) for note in diagnostic.notes)
    if diagnostic.help:
        remarks.append((_HELP, "help", diagnostic.help))
    remarks.append((_BOLD, "more", f"surgery-dsl explain {diagnostic.code.id}"))
    lines = []
    for style, name, text in remarks:
        indent = gutter + 1 + len(f"= {name}: ")
        first, *rest = _wrap(text, width - indent)
        lines.append(f"{' ' * gutter} {paint(_GUTTER, '=')} {paint(style, name)}: {first}")
        lines.extend(" " * indent + line for line in rest)
    return lines


def _wrap(text: str, width: int) -> list[str]:
    """Break at blanks; words are never broken, since they may be names or numbers to copy."""
    lines = []
    for paragraph in text.split("\n"):
        line = ""
        for word in plain(paragraph).split(" "):
            if line and cells(line) + 1 + cells(word) > width:
                lines.append(line)
                line = word
            else:
                line = f"{line} {word}" if line else word
        lines.append(line)
    return lines
