"""Much first, little last."""

from fractions import Fraction
from typing import ClassVar, final

from surgery_dsl.vocabulary.schedules._ramp import Ramp
from surgery_dsl.vocabulary.word import Card


@final
class Cubic(Ramp):
    """Approach the end value along a cube: much at first, when there is much to spare, little at last.

    Arguments:
        range: Start and end, as shares (`0% -> 80%`) for `excise`, or as numbers.
        steps: Stages of an `excise`, or steps of a run, at least 1; a run's own length where it is left out.

    Static rule:
        s(t) = s0 + (s1 - s0) * (1 - (1 - t/T)^3) at stage t = 1 .. T, in exact fractions of the original size.

    Runtime rule:
        The same, as a float, at step t = 0 .. T.

    Source:
        Zhu and Gupta, "To prune, or not to prune", arXiv:1710.01878, section 3, equation 1.
    """

    card: ClassVar[Card] = Card(
        summary="Approach the end value along a cube",
        source="Zhu and Gupta, arXiv:1710.01878, equation 1",
        example="cubic(0% -> 80%, steps = 10)",
        near_miss="cubic(0% -> 80%, steps = 0)",
        near_miss_code="SD112",
    )

    @staticmethod
    def shape(progress: Fraction) -> Fraction:
        """Return 1 - (1 - p)^3."""
        return 1 - (1 - progress) ** 3
