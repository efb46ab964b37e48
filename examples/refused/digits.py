"""The small networks that the refused plans name. All of them classify 8x8 digits."""

from torch import Tensor, nn


class Cnn(nn.Module):
    """Two convolutions with batch norm; ``groups`` splits the second. Input ``[N, 1, 8, 8]``, output ``[N, 10]``."""

    def __init__(self, groups: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 32, kernel_size=3, stride=2, padding=1, groups=groups, bias=False),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
        )
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


class Mlp(nn.Module):
    """Two hidden layers, each with its own ReLU. Input ``[N, 64]``, output ``[N, 10]``."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(64, 64), nn.Linear(64, 32)])
        self.act = nn.ModuleList([nn.ReLU(), nn.ReLU()])
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        for hidden, act in zip(self.hidden, self.act, strict=True):
            x = act(hidden(x))
        return self.head(x)


class Block(nn.Module):
    """``x + fc2(act(fc1(x)))``."""

    def __init__(self, act: nn.Module) -> None:
        super().__init__()
        self.fc1 = nn.Linear(32, 48)
        self.act = act
        self.fc2 = nn.Linear(48, 32)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc2(self.act(self.fc1(x)))


class Residual(nn.Module):
    """A stem and two residual blocks that share one ReLU module. Input ``[N, 64]``, output ``[N, 10]``."""

    def __init__(self) -> None:
        super().__init__()
        act = nn.ReLU()
        self.stem = nn.Linear(64, 32)
        self.blocks = nn.ModuleList([Block(act), Block(act)])
        self.head = nn.Linear(32, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Tied(nn.Module):
    """Two hidden layers with one weight between them. Input ``[N, 64]``, output ``[N, 10]``."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 64)
        self.second = nn.Linear(64, 64)
        self.second.weight = self.first.weight
        self.act = nn.ReLU()
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.second(self.act(self.first(x)))))


def build_cnn() -> nn.Module:
    return Cnn()


def build_grouped_cnn() -> nn.Module:
    return Cnn(groups=4)


def build_mlp() -> nn.Module:
    return Mlp()


def build_residual() -> nn.Module:
    return Residual()


def build_tied() -> nn.Module:
    return Tied()
