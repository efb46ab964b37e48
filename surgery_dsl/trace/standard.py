"""Modules whose forward is known: torch's own, and those that were declared to count as one operator."""

from torch import nn

from surgery_dsl.modules.insertion import own_class
from surgery_dsl.trace.registry import WHOLE_MODULES

# Modules whose whole forward is one operator, so that the module's path names the call.
_ONE_OPERATOR = ("torch.nn.modules.", "surgery_dsl.modules.", "transformers.pytorch_utils")

# Integer attributes that torch checks, of modules whose forward hands them to no operator.
FROM_TENSORS: dict[str, dict[str, tuple[str, int]]] = {
    "torch.nn.InstanceNorm1d": {"num_features": ("weight", 0)},
    "torch.nn.InstanceNorm2d": {"num_features": ("weight", 0)},
    "torch.nn.InstanceNorm3d": {"num_features": ("weight", 0)},
    **{
        f"torch.nn.{kind}{form}": {"input_size": (f"weight_ih{layer}", 1), "hidden_size": (f"weight_hh{layer}", 1)}
        for form, layer in (("", "_l0"), ("Cell", ""))
        for kind in ("LSTM", "GRU", "RNN")
    },
    "torch.nn.RMSNorm": {f"normalized_shape.{i}": ("weight", i) for i in range(4)},
}

# Integer attributes that go by other names than torch's.
OTHER_NAMES = {"nf": "out_features", "nx": "in_features"}


def is_one_operator(module: nn.Module) -> bool:
    """Say whether a module's whole forward is one operator: torch's own and its like, and those declared to be."""
    kind = own_class(module)
    if f"{kind.__module__}.{kind.__qualname__}" in WHOLE_MODULES:
        return True
    return kind.forward.__module__.startswith(_ONE_OPERATOR)
