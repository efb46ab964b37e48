"""A gentle start."""

from typing import Annotated, ClassVar, final

from pydantic import Field

from surgery_dsl.vocabulary.kinds import Schedule
from surgery_dsl.vocabulary.word import Card


@final
class Warmup(Schedule):
    """Rise from near zero to the plain value, and stay there.

    Arguments:
        steps: How many steps the rise takes, at least 1.

    Static rule:
        None: it is a function of the step alone.

    Runtime rule:
        The plain value times (t + 1)/steps at step t < steps, the plain value afterwards.

    Source:
        Goyal et al., "Accurate, large minibatch SGD", arXiv:1706.02677, section 2.2.
    """

    positional = ("steps",)
    card: ClassVar[Card] = Card(
        summary="Rise to the plain value, and stay there",
        source="Goyal et al., arXiv:1706.02677, section 2.2",
        example="warmup(steps = 100)",
        near_miss="warmup(steps = 0)",
        near_miss_code="SD112",
    )

    steps: Annotated[int, Field(ge=1)]

    def at(self, step: int, total: int, start: float) -> float:
        """Return the value at a step."""
        return start * min(step + 1, self.steps) / self.steps
