"""How many experts stand in a parameter: a trace that runs them in one batch never reads the number."""

from collections.abc import Mapping

from torch import nn

from surgery_dsl.interface.model import Dim, Tensor

NUMBER = "num_experts"
STACKED = 3
"""Dimensions of a parameter that holds the matrices of several experts."""


def number_of_experts(path: str, module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Dim]:
    """Return the dimension that a module's ``num_experts`` must equal, by that name; nothing where there is none.

    ``transformers`` groups tokens by it when it runs (``integrations.moe.grouped_mm_experts_forward``), and not where
    experts run in one batch, as they do here.
    """
    number = getattr(module, NUMBER, None)
    stacked = {p.shape[0] for p in module._parameters.values() if p is not None and p.dim() >= STACKED}
    if type(number) is not int or stacked != {number}:
        return {}
    held = [
        tensor.dims[0]
        for tensor in tensors.values()
        if tensor.role == "parameter" and tensor.name.rpartition(".")[0] == path and len(tensor.dims) >= STACKED
    ]
    if any(dim != held[0] for dim in held):
        return {}
    return {NUMBER: held[0]}
