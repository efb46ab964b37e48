"""Quantities with a unit, ranges, arrows and references, as a plan writes them. Numbers are exact fractions."""

from fractions import Fraction
from typing import Literal

from surgery_dsl.interface.model import Data


class Percent(Data):
    """A relative share: ``40%`` holds ``value = 40``."""

    unit: Literal["%"] = "%"
    value: Fraction

    @property
    def share(self) -> Fraction:
        """The share between 0 and 1."""
        return self.value / 100

    def __str__(self) -> str:
        return f"{number_text(self.value)}%"


class Points(Data):
    """Percentage points: ``1.5pp`` holds ``value = 3/2``."""

    unit: Literal["pp"] = "pp"
    value: Fraction

    def __str__(self) -> str:
        return f"{number_text(self.value)}pp"


class Bytes(Data):
    """A size in bytes: ``7GiB``."""

    unit: Literal["B"] = "B"
    value: Fraction


class Seconds(Data):
    """A duration in seconds: ``50ms``."""

    unit: Literal["s"] = "s"
    value: Fraction


class Plain(Data):
    """A bare number where a name could stand as well."""

    unit: Literal[""] = ""
    value: Fraction


class Range(Data):
    """An inclusive range of numbers: ``20..24``."""

    first: Fraction
    last: Fraction


Number = Fraction
"""A bare number, with ``k``, ``M``, ``B``, ``T`` already multiplied out."""


class NumberArrow(Data):
    """``8 -> 4``: the left side is what the author believes holds now; in a schedule, where it starts."""

    left: Fraction
    right: Fraction


class PercentArrow(Data):
    """``0% -> 80%``."""

    left: Percent
    right: Percent


class Point(Data):
    """A place in the life of a model that a quantity refers to.

    ``base`` is the patient as loaded, ``now`` at this place, ``model`` another model of the plan as it stands;
    the others name a step. ``twin`` is the same run with some attributes of ``step`` changed.
    """

    at: Literal["base", "now", "model", "before", "after", "best", "ema", "twin", "kept"] = "now"
    name: str = ""
    changes: dict[str, str] = {}


def number_text(value: Fraction | int) -> str:
    """Write a number as briefly as it can be read back: ``3``, ``0.65``, ``1/3``."""
    value = Fraction(value)
    if value.denominator == 1:
        return str(value.numerator)
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return repr(float(value)) if rest == 1 else f"{value.numerator}/{value.denominator}"
