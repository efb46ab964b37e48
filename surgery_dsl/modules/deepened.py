"""A layer that is added behind an activation."""

from typing import Literal, final

from torch import Tensor, nn

from surgery_dsl.modules.activations import activation


@final
class Deepened(nn.Module):
    """``act(layer(x))``, where ``layer`` keeps the size of ``x``.

    Args:
        features: Number of features or channels.
        act: ``relu``, ``gelu``, ``silu``, ``leaky_relu`` or ``identity``.
        kind: ``linear`` works on the last dimension; ``conv1d``, ``conv2d`` and ``conv3d`` work on the channels, one
            position at a time (kernel size 1).

    Shapes: ``(…, features)``, or ``(N, features, *spatial)``, to the same.

    Source: T. Chen, I. Goodfellow, J. Shlens, "Net2Net", ICLR 2016, section 2.3.
    """

    def __init__(
        self,
        features: int,
        act: str = "relu",
        kind: Literal["linear", "conv1d", "conv2d", "conv3d"] = "linear",
    ) -> None:
        super().__init__()
        convolutions = {"conv1d": nn.Conv1d, "conv2d": nn.Conv2d, "conv3d": nn.Conv3d}
        self.layer: nn.Module
        if kind == "linear":
            self.layer = nn.Linear(features, features)
        elif kind in convolutions:
            self.layer = convolutions[kind](features, features, kernel_size=1)
        else:
            raise ValueError(f"{kind!r} is not a kind of layer")
        self.act = activation(act)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layer, then the activation."""
        result: Tensor = self.act(self.layer(x))
        return result
