"""A small residual branch that starts as the identity."""

from typing import final

from torch import Tensor, nn

from surgery_dsl.modules.activations import activation


@final
class Bottleneck(nn.Module):
    """Adapter: ``x + up(act(down(x)))`` on the last dimension.

    With zeros in ``up`` it returns its input bit for bit (but for the sign of zeros).

    Args:
        features: Size of the last dimension.
        width: Size of the narrow inside.
        act: ``relu``, ``gelu``, ``silu``, ``leaky_relu`` or ``identity``.

    Shapes: ``(…, features)`` to the same.

    Source: N. Houlsby et al., "Parameter-efficient transfer learning for NLP", ICML 2019, section 2.1.
    """

    def __init__(self, features: int, width: int, act: str = "gelu") -> None:
        super().__init__()
        self.down = nn.Linear(features, width)
        self.act = activation(act)
        self.up = nn.Linear(width, features)

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch to the input."""
        branch: Tensor = self.up(self.act(self.down(x)))
        return x + branch
