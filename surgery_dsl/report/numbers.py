"""Numbers of the certificate, exact as text, written for people."""

import math
import re
from collections.abc import Callable
from fractions import Fraction

from surgery_dsl.proof.verdict import rounded_text

_NUMBER = re.compile(r"-?[0-9]{1,400}(/[0-9]{1,400}|(\.[0-9]{1,400})?([eE][-+]?[0-9]{1,3})?)")
_HEXADECIMAL = re.compile(r"-?0x[0-9a-f]\.[0-9a-f]{1,16}p[-+][0-9]{1,4}")


def number_of(text: str) -> float | None:
    """Return what a text says as a number: a decimal, a fraction or a hexadecimal float; ``None`` where it is none."""
    if _HEXADECIMAL.fullmatch(text):
        return _finite(float.fromhex, text)
    return _finite(lambda one: float(Fraction(one)), text) if _NUMBER.fullmatch(text) else None


def shown(text: str) -> str:
    """Write the exact text of a number for people, and any other text as it is."""
    if _HEXADECIMAL.fullmatch(text):
        value = number_of(text)
        return text if value is None else short(value)
    if not _NUMBER.fullmatch(text):
        return text
    try:
        return rounded_text(Fraction(text))
    except (ValueError, ZeroDivisionError, OverflowError):
        return text


def short(value: float) -> str:
    """Write a measured number to six significant digits; whole ones in full."""
    return rounded_text(value) if math.isfinite(value) else str(value)


def counted(number: int, noun: str) -> str:
    """Return ``1 step`` or ``2 steps``."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _finite(read: Callable[[str], float], text: str) -> float | None:
    try:
        value = read(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return value if math.isfinite(value) else None
