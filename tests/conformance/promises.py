"""What the suite asks of a word, as functions of the word: they serve the tests and the tests of the tests."""

import inspect
import re
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
    """Say what the docstring of a word leaves out: summary, an argument, a rule that it has, or where it is from."""
    text = inspect.cleandoc(word.__dict__.get("__doc__") or "")
    sections: dict[str, str] = dict(re.findall(r"^([A-Z][a-z ]+):\n((?:(?:    .*)?\n?)+)", text, re.M))
    gaps = [] if text.splitlines()[:1] and text.splitlines()[0].strip() else ["no summary"]
    described = re.findall(r"^    (\w+):", sections.get("Arguments", ""), re.M)
    arguments = list(fields(word))
    gaps += [f"nothing on the argument `{name}`" for name in arguments if name not in described]
    gaps += [f"there is no argument `{name}`" for name in described if name not in arguments]
    wanted = {f"{rule} rule" for rule in rules(word)} | {"Source"}
    return gaps + [f"no section `{name}:`" for name in sorted(wanted - set(sections))]


def rules(word: type[Word]) -> frozenset[str]:
    """Return which rules a word defines: ``Static`` ones see interfaces and facts, ``Runtime`` ones live networks.

    Read off the annotations of what its kind asks of it and of what it adds to its kind's defaults.
    """
    kind = next(base for base in word.__mro__ if Word in base.__bases__)
    names: set[str] = set(getattr(kind, "__abstractmethods__", ()))
    names |= {name for name, item in vars(word).items() if name in vars(kind) and inspect.isfunction(item)}
    found = set()
    for name in names:
        annotations = " ".join(map(str, getattr(word, name).__annotations__.values()))
        if "torch" in annotations or "Runtime" in annotations:
            found.add("Runtime")
        elif "Static" in annotations or "Interface" in annotations:
            found.add("Static")
    return frozenset(found)
