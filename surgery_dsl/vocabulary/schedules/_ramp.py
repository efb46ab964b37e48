"""Schedules with stages: shares that grow, for ``excise``, and numbers that run from one value to another."""

from abc import ABC, abstractmethod
from fractions import Fraction
from typing import Annotated

from pydantic import Field, field_validator

from surgery_dsl.vocabulary.kinds import Schedule
from surgery_dsl.vocabulary.values import NumberArrow, PercentArrow


class Staged(Schedule, ABC):
    """A schedule that an ``excise`` can follow. Abstract."""

    @abstractmethod
    def stages(self) -> tuple[Fraction, ...]:
        """Return the share of the original units that is gone after each stage; empty where it does not say."""


class Ramp(Staged, ABC):
    """A schedule that leads from a value to another. Abstract.

    Attributes:
        range: Where it starts and where it ends.
        steps: How many steps (or stages) it takes; without, all steps of the run.
    """

    positional = ("range",)

    range: PercentArrow | NumberArrow
    steps: Annotated[int, Field(ge=1)] | None = None

    @field_validator("range")
    @classmethod
    def _shares(cls, value: PercentArrow | NumberArrow) -> PercentArrow | NumberArrow:
        if isinstance(value, PercentArrow) and not all(0 <= end.value <= 100 for end in (value.left, value.right)):
            raise ValueError("a share lies between 0% and 100%")
        return value

    @staticmethod
    @abstractmethod
    def shape(progress: Fraction) -> Fraction:
        """Return how far the value has come, 0 to 1, when a share ``progress`` of the steps is done."""

    @property
    def ends(self) -> tuple[Fraction, Fraction]:
        """Where it starts and ends; percentages as shares."""
        if isinstance(self.range, PercentArrow):
            return self.range.left.share, self.range.right.share
        return self.range.left, self.range.right

    def stages(self) -> tuple[Fraction, ...]:
        """Return the shares after stages 1 to ``steps``."""
        if self.steps is None or not isinstance(self.range, PercentArrow):
            return ()
        first, last = self.ends
        count = self.steps
        return tuple(first + (last - first) * self.shape(Fraction(t, count)) for t in range(1, count + 1))

    def at(self, step: int, total: int, start: float) -> float:
        """Return the value at a step: the left end at step 0, the right one after ``steps``, or at the last step."""
        first, last = self.ends
        length = total - 1 if self.steps is None else self.steps
        progress = Fraction(min(step, length), length) if length > 0 else Fraction(1)
        return float(first + (last - first) * self.shape(progress))
