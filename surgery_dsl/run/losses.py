"""The weighted sum of a ``recover`` step's loss terms."""

from typing import TYPE_CHECKING

from torch import Tensor

from surgery_dsl.evidence.named_inputs import Inputs
from surgery_dsl.language.plan import Recover
from surgery_dsl.vocabulary.kinds import Loss, Schedule

if TYPE_CHECKING:
    from surgery_dsl.run.session import Session


def total_loss(
    step: Recover,
    session: "Session",
    outputs: Tensor,
    inputs: Inputs,
    targets: Tensor,
    position: int = 0,
    total: int = 1,
) -> Tensor:
    """Return the step's loss of a batch at a position of its run, a scalar with gradient."""
    result = outputs.new_zeros(())
    for term in step.loss:
        word = term.word
        if not isinstance(word, Loss):
            raise TypeError(f"`{word.name}` is no loss")
        result = result + number(term.weight, position, total) * word.value(outputs, inputs, targets, session)
    return result


def number(value: float | Schedule, position: int, total: int, start: float = 1.0) -> float:
    """Return a number, or what a schedule makes of ``start`` at a position."""
    return value.at(position, total, start) if isinstance(value, Schedule) else float(value)
