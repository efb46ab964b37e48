"""Activations by the names that plans use."""

from collections.abc import Callable

from torch import nn

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "gelu": nn.GELU,
    "identity": nn.Identity,
    "leaky_relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
}


def activation(name: str) -> nn.Module:
    """Return a new module for an activation, with torch's default settings.

    Raises:
        ValueError: There is no such activation.
    """
    if name not in _ACTIVATIONS:
        raise ValueError(f"{name!r} is not one of {', '.join(_ACTIVATIONS)}")
    return _ACTIVATIONS[name]()
