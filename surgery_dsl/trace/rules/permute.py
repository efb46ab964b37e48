"""Changes of the order of dimensions."""

from surgery_dsl.trace.registry import Outcome, rule
from surgery_dsl.trace.step import Step


@rule("t", "transpose", "permute", "swapaxes", "movedim", "numpy_T", "mT", "permute_copy", "transpose_copy", "t_copy")
def permute(step: Step) -> Outcome | None:
    """The same dimensions in another order."""
    dims = step.of("self").dims
    order = permutation(step, len(dims))
    if order is None:
        return None
    return Outcome([[dims[i] for i in order]], kind="permute", settings={"dims": order})


def permutation(step: Step, rank: int) -> tuple[int, ...] | None:
    """Return the source dimension of each output dimension."""
    name = step.operation.name.removesuffix("_copy").strip("_")
    order = list(range(rank))
    if name == "permute":
        return tuple(step.dims("dims", rank))
    if name in ("t", "numpy_T"):
        return tuple(reversed(order))
    if name == "mT":
        return (*order[:-2], order[-1], order[-2])
    if name in ("transpose", "swapaxes"):
        first, second = step.operation.arguments[1][0], step.operation.arguments[2][0]
        one, two = step.dim(first, rank), step.dim(second, rank)
        order[one : one + 1], order[two : two + 1] = [two], [one]
        return tuple(order)
    return None
