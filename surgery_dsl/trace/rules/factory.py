"""Tensors that the forward itself makes."""

from surgery_dsl.interface import frozen
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step


@rule(
    "arange",
    "rand",
    "randn",
    "randint",
    "linspace",
    "eye",
    "randperm",
    "normal",
    "hann_window",
    "hamming_window",
    "blackman_window",
    "bartlett_window",
    "kaiser_window",
    "vander",
    "logspace",
    "tril_indices",
    "triu_indices",
)
def factory(step: Step) -> Outcome:
    """New axes with other values at each index: what they meet keeps its indices."""
    reason = frozen.constant(step.operation.name, step.axes.place)
    return Outcome([[step.axes.fresh(size, reason, soft=True) for size in sizes] for sizes in step.output_sizes])


@rule(
    "full",
    "zeros",
    "ones",
    "empty",
    "scalar_tensor",
    "new_ones",
    "new_zeros",
    "new_full",
    "new_empty",
    "empty_strided",
    "new_empty_strided",
)
def uniform(step: Step) -> Outcome:
    """New axes with the same value everywhere, which give way to others where they meet."""
    return Outcome([[step.axes.fresh(size, soft=True) for size in sizes] for sizes in step.output_sizes])


@rule("zeros_like", "ones_like", "full_like", "empty_like", "zero")
def like(step: Step) -> Outcome:
    """The axes of the tensor it is like."""
    return Outcome([step.of("self").dims], settings=step.scalars())


@rule("rand_like", "randn_like", "randint_like", "uniform", "exponential", "random", "bernoulli", "multinomial")
def drawn(step: Step) -> Outcome:
    """Numbers drawn for each index: another number of them changes all that is drawn."""
    reason = frozen.constant(step.operation.name.strip("_"), step.axes.place)
    source = step.of("self").dims
    for dim in source:
        step.axes.freeze(dim, reason)
    if step.operation.name == "multinomial":
        drawn_dim = step.axes.fresh(step.output[-1], reason)
        return Outcome([[*source[:-1], drawn_dim]], picks=[source[-1]], follows_picks=True)
    return Outcome([source], settings=step.scalars())
