"""The way in: a module and what a plan says of its inputs, to an interface."""

from collections.abc import Sequence

from torch import nn

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize, Interface
from surgery_dsl.trace import dtypes, refusals
from surgery_dsl.trace.forward import ForwardFailed, ValuesNeeded
from surgery_dsl.trace.graph import graph
from surgery_dsl.trace.trial import freeze_hard_coded


def trace(
    model: nn.Module,
    inputs: tuple[InputSpec, ...],
    outputs: tuple[str, ...] | None = None,
    free: tuple[FreeSize, ...] = (),
) -> Interface:
    """Run the model's forward on fake tensors and return its axis graph.

    The model may stand on any device, ``meta`` included. It is traced in eval mode, without gradients, and is the
    same object with the same tensors and attributes afterwards. The forward runs at two assignments of the free
    sizes, each within its range; both runs must make the same calls. Axes whose size the forward holds as a number
    of its own are found by trying other sizes, and frozen.

    Args:
        model: The network.
        inputs: One input is given by position, several by keyword.
        outputs: Names of the outputs in order, or some of the keys of the forward's result; ``None`` takes the
            keys, or ``output``, ``output.0`` …
        free: Ranges of the free sizes; one that is missing here starts at 1 and has no end.

    Returns:
        The interface; axis sizes are expressions in the free sizes.

    Raises:
        Refused: With SD200 to SD205 where the forward does not run, does different things at different sizes, has
            sizes that cannot be followed, or does not fit the inputs or outputs that the plan names.
    """
    free = _complete(inputs, free)
    for spec in inputs:
        if spec.dtype not in dtypes.BY_NAME:
            raise Refused(refusals.unknown_dtype(spec))
    try:
        traced = graph(model, inputs, outputs, free)
    except ForwardFailed as failed:
        raise Refused(refusals.forward_fails(failed, inputs)) from failed.error
    except ValuesNeeded as error:
        raise Refused(refusals.values_needed(error)) from error
    return freeze_hard_coded(model, traced, inputs)


def _complete(inputs: Sequence[InputSpec], free: Sequence[FreeSize]) -> tuple[FreeSize, ...]:
    given = {size.name: size for size in free} | {size.name: size for spec in inputs for size in spec.free}
    used = dict.fromkeys(size for spec in inputs for size in spec.dims if isinstance(size, str))
    return tuple(given.get(name) or FreeSize(name=name) for name in used)
