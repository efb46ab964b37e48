"""Characters that the language does not use, and what their authors most likely meant."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import syntax as codes

BROKEN = "$BROKEN"
"""Kind of a token that stands for text which was already reported."""

# Signs that people type, paste or know from other languages, and the sign of this language.
_MEANT = {
    "≤": "<=",
    "≥": ">=",
    "→": "->",
    "⇒": "->",
    "−": "-",
    "–": "-",
    "—": "-",
    "×": "*",
    "·": "*",
    "÷": "/",
    "…": "..",
    "≠": "",
    "（": "(",
    "）": ")",
    "，": ",",
}
_QUOTES = "'`‘’‚“”„«»"
_SINGLE = re.compile(r"'([^'\"\\\n]*)'")
_CURLY = re.compile(r"[‘’‚“”„«»`]([^‘’‚“”„«»`\"\\\n]*)[‘’‚“”„«»`]")

# Controls, and characters that reorder or hide text when it is shown (https://trojansource.codes). Tabs, line
# ends and the two joiners that scripts and emoji need are not among them.
_HIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


@dataclass(frozen=True, slots=True)
class Stray:
    """What to do with text that starts no terminal.

    Attributes:
        width: How many characters it covers.
        code: The finding, ``None`` to pass it over quietly.
        message: What is wrong.
        label: A few words under the place.
        help: The fix.
        meant: Text of the token that stands in for it; empty for none, ``$BROKEN`` to give the statement up.
    """

    width: int
    code: Code | None
    message: str = ""
    label: str = ""
    help: str = ""
    meant: str = BROKEN


def hidden_characters(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield line, column and character of everything that hides or reorders text."""
    for found in _HIDDEN.finditer(text, 1 if text.startswith("\ufeff") else 0):
        position = found.start()
        yield text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position), found.group()


def explain_stray(text: str, position: int, before_kind: str, before_text: str) -> Stray:
    """Explain the character at ``position``; ``before_…`` is the token before it on the same line, if any."""
    character = text[position]
    if character == '"':
        return _unclosed(text, position)
    if character in _QUOTES:
        return _other_quotes(text, position)
    if _HIDDEN.match(character):
        return Stray(1, None, meant="")  # said once, for the whole text
    if character in _MEANT:
        return _meant(character)
    if character == ";":
        return Stray(
            1, codes.MISSING_LINE_END, "statements do not end with `;`", help="give each statement a line", meant="\n"
        )
    if character == ":" and before_kind == "NAME":
        return Stray(
            1,
            codes.MISSING_EQUALS,
            f"`{before_text}:` is not an attribute",
            "`=` is meant here",
            f"write `{before_text} = …`",
            "=",
        )
    if character == "%" and before_kind == "NUMBER":
        return Stray(
            1,
            codes.ODD_CHARACTER,
            f"`%` stands apart from its number `{before_text}`",
            help=f"write `{before_text}%` without a blank",
            meant="",
        )
    if character == "!" and text.startswith("!=", position):
        return Stray(
            2,
            codes.ODD_CHARACTER,
            "`!=` is not a comparison of the language",
            help="compare with `<=`, `<`, `==`, `>` or `>=`",
            meant="==",
        )
    return _odd(text, position)


def _unclosed(text: str, position: int) -> Stray:
    end = text.find("\n", position)
    width = (len(text) if end < 0 else end) - position
    written = text[position : position + width].rstrip()
    shown = written if len(written) <= 40 else written[:39] + "…"
    return Stray(
        width,
        codes.UNCLOSED_STRING,
        f"the string {shown} is not closed on its line",
        "starts here",
        'add the closing `"`; a string ends on the line on which it starts',
    )


def _other_quotes(text: str, position: int) -> Stray:
    found = _SINGLE.match(text, position) or _CURLY.match(text, position)
    if found is None:
        return Stray(
            1,
            codes.ODD_CHARACTER,
            f"`{text[position]}` is not part of the language",
            help='put strings in straight double quotes: `"…"`',
        )
    inside = found.group(1)
    return Stray(
        len(found.group()),
        codes.ODD_CHARACTER,
        "strings take straight double quotes",
        "these are other quotes",
        f'write `"{inside}"`',
        f'"{inside}"',
    )


def _meant(character: str) -> Stray:
    meant = _MEANT[character]
    if not meant:
        return Stray(
            1,
            codes.ODD_CHARACTER,
            f"`{character}` is not a comparison of the language",
            help="compare with `<=`, `<`, `==`, `>` or `>=`",
            meant="==",
        )
    return Stray(
        1, codes.ODD_CHARACTER, f"`{character}` is not part of the language", help=f"write `{meant}`", meant=meant
    )


def _odd(text: str, position: int) -> Stray:
    character = text[position]
    if character == "\\":
        help_ = "a value may go on over line ends inside ( ) and [ ]; there is no `\\`"
    elif character in "&|^~@$?!":
        help_ = "values know + - * / and calls; remove it"
    elif character.isspace():
        help_ = "replace it by a plain blank"
    elif character.isalpha():
        help_ = "names are made of the letters a to z, A to Z, digits and `_`; other text goes into a string or comment"
    else:
        help_ = "remove it, or put it into a string or a comment"
    shown = f"U+{ord(character):04X}" if character.isspace() else f"`{character}`"
    if character.isspace():
        return Stray(1, codes.ODD_CHARACTER, f"the blank {shown} is not a plain blank", "here", help_, "")
    width = 1
    while character.isalpha() and position + width < len(text) and text[position + width].isalnum():
        width += 1
    return Stray(width, codes.ODD_CHARACTER, f"{shown} is not part of the language", help=help_)
