"""Single edits of a plan's text, by what it says: the value of an attribute, an argument, a statement.

Everything else of the text stays as it was written, comments and layout included. Nothing here asks whether an edit is
any good.
"""

from collections.abc import Iterator

from surgery_dsl.diagnostics.fix import Lines, Replacement
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.parse import parse

Statement = tree.Attribute | tree.Obligation
LISTED = frozenset({"except", "changes"})
"""Names whose values add up: another one stands beside those that are there."""


class Rewriter:
    """Makes edits of one plan. Final.

    Attributes:
        lines: The text, by places.
        file: Its syntax tree; of a text with mistakes, what could be read.
    """

    def __init__(self, text: str, name: str = "") -> None:
        self.lines = Lines(text)
        self.file, _ = parse(text, name)

    # ---- places --------------------------------------------------------------------------------------------------

    def block_at(self, span: Span) -> tree.Block | None:
        """Return the block that a place is in."""
        return next((block for block in self.file.blocks if _holds(block.span, span)), None)

    def blocks(self, name: str) -> list[tree.Block]:
        """Return the blocks of a name."""
        return [block for block in self.file.blocks if block.name.text == name]

    def statement_at(self, span: Span) -> Statement | None:
        """Return the statement that a place is in."""
        block = self.block_at(span)
        return next((one for one in statements(block) if _holds(one.span, span)), None) if block else None

    def values_at(self, span: Span) -> list[tree.Value]:
        """Return the values that a place is in, the innermost first, then those within the place."""
        statement = self.statement_at(span)
        if statement is None:
            return []
        found = [value for top in tops(statement) for value in values(top)]
        around = [value for value in found if _holds(value.span, span)]
        return [*reversed(around), *(value for value in found if _holds(span, value.span) and value not in around)]

    # ---- edits ---------------------------------------------------------------------------------------------------

    def attribute(self, block: tree.Block, name: str, value: str) -> Replacement | None:
        """Give an attribute a value, in a new line behind the others where it has none."""
        there = attribute_of(block, name)
        if there is not None:
            listed = name in LISTED and self._listed(there.value, value)
            return listed or Replacement(there.value.span, value)
        if block.body is None:
            end = Span(block.span.end_line, block.span.end_column, block.span.end_line, block.span.end_column)
            return Replacement(end, f" {{\n  {name} = {value}\n}}")
        found = statements(block)
        if not found or found[-1].span.end_line == block.body.closed.line:
            closed = block.body.closed
            start = Span(closed.line, closed.column, closed.line, closed.column)
            return Replacement(start, f"\n  {name} = {value}\n")
        last = found[-1].span.end_line
        line = self.lines.line(last)
        indent = self.lines.line(found[-1].span.line)
        indent = indent[: len(indent) - len(indent.lstrip())]
        end = Span(last, len(line) + 1, last, len(line) + 1)
        return Replacement(end, f"\n{indent}{name} = {value}")

    def argument(self, call: tree.Call, name: str, value: str) -> Replacement:
        """Give a call's argument a value, behind the others where it has none."""
        for one in call.arguments:
            if one.name is not None and one.name.text == name:
                listed = name in LISTED and self._listed(one.value, value)
                return listed or Replacement(one.value.span, value)
        closing = call.span.end_column - 1
        at = call.arguments[-1].span if call.arguments else None
        line, column = (at.end_line, at.end_column) if at else (call.span.end_line, closing)
        return Replacement(Span(line, column, line, column), f"{', ' if at else ''}{name} = {value}")

    def called(self, word: tree.Reference, name: str, value: str) -> Replacement:
        """Give a word that stands without parentheses an argument."""
        return Replacement(word.span, f"{word.name}({name} = {value})")

    def without(self, statement: Statement) -> Replacement:
        """Take a statement out, and its line where nothing else stands on it."""
        span = statement.span
        before = self.lines.line(span.line)[: span.column - 1]
        after = self.lines.line(span.end_line)[span.end_column - 1 :]
        if not before.strip() and (not after.strip() or after.lstrip().startswith("#")):
            return Replacement(Span(span.line, 1, span.end_line + 1, 1), "")
        return Replacement(span, "")

    def _listed(self, there: tree.Value, value: str) -> Replacement | None:
        """Put a value into a list that is there, or beside a single one."""
        inner = value[1:-1] if value.startswith("[") else value
        if isinstance(there, tree.ListValue):
            if not there.items:
                return Replacement(there.span, f"[{inner}]")
            last = there.items[-1].span
            return Replacement(Span(last.end_line, last.end_column, last.end_line, last.end_column), f", {inner}")
        return Replacement(there.span, f"[{self.lines.at(there.span)}, {inner}]")


def attribute_of(block: tree.Block, name: str) -> tree.Attribute | None:
    """Return an attribute of a block by its name."""
    found = (one for one in statements(block) if isinstance(one, tree.Attribute) and one.name.text == name)
    return next(found, None)


def statements(block: tree.Block) -> tuple[Statement, ...]:
    """Return what stands in a block."""
    return block.body.statements if block.body is not None else ()


def values(value: tree.Value) -> Iterator[tree.Value]:
    """Yield a value and all values in it, outer ones first."""
    yield value
    for inner in _inner(value):
        yield from values(inner)


def tops(statement: Statement) -> tuple[tree.Value, ...]:
    """Return the values that a statement is made of."""
    if isinstance(statement, tree.Attribute):
        return (statement.value,)
    return (statement.left,) if statement.right is None else (statement.left, statement.right)


def _inner(value: tree.Value) -> tuple[tree.Value, ...]:
    match value:
        case tree.ListValue(items=items):
            return items
        case tree.Range(low=one, high=other) | tree.Arrow(before=one, after=other):
            return one, other
        case tree.Binary(left=one, right=other) | tree.Membership(subject=one, domain=other):
            return one, other
        case tree.Call(function=function, arguments=arguments):
            return (function, *(argument.value for argument in arguments))
        case tree.Member(owner=owner):
            return (owner,)
        case tree.Negative(operand=inner) | tree.Group(value=inner):
            return (inner,)
    return ()


def _holds(outer: Span, inner: Span) -> bool:
    starts = (outer.line, outer.column) <= (inner.line, inner.column)
    return starts and (inner.end_line, inner.end_column) <= (outer.end_line, outer.end_column)
