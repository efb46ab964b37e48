"""Tensors that the forward itself makes."""

from surgery_dsl.interface import frozen
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step


@rule(
    "arange",
    "full",
    "zeros",
    "ones",
    "empty",
    "scalar_tensor",
    "new_ones",
    "new_zeros",
    "new_full",
    "new_empty",
    "rand",
    "randn",
    "randint",
    "linspace",
    "eye",
    "empty_strided",
    "new_empty_strided",
    "tril_indices",
    "triu_indices",
)
def factory(step: Step) -> Outcome:
    """New axes, which give way to others where they meet."""
    reason = frozen.constant(step.operation.name, step.axes.place)
    return Outcome([[step.axes.fresh(size, reason, soft=True) for size in sizes] for sizes in step.output_sizes])


@rule("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like")
def like(step: Step) -> Outcome:
    """The axes of the tensor it is like."""
    return Outcome([step.of("self").dims], settings=step.scalars())
