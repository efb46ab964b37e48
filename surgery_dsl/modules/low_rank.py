"""Two thin linear layers in the place of one."""

from typing import final

from torch import Tensor, nn


@final
class LowRank(nn.Module):
    """``up(down(x))``: a linear layer whose weight has at most rank ``rank``.

    Args:
        in_features: Size of the input's last dimension.
        out_features: Size of the output's last dimension.
        rank: Size between the two layers.
        bias: Whether ``up`` adds a bias; ``down`` never does.

    Shapes: ``(…, in_features)`` to ``(…, out_features)``. Weights: ``down`` ``(rank, in_features)``, ``up``
    ``(out_features, rank)``.
    """

    def __init__(self, in_features: int, out_features: int, rank: int, bias: bool = True) -> None:
        super().__init__()
        self.down = nn.Linear(in_features, rank, bias=False)
        self.up = nn.Linear(rank, out_features, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Apply both layers."""
        result: Tensor = self.up(self.down(x))
        return result
