"""One value throughout."""

from fractions import Fraction
from typing import ClassVar, final

from pydantic import field_validator

from surgery_dsl.vocabulary.schedules._ramp import Staged
from surgery_dsl.vocabulary.values import Percent
from surgery_dsl.vocabulary.word import Card


@final
class Constant(Staged):
    """Keep one value.

    Arguments:
        value: The value; as a share (`constant(40%)`) for `excise`, which then has a single stage. Left out, the plain
            value of what the schedule stands for.

    Static rule:
        One stage that takes the share of the original size.

    Runtime rule:
        The same value at every step.

    Source:
        A constant.
    """

    positional = ("value",)
    card: ClassVar[Card] = Card(
        summary="Keep one value",
        source="a constant",
        example="constant(40%)",
        near_miss="constant(140%)",
        near_miss_code="SD112",
    )

    steps: ClassVar[int] = 1

    value: Percent | float | None = None

    @field_validator("value")
    @classmethod
    def _share(cls, value: Percent | float | None) -> Percent | float | None:
        if isinstance(value, Percent) and not 0 <= value.value <= 100:
            raise ValueError(f"{value} is not between 0% and 100%")
        return value

    def stages(self) -> tuple[Fraction, ...]:
        """Return the one share."""
        return (self.value.share,) if isinstance(self.value, Percent) else ()

    def at(self, step: int, total: int, start: float) -> float:
        """Return the value."""
        if self.value is None:
            return start
        return float(self.value.share) if isinstance(self.value, Percent) else self.value
