"""A linear layer that stores its weight in 8 bits."""

from collections.abc import Callable
from typing import ClassVar, Literal, Self, final

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from surgery_dsl.kernels.quantizers import dequantize


@final
class QuantizedLinear(nn.Module):
    """``linear(x, (weight − zero_point) · scale, bias)``: the weight is stored as int8 and restored at each call.

    The weight is a parameter that takes no gradient, so that it counts as one. ``scale`` and ``zero_point`` are
    buffers. The scale is float32 (float64 for float64 weights) also where the network runs in half precision:
    moves to another dtype change neither the integers nor the scale.

    Args:
        in_features: Size of the input's last dimension.
        out_features: Size of the output's last dimension.
        bias: Whether a bias is added.
        per: ``channel`` for one scale each output, ``tensor`` for one in all.
        symmetric: Whether the integer 0 means 0; otherwise there is a ``zero_point``.
        dtype: Dtype of the bias, and of the weight that the integers stand for.

    Shapes: ``(…, in_features)`` to ``(…, out_features)``; scale and zero point ``(out_features,)`` or ``()``.

    Source: B. Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only
    inference", CVPR 2018, section 2.1 (storage alone: the arithmetic here is in floats).
    """

    axis_integers: ClassVar[dict[str, tuple[str, int]]] = {"in_features": ("weight", 1), "out_features": ("weight", 0)}

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        per: Literal["channel", "tensor"] = "channel",
        symmetric: bool = True,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        if per not in ("channel", "tensor"):
            raise ValueError(f"{per!r} is neither 'channel' nor 'tensor'")
        self.in_features = in_features
        self.out_features = out_features
        shape = (out_features,) if per == "channel" else ()
        precise = torch.float64 if dtype is torch.float64 else torch.float32
        self.weight = nn.Parameter(torch.zeros(out_features, in_features, dtype=torch.int8), requires_grad=False)
        self.scale: Tensor
        self.zero_point: Tensor | None
        self.register_buffer("scale", torch.ones(shape, dtype=precise))
        self.register_buffer("zero_point", None if symmetric else torch.zeros(shape, dtype=torch.int8))
        self.bias = nn.Parameter(torch.zeros(out_features, dtype=dtype)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Restore the weight in the input's dtype and apply it."""
        return linear(x, dequantize(self.weight, self.scale, self.zero_point, x.dtype), self.bias)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        scale = self.scale
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if torch.finfo(self.scale.dtype).eps > torch.finfo(scale.dtype).eps:
            self.scale = scale.to(self.scale.device)
        return self

    def extra_repr(self) -> str:
        """Show the sizes and the kind of quantization."""
        per = "channel" if self.scale.dim() else "tensor"
        sizes = f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        return f"{sizes}, per={per}, symmetric={self.zero_point is None}"
