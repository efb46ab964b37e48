"""A path around a module."""

from typing import final

import torch
from torch import Tensor, nn


@final
class Residual(nn.Module):
    """``result + gate · x``, run around a host that made ``result`` of ``x``.

    Args:
        gate: Factor of the added path.
        learned: Whether the gate is a parameter (of shape ``()``), so that training can open it; else it is a
            constant.

    Shapes: ``result`` and ``x`` have one shape, which is the output's.
    """

    def __init__(self, gate: float = 0.0, learned: bool = True) -> None:
        super().__init__()
        self.gate: nn.Parameter | float = nn.Parameter(torch.tensor(float(gate))) if learned else float(gate)

    def forward(self, result: Tensor, x: Tensor) -> Tensor:
        """Add the gated input to the host's result."""
        if isinstance(self.gate, float) and self.gate == 1.0:
            return result + x
        return result + x * self.gate

    def extra_repr(self) -> str:
        """Show a constant gate."""
        return f"gate={self.gate}" if isinstance(self.gate, float) else ""
