"""Networks for the benchmarks, built from sizes alone."""

import torch
from torch import nn


class Block(nn.Module):
    """Two convolutions with batch norm around a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.out = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.relu(self.bn1(self.conv1(x)))
        result: torch.Tensor = self.out(self.bn2(self.conv2(inner)) + x)
        return result


class Residual(nn.Module):
    """A residual network of ``2 * blocks + 2`` layers with weights."""

    def __init__(self, blocks: int, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        result: torch.Tensor = self.head(torch.flatten(self.pool(x), 1))
        return result


def build_residual_500(width: int = 32) -> nn.Module:
    """500 layers with weights: a stem, 249 blocks of two, a head."""
    return Residual(249, width)


class Wide(nn.Module):
    """A multi-layer perceptron of about 100 M parameters with six square layers."""

    def __init__(self, width: int = 4096, depth: int = 6) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.act = nn.ReLU()
        self.head = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.hidden:
            x = self.act(layer(x))
        result: torch.Tensor = self.head(x)
        return result


def build_wide_100m() -> nn.Module:
    """About 100 M parameters: six layers of 4096 x 4096."""
    return Wide()
