"""What a typed field takes, read off its annotation, so that lowering can be directed by slots."""

import types
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from surgery_dsl.language.titles import either, title
from surgery_dsl.vocabulary.word import Names, Slot


@dataclass(frozen=True)
class Expectation:
    """What one field takes.

    Attributes:
        types: Plain types and value classes.
        kinds: Kinds of words.
        blocks: Kinds of blocks that may be named.
        literals: Fixed strings.
        item: What the entries of a tuple, or the values of a dictionary, are, where the field takes one.
        required: Whether there is no default.
    """

    types: frozenset[type]
    kinds: tuple[str, ...]
    blocks: tuple[str, ...]
    literals: tuple[str, ...]
    item: "Expectation | None"
    required: bool = False

    def says(self) -> str:
        """Describe in words what is taken."""
        parts = [title(kind) for kind in self.kinds]
        parts += [f"`{literal}`" for literal in self.literals]
        parts += [text for cls, text in _TYPE_TEXT.items() if cls in {t.__name__ for t in self.types}]
        if self.blocks:
            parts.append(block_kinds(self.blocks))
        if self.item is not None:
            parts.append(f"a list of these: {self.item.says()}")
        return either(list(dict.fromkeys(parts))) or "another value"


STEPS = frozenset({"identify", "excise", "replace", "recover", "observe", "control", "search"})
"""Kinds of blocks that run, in the order of the plan."""


def block_kinds(blocks: tuple[str, ...]) -> str:
    """Say what block a name must be of: ``the name of a `data` block``."""
    if len(blocks) > 2 and set(blocks) <= STEPS:
        return "the name of an earlier step"
    articles = [f"{'an' if block[:1] in 'aeiou' else 'a'} `{block}`" for block in blocks]
    return f"the name of {either(articles)} block"


_TYPE_TEXT = {
    "int": "a whole number",
    "float": "a number",
    "Fraction": "a number",
    "Percent": "a percentage",
    "Points": "percentage points",
    "Bytes": "a size in bytes",
    "Seconds": "a duration",
    "str": "a string",
    "bool": "true or false",
    "Range": "a range",
    "NumberArrow": "an arrow of numbers",
    "PercentArrow": "an arrow of percentages",
}


@cache
def fields(model: type[BaseModel]) -> dict[str, tuple[str, Expectation]]:
    """Return, by the name a plan writes, the field's own name and what it takes."""
    result = {}
    for name, info in model.model_fields.items():
        written = info.alias or name.rstrip("_")
        if name == "span":
            continue
        expected = expectation(info.annotation, tuple(info.metadata))
        result[written] = (name, _with_required(expected, info.is_required()))
    return result


def _with_required(expected: Expectation, required: bool) -> Expectation:
    return Expectation(expected.types, expected.kinds, expected.blocks, expected.literals, expected.item, required)


def expectation(annotation: Any, metadata: tuple[Any, ...] = ()) -> Expectation:
    """Read an annotation."""
    found: set[type] = set()
    kinds: list[str] = []
    blocks: list[str] = []
    literals: list[str] = []
    items: list[Expectation] = []

    def visit(part: Any, marks: tuple[Any, ...]) -> None:
        slots = [mark for mark in marks if isinstance(mark, Slot)]
        named = [mark for mark in marks if isinstance(mark, Names)]
        for slot in slots:
            kinds.extend(slot.kinds)
            blocks.extend(getattr(slot, "blocks", ()))
        for name in named:
            blocks.extend(name.blocks)
        origin = get_origin(part)
        if origin is Annotated:
            inner, *rest = get_args(part)
            visit(inner, tuple(rest))
        elif origin in (Union, types.UnionType):
            for member in get_args(part):
                visit(member, marks if slots and member is not str else ())
        elif origin is Literal:
            literals.extend(str(value) for value in get_args(part))
        elif origin is tuple:
            items.append(expectation(get_args(part)[0]))
        elif origin is dict:
            items.append(expectation(get_args(part)[1]))
        elif isinstance(part, type) and part is not type(None):
            marked = (named and part is str) or (slots and (part is str or _is_word(part)))
            if not marked:
                found.add(part)

    visit(annotation, metadata)
    return Expectation(
        frozenset(found),
        tuple(dict.fromkeys(kinds)),
        tuple(dict.fromkeys(blocks)),
        tuple(literals),
        items[0] if items else None,
    )


def _is_word(part: type) -> bool:
    from surgery_dsl.vocabulary.word import Word

    return issubclass(part, Word)
