"""Finds words by kind and name: the path of a word's file is its kind and its name, and no list is kept."""

import difflib
import importlib
import importlib.util
import inspect
import pkgutil
from functools import cache
from pathlib import Path
from typing import Any

from surgery_dsl.vocabulary.word import Word

_ROOT = Path(__file__).parent


@cache
def kinds() -> tuple[str, ...]:
    """Return the kinds that have words, sorted."""
    return tuple(sorted(p.name for p in _ROOT.iterdir() if p.is_dir() and not p.name.startswith("_") and names(p.name)))


@cache
def names(kind: str) -> tuple[str, ...]:
    """Return the names of a kind's words, sorted; empty for a kind without words."""
    found = pkgutil.iter_modules([str(_ROOT / kind)])
    return tuple(sorted(module.name for module in found if not module.name.startswith("_")))


@cache
def exists(kind: str, name: str) -> bool:
    """Return whether there is such a word, without importing it."""
    return not name.startswith("_") and (_ROOT / kind / f"{name}.py").is_file()


@cache
def find(kind: str, name: str) -> Any:
    """Import and return the class of a word.

    Raises:
        ValueError: There is no such word (the message names the closest).
        TypeError: The file does not define exactly one word: our defect.
    """
    if not exists(kind, name):
        raise ValueError(f"there is no word `{name}` in {kind}" + "".join(f"; closest: {c}" for c in close(kind, name)))
    module = importlib.import_module(f"surgery_dsl.vocabulary.{kind}.{name}")
    words = [
        item
        for item in vars(module).values()
        if inspect.isclass(item) and issubclass(item, Word) and item.__module__ == module.__name__
    ]
    if len(words) != 1 or inspect.isabstract(words[0]):
        raise TypeError(f"{module.__name__} must define exactly one word, not {len(words)}")
    return words[0]


def close(kind: str, name: str) -> tuple[str, ...]:
    """Return the words of a kind that are spelled most alike, the closest first."""
    return tuple(difflib.get_close_matches(name, names(kind), n=3, cutoff=0.6))


def elsewhere(name: str) -> tuple[str, ...]:
    """Return the kinds that have a word of this name."""
    return tuple(kind for kind in kinds() if exists(kind, name))
