"""Pieces of the language in the helps of findings: where they begin and end, and which parts a help has."""

import re
from collections.abc import Iterator

VERBS = (
    "write",
    "add",
    "set",
    "remove",
    "keep one of",
    "did you mean",
    "the smallest completion is",
    "name the modules:",
    "put the",
    "make",
    "use",
    "state it:",
    "state them:",
    "cut the loss:",
)
"""What a part begins with that names an edit."""

_JOINT = re.compile(r", or |; |, (?=`)| or (?=`|write |add )")
_GOES_ON = re.compile(r"`|a range|a fixed|\w+ = ")
"""What a part begins with that has its verb from the part before it."""
_OPEN, _CLOSED = "([{", ")]}"
_OPERATORS = re.compile(r" (?:=|->|<=|>=|==|<|>|[-+*/]) ")


def parts_of(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the parts of a help: the verb that each has, or has from the one before, its text, what joins the two."""
    verb = ""
    for joint, part in _split(text):
        own = next((one for one in VERBS if part.startswith(one)), "")
        verb = own or (verb if joint != "; " and _GOES_ON.match(part) else "")
        yield verb, part if own or not verb else f"{verb} {part}", ", or " if "or" in joint else joint


def _split(text: str) -> Iterator[tuple[str, str]]:
    """Yield the parts of a help, each with what joins it to the one before."""
    start, by = 0, ""
    outside = _outside(text)
    for joint in _JOINT.finditer(text):
        if outside[joint.start()] and joint.start() >= start:
            yield by, text[start : joint.start()]
            start, by = joint.end(), joint[0]
    yield by, text[start:]


def _outside(text: str) -> list[bool]:
    """Say of each character whether it stands outside of backticks, strings and brackets."""
    found, depth, quote = [], 0, ""
    for character in text:
        found.append(not depth and not quote)
        if quote:
            quote = "" if character == quote else quote
        elif character in '`"':
            quote = character
        elif character in _OPEN:
            depth += 1
        elif character in _CLOSED:
            depth = max(depth - 1, 0)
    return found


def bare(code: str) -> str:
    """Return a piece of the language without what stands in its strings and brackets."""
    return "".join(character for character, outside in zip(code, _outside(code), strict=True) if outside)


def code_in(text: str) -> tuple[str, str]:
    """Return the piece of the language that a text begins with, and what follows it; both may be empty."""
    text = text.lstrip()
    if text.startswith("`"):
        code, _, tail = text[1:].partition("`")
        return code.strip(), tail
    end, outside = 0, _outside(text)
    while end < len(text):
        if outside[end] and text[end] in " ,;:?":
            operator = _OPERATORS.match(text, end)
            if operator is None:
                break
            end = operator.end()
            continue
        end += 1
    return text[:end], text[end:]
