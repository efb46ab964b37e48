"""Whether every layer receives a gradient."""

import math

import torch
from torch import nn

from surgery_dsl.evidence.gradients import accumulated
from surgery_dsl.evidence.metrics import Batches, Forward, evaluating


def least_flow(model: nn.Module, batches: Batches, forward: Forward, tokens: bool = False) -> float:
    """Return the least norm of the loss gradient over modules that hold floating-point parameters themselves.

    The loss is the mean over the batches; the norm of a module is taken over all its own parameters, in
    float64. In eval mode; ``.grad``, ``requires_grad`` and modes are left as they were. Infinite where no module
    holds such parameters; NaN where a gradient is.
    """
    owners: dict[str, list[str]] = {}
    tensors = {}
    for name, parameter in model.named_parameters():
        if parameter.is_floating_point():
            owners.setdefault(name.rpartition(".")[0], []).append(name)
            tensors[name] = parameter
    if not tensors:
        return math.inf
    with evaluating(model):
        gradients = accumulated(lambda inputs: forward(model, inputs), tensors, batches, tokens=tokens)
    norms = [
        torch.sqrt(sum(((gradients[name].double() ** 2).sum() for name in names), torch.zeros(()).double()))
        for names in owners.values()
    ]
    return float(torch.stack([norm.cpu() for norm in norms]).min())
