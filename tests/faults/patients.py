"""Networks as people write them, each with numbers that a plan may get wrong.

Plans name them as ``python("patients:unet")``. The defaults fit. What is given another value no longer fits what stands
beside it, or fits at some sizes alone.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Vgg(nn.Module):
    """Convolutions, pools, a flattening, and a linear layer that knows how large images are."""

    def __init__(self, flat: int = 16 * 64, stem: int = 8) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(stem, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(nn.Linear(flat, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).flatten(1))


class Basic(nn.Module):
    """A residual block of two convolutions with norms."""

    def __init__(self, width: int, inner: int, norm: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, inner, 3, padding=1, bias=False), nn.BatchNorm2d(norm)
        self.conv2, self.bn2 = nn.Conv2d(inner, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))


class ResNet(nn.Module):
    """Two stages of residual blocks; the second begins with a projection of the stream."""

    def __init__(self, inner: int = 12, norm: int = 12, short: int = 24, stride: int = 2) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.stage1 = nn.Sequential(Basic(16, inner, norm), Basic(16, 12, 12))
        self.down, self.short = nn.Conv2d(16, 24, 3, stride=2, padding=1), nn.Conv2d(16, short, 1, stride=stride)
        self.stage2 = nn.Sequential(Basic(24, 20, 20), Basic(24, 20, 20))
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stage1(self.stem(x))
        x = self.stage2(F.relu(self.down(x) + self.short(x)))
        return self.head(x.mean((2, 3)))


class UNet(nn.Module):
    """Two levels down, two up, each level joined to its like by a concatenation."""

    def __init__(self, join: int = 24, up: int = 16, pad: int = 1) -> None:
        super().__init__()
        self.in1, self.in2 = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.middle = nn.Conv2d(16, 16, 3, padding=pad)
        self.up2, self.up1 = nn.ConvTranspose2d(up, 8, 2, stride=2), nn.ConvTranspose2d(8, 8, 2, stride=2)
        self.out2, self.out1 = nn.Conv2d(join, 8, 3, padding=1), nn.Conv2d(16, 8, 3, padding=1)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = F.relu(self.in1(x))
        two = F.relu(self.in2(F.max_pool2d(one, 2)))
        low = F.relu(self.middle(F.max_pool2d(two, 2)))
        two = F.relu(self.out2(torch.cat([two, self.up2(low)], 1)))
        one = F.relu(self.out1(torch.cat([one, self.up1(two)], 1)))
        return self.head(one)


class DenseNet(nn.Module):
    """Layers that each read all that came before them."""

    def __init__(self, growth: int = 6, layers: int = 4, offset: int = 0) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        wide = [8 + growth * layer for layer in range(layers)]
        wide[-1] += offset
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in wide)
        self.layers = nn.ModuleList(nn.Conv2d(width, growth, 3, padding=1) for width in wide)
        self.head = nn.Linear(8 + growth * layers, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = torch.cat([x, layer(F.relu(norm(x)))], 1)
        return self.head(x.mean((2, 3)))


class ResNeXt(nn.Module):
    """Grouped and depthwise convolutions."""

    def __init__(self, width: int = 16, groups: int = 4, depthwise: int = 16) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 1)
        self.grouped = nn.Conv2d(width, 16, 3, padding=1, groups=groups)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=depthwise)
        self.point = nn.Conv2d(16, 12, 1)
        self.head = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.grouped(F.relu(self.stem(x))))
        return self.head(F.relu(self.point(self.depthwise(x))).mean((2, 3)))


class Block(nn.Module):
    """Attention with grouped keys and values, and a feed-forward network, each behind a norm."""

    def __init__(self, width: int, heads: int, keys: int, norm: int, inner: int, out: int) -> None:
        super().__init__()
        self.heads, self.keys, self.size = heads, keys, width // heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(norm)
        self.q, self.o = nn.Linear(width, width), nn.Linear(width, width)
        self.k, self.v = (nn.Linear(width, keys * self.size) for _ in range(2))
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, out)

    def forward(self, x: Tensor) -> Tensor:
        batch, time, width = x.shape
        y = self.norm1(x)
        q = self.q(y).view(batch, time, self.heads, self.size).transpose(1, 2)
        k, v = (part(y).view(batch, time, self.keys, self.size).transpose(1, 2) for part in (self.k, self.v))
        k, v = (part.repeat_interleave(self.heads // self.keys, 1) for part in (k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, scale=self.size**-0.5)
        x = x + self.o(mixed.transpose(1, 2).reshape(batch, time, width))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Decoder(nn.Module):
    """A language model with a table of positions, whose head may share the embedding's weight."""

    def __init__(
        self,
        heads: int = 6,
        keys: int = 2,
        norm: int = 24,
        out: int = 24,
        positions: int = 16,
        tied: int = 24,
        final: int = 24,
    ) -> None:
        super().__init__()
        self.embed, self.position = nn.Embedding(40, 24), nn.Parameter(torch.zeros(positions, 24))
        self.blocks = nn.ModuleList([Block(24, heads, keys, norm, 40, out), Block(24, 6, 2, 24, 40, 24)])
        self.norm = nn.LayerNorm(final)
        self.head = nn.Linear(tied, 40, bias=False)
        if tied == 24:
            self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens) + self.position[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class Patches(nn.Module):
    """Patches of images, a table of positions for them, and a linear layer after the mean."""

    def __init__(self, positions: int = 16, patch: int = 8, fold: int = 4) -> None:
        super().__init__()
        self.fold = fold
        self.patch, self.position = nn.Conv2d(3, 24, patch, stride=patch), nn.Parameter(torch.zeros(positions, 24))
        self.mix = nn.Linear(24, 24)
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.patch(x).flatten(2).transpose(1, 2)
        return self.head(F.gelu(self.mix(y + self.position)).mean(1))


class Shuffle(nn.Module):
    """Pixels that are folded into channels, and rows that are taken in twos."""

    def __init__(self, fold: int = 2) -> None:
        super().__init__()
        self.fold = nn.PixelUnshuffle(fold)
        self.conv = nn.Conv2d(3 * fold * fold, 8, 1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.conv(self.fold(x))).mean((2, 3)))


class Mlp(nn.Module):
    """Linear layers with layer norms, which the forward reads by number."""

    def __init__(self, second: int = 32, norm: int = 32, stale: int = 32) -> None:
        super().__init__()
        self.width = stale
        self.hidden = nn.ModuleList([nn.Linear(16, 32), nn.Linear(second, 24)])
        self.norms = nn.ModuleList([nn.LayerNorm(norm), nn.LayerNorm(24)])
        self.head = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norms[0](self.hidden[0](x))).view(-1, self.width)
        return self.head(F.relu(self.norms[1](self.hidden[1](x))))


class Digits(nn.Module):
    """A perceptron for images of 8 by 8 pixels in rows."""

    def __init__(self, features: int = 64, classes: int = 10) -> None:
        super().__init__()
        self.hidden, self.act = nn.Linear(features, 24), nn.ReLU()
        self.head = nn.Linear(24, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.hidden(x)))


class Inception(nn.Module):
    """Branches that are concatenated, and a reader of a slice of them."""

    def __init__(self, joined: int = 20, cut: int = 8) -> None:
        super().__init__()
        self.cut = cut
        self.one, self.three, self.five = (nn.Conv2d(3, out, size, padding=size // 2) for out, size in _BRANCHES)
        self.joined, self.part = nn.Conv2d(joined, 12, 1), nn.Conv2d(8, 12, 1)
        self.head = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.cat([self.one(x), self.three(x), self.five(x)], 1)
        return self.head(F.relu(self.joined(y) + self.part(y[:, : self.cut])).mean((2, 3)))


_BRANCHES = ((8, 1), (6, 3), (6, 5))


class Twins(nn.Module):
    """One tower for two inputs."""

    def __init__(self, first: int = 16, pair: int = 24) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(first, 20), nn.ReLU(), nn.Linear(20, 12))
        self.head = nn.Linear(pair, 2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.head(torch.cat([self.tower(left), self.tower(right)], 1))


vgg, resnet, unet, densenet, resnext, decoder = Vgg, ResNet, UNet, DenseNet, ResNeXt, Decoder
patches, shuffle, mlp, inception, twins, digits = Patches, Shuffle, Mlp, Inception, Twins, Digits
