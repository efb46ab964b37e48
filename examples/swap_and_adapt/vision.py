"""A small residual network of perceptron blocks for flat 8x8 digits."""

from torch import Tensor, nn


class ResidualBlock(nn.Module):
    """``x + fc2(act(fc1(norm(x))))``; the activation is handed in, so blocks may share one."""

    def __init__(self, width: int, hidden: int, act: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.act = act
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc2(self.act(self.fc1(self.norm(x))))


class ResMlp(nn.Module):
    """A linear stem, residual blocks which all call the same ReLU module, a norm and a linear head.

    Input ``[N, 64]`` in [0, 1], output ``[N, 10]`` logits.
    """

    def __init__(self, width: int = 64, hidden: int = 96, depth: int = 3, classes: int = 10) -> None:
        super().__init__()
        act = nn.ReLU()
        self.stem = nn.Linear(64, width)
        self.blocks = nn.ModuleList(ResidualBlock(width, hidden, act) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def build_resmlp() -> nn.Module:
    return ResMlp()
