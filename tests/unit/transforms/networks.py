"""Small networks, one property each. Every factory draws its weights from its own seed."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.interface.inputs import InputSpec
from tests.unit.transforms.bench import spec


class Mlp(nn.Module):
    def __init__(self, act: Callable[[], nn.Module] = nn.ReLU) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 8)])
        self.act = nn.ModuleList([act(), act(), act()])
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer, act in zip(self.hidden, self.act, strict=True):
            x = act(layer(x))
        return self.head(x)


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 6, 3, padding=1, stride=2),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.head = nn.Linear(6 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


class Block(nn.Module):
    def __init__(self, width: int, act: nn.Module) -> None:
        super().__init__()
        self.fc1, self.act, self.fc2 = nn.Linear(width, 10), act, nn.Linear(10, width)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc2(self.act(self.fc1(x)))


class ResidualMlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        act = nn.ReLU()
        self.stem = nn.Linear(6, 8)
        self.blocks = nn.ModuleList([Block(8, act), Block(8, act)])
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Sequence(nn.Module):
    """Linear layers over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, 8)])
        self.act = nn.ModuleList([nn.ReLU(), nn.GELU()])
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer, act in zip(self.hidden, self.act, strict=True):
            x = act(layer(x))
        return self.head(x)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.second.weight = self.first.weight
        self.act = nn.ReLU()
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.second(F.gelu(self.first(self.stem(x))))))


class Concatenated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(6, 8), nn.Linear(6, 8)
        self.act = nn.ReLU()
        self.joint = nn.Linear(16, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.joint(torch.cat([self.left(x), self.right(x)], dim=1))))


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(6, 8)
        self.norm = nn.LayerNorm(8)
        self.act = nn.ReLU()
        self.body = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.body(self.norm(self.stem(x)))))


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, groups=4),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
            nn.ReLU(),
            nn.Conv2d(8, 6, 1),
        )
        self.head = nn.Linear(6 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[InputSpec, ...]]] = {
    "mlp": (Mlp, spec("N", 6)),
    "cnn": (Cnn, spec("N", 1, 8, 8)),
    "residual": (ResidualMlp, spec("N", 6)),
    "sequence": (Sequence, spec("N", "T", 6)),
    "tied": (Tied, spec("N", 6)),
    "concatenated": (Concatenated, spec("N", 6)),
    "normed": (Normed, spec("N", 6)),
    "grouped": (Grouped, spec("N", 1, 4, 4)),
}


def drawn(network: nn.Module, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Draw every tensor anew, norms' statistics included, so that nothing is neutral."""
    generator = torch.Generator().manual_seed(seed)
    network.to(dtype)
    with torch.no_grad():
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            if tensor.is_floating_point():
                noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
                positive = name.endswith("running_var") or (tensor.dim() == 1 and "weight" in name)
                tensor.copy_(0.5 + noise.abs() if positive else noise / max(1, tensor[:1].numel()) ** 0.5)
    return network.eval()


def inputs_of(spec: tuple[InputSpec, ...], dtype: torch.dtype = torch.float64, seed: int = 1) -> Tensor:
    sizes = {"N": 5, "T": 7}
    shape = [sizes[d] if isinstance(d, str) else d for d in spec[0].dims]
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
