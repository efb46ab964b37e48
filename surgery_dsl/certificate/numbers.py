"""Exact numbers that stand as text in a certificate."""

import re
from fractions import Fraction

_NUMBER = re.compile(r"-?[0-9]{1,400}(/[0-9]{1,400}|(\.[0-9]{1,400})?([eE][-+]?[0-9]{1,3})?)")
"""What a number may look like: nothing that takes long to write out."""


def number(text: str) -> Fraction | None:
    """Return the number that a text gives, ``None`` where it gives none or one that no run writes."""
    if not _NUMBER.fullmatch(text):
        return None
    try:
        return Fraction(text)
    except ZeroDivisionError:
        return None
