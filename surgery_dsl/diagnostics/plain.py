"""Text of a plan made safe to show: nothing in it can steer a terminal, and its width is known."""

import unicodedata

TAB = 4
"""Cells from one tab stop to the next."""

# Controls, formats (bidirectional overrides among them), surrogates, private use, unassigned, line separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def plain(text: str) -> str:
    """Return the text with every character written out that a terminal would act on or not show: ``<U+001B>``."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_visible(character) for character in text)


def cells(text: str) -> int:
    """Return how many terminal cells a plain text takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(_width(character) for character in text)


def columns(line: str) -> tuple[list[str], list[int]]:
    """Return what is shown for each character of a source line, and the cell at which each starts (and the end)."""
    shown: list[str] = []
    starts = [0]
    for character in line:
        text = " " * (TAB - starts[-1] % TAB) if character == "\t" else _visible(character)
        shown.append(text)
        starts.append(starts[-1] + cells(text))
    return shown, starts


def _visible(character: str) -> str:
    if character.isascii() and character.isprintable():
        return character
    return f"<U+{ord(character):04X}>" if unicodedata.category(character) in _HIDDEN else character


def _width(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
