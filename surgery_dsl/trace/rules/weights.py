"""Weights that are computed from others before they are used."""

from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step


@rule("_weight_norm_interface", "_weight_norm")
def weight_norm(step: Step) -> Outcome:
    """A direction scaled to a length for each index of one dimension: v · g / ‖v‖.

    The norm sums squares over the other dimensions, so that entries of zero may go. Source: torch.nn.utils.weight_norm.
    """
    direction, length = step.of("v").dims, step.of("g").dims
    at = step.dim("dim", len(direction))
    for position, (dim, own) in enumerate(zip(direction, length, strict=True)):
        if position == at:
            step.axes.unify(dim, own)
    return Outcome([direction, length])
