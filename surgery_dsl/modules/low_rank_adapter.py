"""A trainable low-rank update beside a frozen linear layer."""

from typing import final

from torch import Tensor, nn


@final
class LowRankAdapter(nn.Module):
    """``result + up(down(dropout(x))) · scale``, run around a linear layer that made ``result`` of ``x``.

    With zeros in ``up`` it returns ``result`` bit for bit (but for the sign of zeros).

    Args:
        in_features: Size of the layer's input.
        out_features: Size of the layer's output.
        rank: Size between ``down`` and ``up``.
        scale: Factor on the update; alpha / rank in the paper.
        dropout: Share of the entries of ``x`` that are dropped in training, before ``down``.

    Shapes: ``result`` ``(…, out_features)``, ``x`` ``(…, in_features)``; gives the shape of ``result``. Weights:
    ``down`` ``(rank, in_features)``, ``up`` ``(out_features, rank)``.

    Source: E. Hu et al., "LoRA: low-rank adaptation of large language models", ICLR 2022, section 4.1.
    """

    def __init__(
        self, in_features: int, out_features: int, rank: int, scale: float = 1.0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if dropout:
            self.dropout = nn.Dropout(dropout)
        self.down = nn.Linear(in_features, rank, bias=False)
        self.up = nn.Linear(rank, out_features, bias=False)
        self.scale = float(scale)

    def forward(self, result: Tensor, x: Tensor) -> Tensor:
        """Add the update to the layer's result."""
        kept = self.dropout(x) if "dropout" in self._modules else x
        update: Tensor = self.up(self.down(kept))
        return result + update * self.scale

    def extra_repr(self) -> str:
        """Show the factor."""
        return f"scale={self.scale:g}"
