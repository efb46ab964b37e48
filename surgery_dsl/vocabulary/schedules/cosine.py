"""Half a cosine wave down."""

import math
from typing import Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.vocabulary.kinds import Schedule
from surgery_dsl.vocabulary.values import NumberArrow
from surgery_dsl.vocabulary.word import Card


@final
class Cosine(Schedule):
    """Fall along half a cosine wave, after a linear warm-up.

    Arguments:
        range: Start and end (`1e-3 -> 0`); left out, from the plain value to `floor`.
        warmup: Steps of the warm-up, at least 0.
        floor: The end value, at least 0, where `range` is left out.
        cycles: How often the wave is run through; each cycle starts anew at the top.

    Static rule:
        None: it is a function of the step alone.

    Runtime rule:
        At step t of T, with w steps of warm-up, top a and end b: a * (t + 1)/w for t < w, then
        b + (a - b) * (1 + cos(pi * p))/2, where p = (t - w)/(T - w), times `cycles`, without its whole part.

    Source:
        Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5; warm-up: Goyal et al., arXiv:1706.02677, section 2.2.
    """

    positional = ("range",)
    card: ClassVar[Card] = Card(
        summary="Fall along half a cosine wave",
        source="Loshchilov and Hutter, ICLR 2017, equation 5",
        example="cosine(warmup = 20)",
        near_miss="cosine(warmup = -1)",
        near_miss_code="SD112",
    )

    range: NumberArrow | None = None
    warmup: Annotated[int, Field(ge=0)] = 0
    floor: Annotated[float, Field(ge=0)] = 0.0
    cycles: Annotated[int, Field(ge=1)] = 1

    def at(self, step: int, total: int, start: float) -> float:
        """Return the value at a step."""
        top = start if self.range is None else float(self.range.left)
        end = self.floor if self.range is None else float(self.range.right)
        if step < self.warmup:
            return top * (step + 1) / self.warmup
        length = max(total - self.warmup, 1)
        progress = math.fmod(self.cycles * (step - self.warmup) / length, 1.0)
        return end + (top - end) * (1 + math.cos(math.pi * progress)) / 2
