"""Softmax and its like: one dimension is normalised."""

from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step


@rule("_softmax", "_log_softmax", "_safe_softmax", "softmax", "log_softmax")
def softmax(step: Step) -> Outcome:
    """The dimensions stay."""
    dims = step.of("self").dims
    kind = step.operation.name.strip("_").removeprefix("safe_")
    return Outcome([dims], kind=kind, settings={"dim": step.dim("dim", len(dims))})
