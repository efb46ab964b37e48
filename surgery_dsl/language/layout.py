"""Lays out values, and finds the place of every comment."""

from bisect import bisect_left

from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import syntax as tree

_Bracketed = tree.Call | tree.ListValue | tree.Group


def _start(span: Span) -> tuple[int, int]:
    return span.line, span.column


def _end(span: Span) -> tuple[int, int]:
    return span.end_line, span.end_column


class Comments:
    """The comments of a file, found by place. A comment that was handed out for a line's end is *taken*."""

    def __init__(self, comments: tuple[tree.Comment, ...]) -> None:
        self._comments = comments
        self._starts = [_start(comment.span) for comment in comments]
        self._taken: set[tuple[int, int]] = set()

    def between(self, start: tuple[int, int], end: tuple[int, int]) -> list[tree.Comment]:
        """Return the comments that begin from ``start`` up to ``end``."""
        return list(self._comments[bisect_left(self._starts, start) : bisect_left(self._starts, end)])

    def inside(self, span: Span) -> list[tree.Comment]:
        """Return the comments in a span."""
        return self.between(_start(span), _end(span))

    def outside(self, spans: list[Span], within: Span | None = None) -> list[tree.Comment]:
        """Return the comments that stand in none of the spans (and ``within`` another)."""
        everything = self.inside(within) if within is not None else list(self._comments)
        held = {_start(comment.span) for span in spans for comment in self.inside(span)}
        return [comment for comment in everything if _start(comment.span) not in held]

    def behind(self, span: Span, before: tuple[int, int] | None = None) -> tree.Comment | None:
        """Take the comment behind a span on its last line, if it begins before a place."""
        following = (span.end_line + 1, 0)
        found = self.between(_end(span), min(before or following, following))
        if not found:
            return None
        self._taken.add(_start(found[0].span))
        return found[0]

    def taken(self, comment: tree.Comment) -> bool:
        """Return whether a comment was handed out by :meth:`behind`."""
        return _start(comment.span) in self._taken


class ValuePrinter:
    """Prints the values of one statement.

    Comments between the items of a bracket stay there, which then takes one item a line. Any other comment inside
    a value goes before the item (or, in ``hoisted``, the statement) that it stands in; their order never changes.
    """

    def __init__(self, comments: Comments, statement: tree.Attribute | tree.Obligation, flat: bool = False) -> None:
        self.comments = comments
        self.flat = flat
        values = [statement.value] if isinstance(statement, tree.Attribute) else [statement.left]
        if isinstance(statement, tree.Obligation) and statement.right is not None:
            values.append(statement.right)
        inner = comments.inside(statement.span)
        self.silent = not inner
        self.hoisted: list[str] = []
        if inner and not all(self._placeable(value) for value in values):
            self.hoisted = [comment.text for comment in inner]
            self.silent = True

    def print(self, value: "tree.Value | tree.Argument", indent: int = 0) -> str:
        """Return the text of a value; further lines are indented from ``indent`` on."""
        match value:
            case tree.Reference():
                return value.name
            case tree.Boolean():
                return "true" if value.value else "false"
            case tree.Number():
                return value.digits + value.unit
            case tree.String():
                return value.raw
            case tree.Call() | tree.ListValue() | tree.Group():
                return self._bracketed(value, indent)
            case tree.Argument():
                name = f"{value.name.text} = " if value.name is not None else ""
                return name + self.print(value.value, indent)
            case tree.Binary():
                tight = value.operator == "/" and _plain(value.left) and _plain(value.right)
                operator = value.operator if tight else f" {value.operator} "
                return self.print(value.left, indent) + operator + self.print(value.right, indent)
            case tree.Negative():
                return "-" + self.print(value.operand, indent)
            case tree.Member():
                return f"{self.print(value.owner, indent)}.{value.name.text}"
            case tree.Range():
                return f"{self.print(value.low, indent)}..{self.print(value.high, indent)}"
            case tree.Arrow():
                return f"{self.print(value.before, indent)} -> {self.print(value.after, indent)}"
            case tree.Membership():
                return f"{self.print(value.subject, indent)} in {self.print(value.domain, indent)}"
            case tree.Unreadable():
                raise ValueError("a tree with mistakes cannot be printed")

    def _bracketed(self, value: _Bracketed, indent: int) -> str:
        items = _items(value)
        head, opening, closing = "", "[", "]"
        start = _start(value.span)
        if isinstance(value, tree.Call):
            head, opening, closing = self.print(value.function, indent), "(", ")"
            start = _end(value.function.span)
        elif isinstance(value, tree.Group):
            opening, closing = "(", ")"
        comma = not self.flat and not isinstance(value, tree.Group) and value.trailing_comma
        if not comma and (self.silent or not self.comments.between(start, _end(value.span))):
            return head + opening + ", ".join([self.print(item, indent) for item in items]) + closing
        lines = self._exploded(value, items, start, indent + 2)
        margin, inner = " " * indent, " " * (indent + 2)
        return "\n".join([head + opening, *(inner + line for line in lines), margin + closing])

    def _exploded(
        self, value: _Bracketed, items: "list[tree.Value | tree.Argument]", start: tuple[int, int], indent: int
    ) -> list[str]:
        """Return the lines between the brackets, without their indentation."""
        lines: list[str] = []
        ends = [*(_start(item.span) for item in items[1:]), _end(value.span)]
        lines.extend(self._texts(start, _start(items[0].span) if items else _end(value.span)))
        for index, item in enumerate(items):
            end = ends[index]
            if not self.silent and self._placeable(item):
                text = self.print(item, indent)
            else:
                lines.extend(self._texts(_start(item.span), _end(item.span)))
                silent, self.silent = self.silent, True
                text = self.print(item, indent)
                self.silent = silent
            following = [] if self.silent else self.comments.between(_end(item.span), end)
            behind = bool(following) and following[0].span.line == item.span.end_line
            comma = "" if isinstance(value, tree.Group) else ","
            lines.append(text + comma + (f"  {following[0].text}" if behind else ""))
            lines.extend(comment.text for comment in following[behind:])
        return lines

    def _texts(self, start: tuple[int, int], end: tuple[int, int]) -> list[str]:
        return [] if self.silent else [comment.text for comment in self.comments.between(start, end)]

    def _placeable(self, value: "tree.Value | tree.Argument") -> bool:
        """Return whether every comment inside a value stands inside one of its brackets."""
        if not self.comments.inside(value.span):
            return True
        match value:
            case tree.Call():
                return self._placeable(value.function)
            case tree.ListValue() | tree.Group():
                return True
            case tree.Member():
                return self._only_in(value, [value.owner])
            case tree.Argument():
                return self._only_in(value, [value.value])
            case tree.Binary():
                return self._only_in(value, [value.left, value.right])
            case tree.Negative():
                return self._only_in(value, [value.operand])
            case tree.Range():
                return self._only_in(value, [value.low, value.high])
            case tree.Arrow():
                return self._only_in(value, [value.before, value.after])
            case tree.Membership():
                return self._only_in(value, [value.subject, value.domain])
        return False

    def _only_in(self, value: "tree.Value | tree.Argument", parts: "list[tree.Value]") -> bool:
        held = sum(len(self.comments.inside(part.span)) for part in parts)
        return held == len(self.comments.inside(value.span)) and all(self._placeable(part) for part in parts)


def claim_text(statement: tree.Obligation) -> str:
    """Return an obligation's claim on one line, as the formatter spells it, without verb and comments."""
    printer = ValuePrinter(Comments(()), statement, flat=True)
    text = printer.print(statement.left)
    return text if statement.right is None else f"{text} {statement.comparison} {printer.print(statement.right)}"


def _items(value: _Bracketed) -> "list[tree.Value | tree.Argument]":
    if isinstance(value, tree.Call):
        return list(value.arguments)
    return list(value.items) if isinstance(value, tree.ListValue) else [value.value]


def _plain(value: "tree.Value") -> bool:
    return isinstance(value, tree.Number) and not value.unit
