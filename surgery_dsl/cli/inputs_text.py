"""Showing the inputs that were made from a model itself."""

from collections.abc import Iterator

from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.lock import ModelLock


def inputs_text(model: ModelLock) -> Iterator[str]:
    """Yield lines that say which inputs a lock chose, as a plan would write them, and why; none where the plan did."""
    if not model.inputs:
        return
    written = ", ".join(_written(spec) for spec in model.inputs)
    yield f"{model.name}: input = {f'[{written}]' if model.keyword_inputs else written} (made from the network)"
    for note in model.notes:
        yield f"{model.name}: note: {note}"


def _written(spec: InputSpec) -> str:
    ranges = {free.name: free for free in spec.free}

    def size(dim: int | str) -> str:
        free = ranges.get(dim) if isinstance(dim, str) else None
        return f"{dim} in {free.least}..{free.most}" if free is not None and free.most is not None else str(dim)

    below = f", below = {spec.below}" if spec.below is not None else ""
    return f'{spec.name}("{spec.dtype}", [{", ".join(size(dim) for dim in spec.dims)}]{below})'
