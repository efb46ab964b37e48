"""The same each step."""

from fractions import Fraction
from typing import ClassVar, final

from surgery_dsl.vocabulary.schedules._ramp import Ramp
from surgery_dsl.vocabulary.word import Card


@final
class Linear(Ramp):
    """Go from one value to another in equal steps.

    Arguments:
        range: Start and end, as shares (`0% -> 80%`) for `excise`, or as numbers (`0 -> 4`).
        steps: Stages of an `excise`, or steps of a run, at least 1; a run's own length where it is left out.

    Static rule:
        s(t) = s0 + (s1 - s0) * t/T at stage t = 1 .. T, in exact fractions of the original size.

    Runtime rule:
        The same, as a float, at step t = 0 .. T; the end value afterwards.

    Source:
        Linear interpolation.
    """

    card: ClassVar[Card] = Card(
        summary="Go from one value to another in equal steps",
        source="linear interpolation",
        example="linear(0% -> 60%, steps = 3)",
        near_miss="linear(0% -> 60%, steps = 0)",
        near_miss_code="SD112",
    )

    @staticmethod
    def shape(progress: Fraction) -> Fraction:
        """Return p."""
        return progress
