"""Two mixtures of six experts between linear layers, for 8 by 8 images; each image goes through two experts of each."""

import torch
from torch import Tensor, nn


class Mixture(nn.Module):
    """Experts in stacked weights, of which a router chooses two for each example."""

    def __init__(self, width: int, hidden: int, experts: int) -> None:
        super().__init__()
        self.router = nn.Linear(width, experts)
        self.up = nn.Parameter(torch.randn(experts, hidden, width) / width**0.5)
        self.down = nn.Parameter(torch.randn(experts, width, hidden) / hidden**0.5)

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = torch.softmax(self.router(x), dim=-1).topk(2, dim=-1)
        up, down = self.up[chosen], self.down[chosen]
        inner = torch.relu(up @ x[:, None, :, None])
        result: Tensor = ((down @ inner).squeeze(-1) * weights.unsqueeze(-1)).sum(1)
        return result


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(64, 32)
        self.blocks = nn.ModuleList([Mixture(32, 48, 6) for _ in range(2)])
        self.norms = nn.ModuleList([nn.LayerNorm(32) for _ in range(2)])
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for norm, block in zip(self.norms, self.blocks, strict=True):
            x = x + block(norm(x))
        logits: Tensor = self.head(x)
        return logits


def build() -> nn.Module:
    return Network()
