"""JSON in one form only: the same document is always the same bytes, and nothing else is read.

What a signature covers must mean one thing to everybody. Keys that stand twice, numbers that no two programs read
alike, and documents made to exhaust whoever parses them are therefore no documents.
"""

import json
import math
import re
from typing import Any, NoReturn

LARGEST = 32 << 20
"""Bytes of a document beyond which it is not parsed."""
DEEPEST = 64
"""Most objects and lists within one another; a certificate has about ten."""
LONGEST_NUMBER = 40
"""Most characters of one number: no double and no count has more."""

_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL)


def canonical(document: Any) -> bytes:
    """Return the one form of a JSON document: keys sorted, no white space, UTF-8, no NaN and no infinity.

    Raises:
        ValueError: The document holds a number that JSON has not, or text that is not Unicode.
    """
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8")


def parse(data: bytes) -> Any:
    """Return what JSON says, in any layout.

    Raises:
        ValueError: It is too large or too deep, is no JSON, has a key twice in one object, or holds a number that is
            not finite or longer than any that is written.
    """
    if len(data) > LARGEST:
        raise ValueError(f"it has {len(data)} bytes; at most {LARGEST} are read")
    _refuse_deep(data)
    try:
        return json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_no_duplicates,
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_no_constant,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse_deep(data: bytes) -> None:
    depth = 0
    for found in _BRACKETS.finditer(data):
        first = found[0][:1]
        depth += (first in b"[{") - (first in b"]}")
        if depth > DEEPEST:
            raise ValueError(f"it is nested more than {DEEPEST} deep")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return result


def _whole(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number has {len(text)} digits")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if len(text) > LONGEST_NUMBER or not math.isfinite(value):
        raise ValueError(f"the number {text[:LONGEST_NUMBER]} is out of range")
    return value


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")
