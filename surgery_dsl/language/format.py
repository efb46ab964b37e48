"""Prints a plan the one way in which plans are printed. There are no options.

The rules:

- two blanks of indentation, one statement a line, blanks around ``=``, operators and ``->``, none around ``..``;
  a ratio of two plain numbers stands tight (``1/255``);
- a list or call is written one item a line where its last item has a comma behind it or a comment stands inside,
  and on one line otherwise: the comma decides, never the width;
- a block with one attribute that was written on one line stays there if it fits;
- one blank line follows the dialect line; elsewhere blank lines stay where the author set them, at most one;
- comments stay what they are, two blanks behind what they follow.

What is returned is checked first: it reads as the same tree with the same comments, and formatting it again
changes nothing.
"""

from surgery_dsl.diagnostics.codes import defects
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.compare import same_tree
from surgery_dsl.language.layout import Comments, ValuePrinter
from surgery_dsl.language.parse import parse

WIDTH = 120
"""Columns that a block on one line may take."""


def format_text(text: str) -> str:
    """Return the formatted plan.

    Raises:
        Refused: The text has mistakes, or formatting it would change what it says (SD902, our defect).
    """
    formatted, found = format_source(text)
    if found:
        raise Refused(*found)
    return formatted


def format_source(text: str, file: str = "") -> tuple[str, tuple[Diagnostic, ...]]:
    """Return the formatted plan; with findings, the text as it was."""
    parsed, found = parse(text, file)
    if found:
        return text, found
    formatted = print_file(parsed)
    again, mistakes = parse(formatted, file)
    faithful = (
        not mistakes
        and same_tree(parsed, again)
        and [comment.text for comment in parsed.comments] == [comment.text for comment in again.comments]
        and print_file(again) == formatted
    )
    if faithful:
        return formatted, ()
    return text, (
        Diagnostic(
            defects.FORMATTER,
            "formatting would have changed what the plan says; the text is left as it was",
            file,
            help="this is a defect of surgery-dsl, not of your plan; please report it with the plan",
        ),
    )


def print_file(file: tree.File) -> str:
    """Print a tree that was read without mistakes."""
    return _FilePrinter(file).text()


class _Entry:
    """Lines of output and the lines of source that they come from."""

    __slots__ = ("first", "last", "lines")

    def __init__(self, first: int, last: int, lines: list[str]) -> None:
        self.first = first
        self.last = last
        self.lines = lines


class _FilePrinter:
    """Lays out the statements of a file; :class:`ValuePrinter` lays out their values."""

    def __init__(self, file: tree.File) -> None:
        self.file = file
        self.comments = Comments(file.comments)

    def text(self) -> str:
        """Return the whole text, with one line end at its end."""
        entries: list[_Entry] = []
        inside = [block.span for block in self.file.blocks]
        if self.file.dialect_span is not None:
            span = self.file.dialect_span
            inside.append(span)
            entries.append(self._entry(span, [f"surg {self.file.dialect}"]))
        entries.extend(self._block(block) for block in self.file.blocks)
        entries.extend(self._loose(self.comments.outside(inside)))
        entries.sort(key=lambda entry: entry.first)
        lines: list[str] = []
        for index, entry in enumerate(entries):
            before = entries[index - 1] if index else None
            if before is not None and (entry.first - before.last > 1 or before.lines[0].startswith("surg ")):
                lines.append("")
            lines.extend(entry.lines)
        return "\n".join(lines) + "\n"

    def _block(self, block: tree.Block) -> _Entry:
        header = f"{block.kind.text} {block.name.text}"
        body = block.body
        if body is None:
            return self._entry(block.span, [header])
        inner = self.comments.inside(body.span)
        if not body.statements and not inner:
            return self._entry(block.span, [f"{header} {{}}"])
        if len(body.statements) == 1 and not inner and body.opened.line == body.closed.line:
            statement = self._statement(body.statements[0])
            line = f"{header} {{ {statement[0]} }}"
            if len(statement) == 1 and len(line) <= WIDTH:
                return self._entry(block.span, [line])
        first = body.statements[0].span if body.statements else body.closed
        lines = [f"{header} {{{self._behind(body.opened, (first.line, first.column))}"]
        lines.extend(self._body(body))
        lines.append("}")
        return self._entry(block.span, lines)

    def _body(self, body: tree.Body) -> list[str]:
        entries = []
        for statement in body.statements:
            lines = self._statement(statement)
            lines[-1] += self._behind(statement.span, (body.closed.line, body.closed.column))
            entries.append(_Entry(statement.span.line, statement.span.end_line, lines))
        held = [statement.span for statement in body.statements]
        entries.extend(self._loose(self.comments.outside(held, within=body.span)))
        entries.sort(key=lambda entry: entry.first)
        lines = []
        for index, entry in enumerate(entries):
            if index and entry.first - entries[index - 1].last > 1:
                lines.append("")
            lines.extend(f"  {line}" for line in entry.lines)
        return lines

    def _statement(self, statement: tree.Attribute | tree.Obligation) -> list[str]:
        printer = ValuePrinter(self.comments, statement)
        if isinstance(statement, tree.Attribute):
            text = f"{statement.name.text} = {printer.print(statement.value)}"
        else:
            text = f"{statement.verb.text} {printer.print(statement.left)}"
            if statement.right is not None:
                text += f" {statement.comparison} {printer.print(statement.right)}"
        return [*printer.hoisted, *text.split("\n")]

    def _entry(self, span: Span, lines: list[str]) -> _Entry:
        lines[-1] += self._behind(span)
        return _Entry(span.line, span.end_line, lines)

    def _behind(self, span: Span, before: tuple[int, int] | None = None) -> str:
        """Return the comment that stands behind something on its line, with two blanks before it."""
        found = self.comments.behind(span, before)
        return f"  {found.text}" if found is not None else ""

    def _loose(self, comments: list[tree.Comment]) -> list[_Entry]:
        return [
            _Entry(comment.span.line, comment.span.line, [comment.text])
            for comment in comments
            if not self.comments.taken(comment)
        ]
