"""Showing what a lock assumed of a model: the inputs that were made from it, and the way that its forward took."""

from collections.abc import Iterator

from surgery_dsl.interface.expression import Expression, linear_text
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.lock import ModelLock


def inputs_text(model: ModelLock) -> Iterator[str]:
    """Yield lines that say which inputs a lock chose, as a plan would write them, and why; none where the plan did.

    A forward that chooses by values is told as well: what is proved then holds for the way that was traced.
    """
    if model.interface.by_values:
        yield (
            f"{model.name}: note: the forward chooses by values that it computes, {model.interface.by_values}: what is "
            "proved of shapes holds for the way that it took when it was traced"
        )
    if not model.inputs:
        return
    written = ", ".join(_written(spec) for spec in model.inputs)
    yield f"{model.name}: input = {f'[{written}]' if model.keyword_inputs else written} (made from the network)"
    for note in model.notes:
        yield f"{model.name}: note: {note}"


def _written(spec: InputSpec) -> str:
    ranges = {free.name: f"{free.least}..{free.most}" for free in spec.free if free.most is not None}

    def size(dim: Expression) -> str:
        return f"{dim} in {ranges.pop(dim)}" if isinstance(dim, str) and dim in ranges else linear_text(dim)

    dims = ", ".join(size(dim) for dim in spec.dims)
    below = f", below = {spec.below}" if spec.below is not None else ""
    left = "".join(f", {name} = {span}" for name, span in ranges.items())
    return f'{spec.name}("{spec.dtype}", [{dims}]{below}{left})'
