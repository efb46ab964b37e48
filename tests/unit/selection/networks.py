"""Small networks, one for each way in which channels are coupled."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class Mlp(nn.Module):
    """Input [N, 5], output [N, 3]."""

    def __init__(self, widths: tuple[int, ...] = (8, 6)) -> None:
        super().__init__()
        sizes = (5, *widths)
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(sizes))
        self.act = nn.ModuleList(nn.ReLU() for _ in widths)
        self.head = nn.Linear(widths[-1], 3)

    def forward(self, x: Tensor) -> Tensor:
        for hidden, act in zip(self.hidden, self.act, strict=True):
            x = act(hidden(x))
        return self.head(x)


class Cnn(nn.Module):
    """Input [N, 2, 8, 8], output [N, 3]; the last image is flattened into the head."""

    def __init__(self, groups: int = 1, bias: bool = False) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(2, 8, 3, padding=1, bias=bias),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 12, 3, stride=2, padding=1, groups=groups, bias=bias),
            nn.BatchNorm2d(12),
            nn.ReLU(),
            nn.AvgPool2d(2),
        )
        self.head = nn.Linear(12 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


class Depthwise(nn.Module):
    """A pointwise, a depthwise (with a multiplier) and another pointwise convolution. Input [N, 2, 8, 8]."""

    def __init__(self, multiplier: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 6, 1)
        self.depth = nn.Conv2d(6, 6 * multiplier, 3, padding=1, groups=6)
        self.norm = nn.BatchNorm2d(6 * multiplier)
        self.last = nn.Conv2d(6 * multiplier, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.depth(functional.relu(self.first(x)))))
        return self.head(functional.gelu(self.last(x)).mean((2, 3)))


class Block(nn.Module):
    """``x + fc2(act(fc1(x)))``."""

    def __init__(self, act: nn.Module, inner: int = 7) -> None:
        super().__init__()
        self.fc1 = nn.Linear(6, inner)
        self.act = act
        self.fc2 = nn.Linear(inner, 6)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc2(self.act(self.fc1(x)))


class Residual(nn.Module):
    """Blocks along one stream that share one ReLU; the first block owns it. Input [N, 5], output [N, 3]."""

    def __init__(self, count: int = 3, inners: tuple[int, ...] = ()) -> None:
        super().__init__()
        act = nn.ReLU()
        self.stem = nn.Linear(5, 6)
        self.blocks = nn.ModuleList(Block(act, inner) for inner in inners or (7,) * count)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class Dense(nn.Module):
    """Two branches side by side, concatenated. Input [N, 2, 6, 6], output [N, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Conv2d(2, 4, 3, padding=1)
        self.right = nn.Conv2d(2, 5, 1)
        self.norm = nn.BatchNorm2d(9)
        self.last = nn.Conv2d(9, 4, 1)
        self.head = nn.Linear(4 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.left(x), functional.relu(self.right(x))], 1)
        return self.head(torch.relu(self.last(torch.relu(self.norm(x)))).flatten(1))


class Language(nn.Module):
    """An embedding tied to the head, a layer norm and a feed-forward layer. Input [B, T] of tokens below 11."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.norm = nn.LayerNorm(6)
        self.up = nn.Linear(6, 10)
        self.down = nn.Linear(10, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        h = self.embed(x)
        h = h + self.down(functional.gelu(self.up(self.norm(h))))
        return self.head(h)


class Fused(nn.Module):
    """One projection whose result is split in two unlike parts. Input [N, 5], output [N, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.both = nn.Linear(5, 10)
        self.a = nn.Linear(4, 3)
        self.b = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.both(x).split([4, 6], -1)
        return self.a(torch.relu(a)) + self.b(torch.relu(b))


class Shared(nn.Module):
    """One square layer that runs twice. Input [N, 6], output [N, 3]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(5, 6)
        self.twice = nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        return self.head(torch.relu(self.twice(torch.relu(self.twice(x)))))


def settled(model: nn.Module, seed: int = 0) -> nn.Module:
    """Return the model in eval mode and float64 with random weights everywhere, statistics of norms included."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.dtype.is_floating_point:
                tensor.copy_(torch.randn(tensor.shape, generator=generator, dtype=torch.float64) * 0.5)
                if name.endswith("running_var"):
                    tensor.abs_().add_(0.5)
    return model
