"""Attentions in the layouts that networks have, with forwards that read their head counts from tensors."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH, SIZE = 12, 3
Layout = Literal["separate", "behind", "selected", "interleaved", "grouped"]


class Attention(nn.Module):
    """Attention written out; ``layout`` says how queries, keys and values stand in what projects them."""

    def __init__(self, heads: int = 6, kv: int = 6, layout: Layout = "separate", bias: bool = True) -> None:
        super().__init__()
        self.layout, self.group = layout, heads // kv
        if layout == "separate":
            self.q = nn.Linear(WIDTH, heads * SIZE, bias)
            self.k, self.v = nn.Linear(WIDTH, kv * SIZE, bias), nn.Linear(WIDTH, kv * SIZE, bias)
        else:
            self.qkv = nn.Linear(WIDTH, (heads + 2 * kv) * SIZE, bias)
        self.out = nn.Linear(heads * SIZE, WIDTH, bias)

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values as (batch, time, heads, size)."""
        b, t, _ = x.shape
        if self.layout == "separate":
            q, k, v = (layer(x).view(b, t, -1, SIZE) for layer in (self.q, self.k, self.v))
            return q, k, v
        whole = self.qkv(x)
        if self.layout == "behind":  # as in GPT-2
            q, k, v = (part.view(b, t, -1, SIZE) for part in whole.chunk(3, -1))
            return q, k, v
        if self.layout == "selected":  # as in timm
            return whole.view(b, t, 3, -1, SIZE).unbind(2)
        if self.layout == "interleaved":  # as in GPT-NeoX, BLOOM and Megatron
            return whole.view(b, t, -1, 3, SIZE).unbind(3)
        whole = whole.view(b, t, -1, self.group + 2, SIZE)  # as in Falcon
        return whole[:, :, :, :-2].flatten(2, 3), whole[:, :, :, -2], whole[:, :, :, -1]

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = (part.transpose(1, 2) for part in self.parts(x))
        kv, group = k.shape[1], q.shape[1] // k.shape[1]
        if group > 1:
            k = k[:, :, None].expand(b, kv, group, t, SIZE).reshape(b, kv * group, t, SIZE)
            v = v[:, :, None].expand(b, kv, group, t, SIZE).reshape(b, kv * group, t, SIZE)
        weights = F.softmax(q @ k.transpose(-1, -2) * SIZE**-0.5, -1)
        return self.out((weights @ v).transpose(1, 2).reshape(b, t, -1))


class Block(nn.Module):
    """An attention and an MLP in a residual stream."""

    def __init__(self, attention: nn.Module, gated: bool = False) -> None:
        super().__init__()
        self.norm, self.attn = nn.LayerNorm(WIDTH), attention
        self.mlp = Gated() if gated else nn.Sequential(nn.Linear(WIDTH, 10), nn.GELU(), nn.Linear(10, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm(x))
        return x + self.mlp(x)


class Gated(nn.Module):
    """A gated MLP whose gate and values are one projection."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_up, self.down = nn.Linear(WIDTH, 20), nn.Linear(10, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        gate, up = self.gate_up(x).chunk(2, -1)
        return self.down(F.silu(gate) * up)


class Stack(nn.Module):
    """Blocks between a linear embedding and a head; inputs are (batch, time, 5)."""

    def __init__(self, *attentions: nn.Module, gated: bool = False) -> None:
        super().__init__()
        self.embed = nn.Linear(5, WIDTH)
        self.blocks = nn.ModuleList([Block(attention, gated) for attention in attentions])
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def settled(model: nn.Module, seed: int = 0) -> nn.Module:
    """Draw every parameter anew, in float64, and set the model to eval mode."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.4)
    return model
