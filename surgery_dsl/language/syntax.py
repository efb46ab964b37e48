"""The syntax tree: what was written, with the place of every part.

Nodes are frozen values. They say nothing about meaning: a block kind is a name, ``conv2d("**")`` is a call.
Parentheses, trailing commas and the digits of numbers are kept, so that the formatter can print a tree back;
comments stand beside the tree, in order, with their places.
"""

from dataclasses import dataclass

from surgery_dsl.diagnostics.span import Span

BLOCK_KINDS = (
    "param",
    "model",
    "data",
    "env",
    "identify",
    "excise",
    "replace",
    "recover",
    "observe",
    "control",
    "search",
)
"""Every kind of block. The parser takes any name; it knows these only to explain mistakes well."""

VERBS = ("prove", "certify", "measure")
"""The three verbs: the only words of the language that are not plain names."""

UNITS = {
    "%": "a share: 40% is relative",
    "pp": "percentage points",
    "k": "thousand",
    "M": "million",
    "B": "thousand million",
    "T": "million million",
    "KiB": "1024 bytes",
    "MiB": "1024 KiB",
    "GiB": "1024 MiB",
    "TiB": "1024 GiB",
    "KB": "1000 bytes",
    "MB": "1000 KB",
    "GB": "1000 MB",
    "TB": "1000 GB",
    "ms": "milliseconds",
    "s": "seconds",
    "min": "minutes",
    "h": "hours",
}
"""The units a number may carry, and what they mean."""


@dataclass(frozen=True, slots=True)
class Name:
    """A name where no value is meant: of a block, an attribute, an argument, a member."""

    text: str
    span: Span


# ---- values ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reference:
    """A name as a value: ``train``, ``adamw``, ``base``."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Boolean:
    """``true`` or ``false``."""

    value: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Number:
    """A number, perhaps with a unit. ``digits`` is exactly what was written; ``unit`` may be empty."""

    digits: str
    unit: str
    span: Span


@dataclass(frozen=True, slots=True)
class String:
    """A string: ``text`` is what it means, ``raw`` what was written, quotes included."""

    text: str
    raw: str
    span: Span


@dataclass(frozen=True, slots=True)
class ListValue:
    """``[a, b]``."""

    items: "tuple[Value, ...]"
    trailing_comma: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Range:
    """``low..high``, both ends included."""

    low: "Value"
    high: "Value"
    span: Span


@dataclass(frozen=True, slots=True)
class Arrow:
    """``before -> after``."""

    before: "Value"
    after: "Value"
    span: Span


@dataclass(frozen=True, slots=True)
class Membership:
    """``T in 1..512``."""

    subject: "Value"
    domain: "Value"
    span: Span


@dataclass(frozen=True, slots=True)
class Member:
    """``owner.name``."""

    owner: "Reference | Member | Call"
    name: Name
    span: Span


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument of a call; ``name`` is ``None`` where it is given by position."""

    name: Name | None
    value: "Value"
    span: Span


@dataclass(frozen=True, slots=True)
class Call:
    """``function(arguments)``."""

    function: "Reference | Member | Call"
    arguments: tuple[Argument, ...]
    trailing_comma: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Binary:
    """``left + right`` and the other three operations."""

    operator: str
    left: "Value"
    right: "Value"
    span: Span


@dataclass(frozen=True, slots=True)
class Negative:
    """``-operand``."""

    operand: "Value"
    span: Span


@dataclass(frozen=True, slots=True)
class Group:
    """``(value)``: parentheses that the author wrote."""

    value: "Value"
    span: Span


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A value that was reported as wrong; later phases pass over it."""

    span: Span


Value = (
    Reference
    | Boolean
    | Number
    | String
    | ListValue
    | Range
    | Arrow
    | Membership
    | Member
    | Call
    | Binary
    | Negative
    | Group
    | Unreadable
)

# ---- statements --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Attribute:
    """``name = value``."""

    name: Name
    value: Value
    span: Span


@dataclass(frozen=True, slots=True)
class Obligation:
    """``prove left <= right``; without a comparison, ``comparison`` is empty and ``right`` is ``None``."""

    verb: Name
    left: Value
    comparison: str
    right: Value | None
    span: Span


@dataclass(frozen=True, slots=True)
class Broken:
    """A statement that could not be read and was reported; ``name`` is the attribute it seems to set, or empty.

    Later phases use it to keep quiet about what follows from the mistake.
    """

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Body:
    """What stands between the braces of a block.

    Attributes:
        statements: What could be read, in order.
        broken: What could not.
        opened: The opening brace.
        closed: The closing brace (where it was missing, the place where it should stand).
        span: From brace to brace.
    """

    statements: tuple[Attribute | Obligation, ...]
    broken: tuple[Broken, ...]
    opened: Span
    closed: Span
    span: Span


@dataclass(frozen=True, slots=True)
class Block:
    """``kind name { body }``; ``body`` is ``None`` where the braces are left out."""

    kind: Name
    name: Name
    body: Body | None
    span: Span


@dataclass(frozen=True, slots=True)
class Comment:
    """``# text``: ``text`` starts with the hash sign and has no blanks at its end.

    Attributes:
        text: What was written.
        own_line: Whether nothing but blanks stands before it on its line.
        span: Its place.
    """

    text: str
    own_line: bool
    span: Span


@dataclass(frozen=True, slots=True)
class File:
    """A whole plan.

    Attributes:
        dialect: The number on the dialect line, ``None`` where the line is missing or unknown.
        dialect_span: Place of the dialect line.
        blocks: The blocks, in order.
        comments: All comments, in order.
        broken: Whether anything could not be read.
    """

    dialect: int | None
    dialect_span: Span | None
    blocks: tuple[Block, ...]
    comments: tuple[Comment, ...]
    broken: bool = False
