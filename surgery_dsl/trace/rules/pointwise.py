"""Operators that act entry by entry, with broadcasting."""

from surgery_dsl.interface.model import Setting
from surgery_dsl.trace.atoms import Product, flat
from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import State, Step

# Settings that are always there, so that one call is told from another whatever torch's defaults are.
_ALWAYS = {"gelu": ("approximate",), "leaky_relu": ("negative_slope",), "elu": ("alpha",), "celu": ("alpha",)}


def broadcast(step: Step, states: list[State], rank: int) -> list[Product]:
    """Join dimensions from the right, as broadcasting does; a dimension of one meets nothing."""
    out: list[Product] = [[] for _ in range(rank)]
    for state in states:
        offset = rank - len(state.dims)
        for position, dim in enumerate(state.dims):
            if not flat(dim):
                continue
            if out[offset + position]:
                step.axes.unify(out[offset + position], dim)
            else:
                out[offset + position] = dim
    return out


# Pointwise operators that lack torch's tag (leaky_relu before torch 2.12).
@rule(
    "leaky_relu",
    "masked_fill",
    "where",
    "floor_divide",
    "rrelu_with_noise",
    "lerp",
    "addcmul",
    "addcdiv",
    "_prelu_kernel",
    "hardswish",
    "rrelu",
    "fill",
    "copy",
)
def pointwise(step: Step) -> Outcome | None:
    """Every output has the joined dimensions of all tensors read."""
    states = [step.states[ref] for ref in step.records[0].reads]
    rank = len(step.output)
    if any(len(state.dims) > rank for state in states):
        return None
    name = step.operation.name.strip("_")
    settings: dict[str, Setting] = step.scalars() | step.settings(*_ALWAYS.get(name, ()))
    dims = broadcast(step, states, rank)
    kind = {"prelu_kernel": "prelu"}.get(name, name)
    return Outcome([dims] * len(step.output_sizes), kind=kind, settings=settings)


@rule("log_sigmoid_forward")
def log_sigmoid(step: Step) -> Outcome:
    """Entry by entry; the second result is for the backward alone."""
    dims = step.of("self").dims
    alike = step.output_sizes[1] == step.output
    spare = dims if alike else [step.axes.fresh(size, "a workspace") for size in step.output_sizes[1]]
    return Outcome([dims, spare], kind="log_sigmoid")
