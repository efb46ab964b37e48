"""What the arguments of words name: data sets and regions."""

from collections.abc import Iterator
from typing import Any, TypeVar

from surgery_dsl.vocabulary.kinds import Region
from surgery_dsl.vocabulary.word import NameOr, Names, Word

AnyWord = TypeVar("AnyWord", bound=Word)


def inner_words(word: Word) -> Iterator[Word]:
    """Yield a word and every word among its arguments."""
    yield word
    for name in type(word).model_fields:
        for item in _items(getattr(word, name)):
            yield from inner_words(item)


def _items(value: Any) -> Iterator[Word]:
    if isinstance(value, Word):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _items(item)


def spanless(word: AnyWord) -> AnyWord:
    """Return a word without the places where the plan uses it and its arguments: equal uses are equal."""
    inner = {name: getattr(word, name) for name in type(word).model_fields}
    inner = {name: spanless(value) for name, value in inner.items() if isinstance(value, Word)}
    return word.replaced(**inner, span=None)


def data_names(word: Word) -> tuple[str, ...]:
    """Return the data blocks that a word and its arguments name."""
    return _names(word, {"data"})


def step_names(word: Word) -> tuple[str, ...]:
    """Return the steps that a word and its arguments name."""
    return _names(word, {"identify", "excise", "replace", "recover"})


def _names(word: Word, kinds: set[str]) -> tuple[str, ...]:
    found = []
    for one in inner_words(word):
        for name, field in type(one).model_fields.items():
            marks = [m for m in field.metadata if isinstance(m, Names | NameOr) and not kinds.isdisjoint(m.blocks)]
            value = getattr(one, name)
            if marks and isinstance(value, str):
                found.append(value)
    return tuple(dict.fromkeys(found))


def regions(word: Word) -> tuple[Region, ...]:
    """Return the regions among a word's arguments."""
    return tuple(one for one in inner_words(word) if isinstance(one, Region))
