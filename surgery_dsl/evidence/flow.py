"""Whether every layer receives a gradient."""

import math

from torch import Tensor, nn

from surgery_dsl.evidence.gradients import accumulated
from surgery_dsl.evidence.metrics import Batches, Forward, evaluating


def loss_gradients(model: nn.Module, batches: Batches, forward: Forward, tokens: bool = False) -> dict[str, Tensor]:
    """Return the gradient of the mean loss over the batches, by floating-point parameter.

    In eval mode; ``.grad``, ``requires_grad`` and modes are left as they were.
    """
    tensors = {name: value for name, value in model.named_parameters() if value.is_floating_point()}
    if not tensors:
        return {}
    with evaluating(model):
        return accumulated(lambda inputs: forward(model, inputs), tensors, batches, tokens=tokens)


def norms(gradients: dict[str, Tensor]) -> dict[str, float]:
    """Return the norm of the gradient of each module's own parameters, in float64, by the module's path."""
    squares: dict[str, Tensor] = {}
    for name, gradient in gradients.items():
        owner, square = name.rpartition(".")[0], (gradient.double() ** 2).sum().cpu()
        squares[owner] = squares[owner] + square if owner in squares else square
    return {owner: math.sqrt(float(square)) for owner, square in squares.items()}


def least(found: dict[str, float]) -> float:
    """Return the least norm; infinity where no module has parameters, NaN where a gradient is."""
    return next((norm for norm in found.values() if math.isnan(norm)), min(found.values(), default=math.inf))
