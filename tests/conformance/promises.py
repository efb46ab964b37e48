"""What the suite asks of a word, as functions of the word: they serve the tests and the tests of the tests."""

from typing import get_args

from surgery_dsl.language.expectation import fields
from surgery_dsl.vocabulary.word import FunctionEffect, InterfaceEffect, Word

FUNCTIONS = frozenset(get_args(FunctionEffect))
INTERFACES = frozenset(get_args(InterfaceEffect))
NEEDS = frozenset({"data", "gradients", "seed", "labels"})


def word_of_name(name: str) -> str:
    """Return what the class of a word is called: ``leaky_relu`` is ``LeakyRelu``."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def is_final(word: type[Word]) -> bool:
    """Whether a class itself is marked final."""
    return bool(word.__dict__.get("__final__", False))


def docstring_gaps(word: type[Word]) -> list[str]:
    """Say what the docstring of a word leaves out: its summary, one of its arguments."""
    text = word.__dict__.get("__doc__") or ""
    lines = text.splitlines()
    gaps = []
    if not lines or not lines[0].strip():
        gaps.append("no summary")
    gaps += [f"nothing on the argument `{name}`" for name in fields(word) if not _documented(name, text)]
    return gaps


def _documented(argument: str, text: str) -> bool:
    section = text.partition("Arguments:")[2] or text.partition("Attributes:")[2]
    return any(line.strip().startswith((f"{argument}:", f"{argument}_:")) for line in section.splitlines())
