"""Operators that hand their input on."""

from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step


@rule("clone", "detach", "alias", "lift_fresh", "lift_fresh_copy", "contiguous", "lift", "view_as")
def identity(step: Step) -> Outcome:
    """The output is the input."""
    return Outcome([step.of(step.operation.arguments[0][0]).dims], identity=True)


@rule("_to_copy")
def cast(step: Step) -> Outcome:
    """The output is the input in another dtype, or the input itself."""
    return Outcome([step.of("self").dims], kind="cast", identity=step["dtype"] is None)


@rule("dropout", "native_dropout")
def dropout(step: Step) -> Outcome:
    """In eval mode the output is the input."""
    dims = step.of("input").dims
    train = bool(step["train"])
    return Outcome([dims] * len(step.output_sizes), kind="dropout", settings=step.settings("p"), identity=not train)
