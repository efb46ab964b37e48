"""The oracle on hand-made networks: every axis that is called free is free, and whole."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.interface.inputs import InputSpec
from tests.unit.trace.oracle import assert_right, spec


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, 8), nn.Linear(8, 6, bias=False), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.tanh(self.b(F.relu(self.a(x)))))


class Cnn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1),
            nn.BatchNorm2d(6),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 4, 3, stride=2, padding=1, dilation=2, bias=False),
            nn.BatchNorm2d(4),
            nn.GELU(approximate="tanh"),
            nn.AvgPool2d(2),
        )
        self.head = nn.Linear(4 * 2 * 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x).flatten(1))


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 12, 1)
        self.g = nn.Conv2d(12, 18, 3, groups=3, padding=1)
        self.n = nn.BatchNorm2d(18)
        self.b = nn.Conv2d(18, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(F.leaky_relu(self.n(self.g(F.relu(self.a(x)))), 0.2)).mean((2, 3))


class Depthwise(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(2, 8, 1)
        self.d = nn.Conv2d(8, 8, 3, groups=8, padding=1, stride=2)
        self.m = nn.Conv2d(8, 16, 3, groups=8, padding=1)
        self.b = nn.Conv2d(16, 4, 1)
        self.out = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.b(F.silu(self.m(F.elu(self.d(self.a(x)))))), 1)
        return self.out(torch.flatten(x, 1))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3, padding=1)
        self.a, self.b = nn.Conv2d(6, 5, 3, stride=2, padding=1), nn.Conv2d(5, 8, 3, padding=1)
        self.short = nn.Conv2d(6, 8, 1, stride=2)
        self.out = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        x = x + F.relu_(x * 0.5)
        y = self.b(F.relu(self.a(x)))
        y += self.short(x)
        return self.out(F.relu(y).mean(dim=(2, 3)))


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 4, 1)
        self.grow = nn.ModuleList(nn.Conv2d(4 + 3 * i, 3, 3, padding=1) for i in range(3))
        self.norms = nn.ModuleList(nn.BatchNorm2d(4 + 3 * i) for i in range(3))
        self.end = nn.BatchNorm2d(13)
        self.out = nn.Linear(13, 3)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.stem(x)]
        for norm, conv in zip(self.norms, self.grow, strict=True):
            parts.append(conv(F.relu(norm(torch.cat(parts, 1)))))
        return self.out(F.relu(self.end(torch.cat(parts, 1))).mean((-2, -1)))


class Split(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 12), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.a(x).chunk(2, dim=-1)
        return self.c(F.relu(self.b(value * torch.sigmoid(gate))))


class NormMlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 6)
        self.plain, self.c = nn.LayerNorm(6, elementwise_affine=False), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.relu(self.plain(self.b(F.relu(self.norm(self.a(x)))))))


class GroupNormed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Conv2d(2, 12, 3, padding=1), nn.GroupNorm(3, 12), nn.Conv2d(12, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(F.relu(self.norm(self.a(x)))).amax((2, 3))


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 7)
        self.mix = nn.Linear(7, 7)
        self.blocks = nn.ModuleList([self.mix, self.mix])
        self.out = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + torch.tanh(block(x))
        return self.out(x)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(6, 9), nn.Linear(9, 6)
        self.decode.weight = self.encode.weight  # nine by six, used the other way round
        self.out = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = F.relu(self.encode(x))
        return self.out(torch.tanh(h @ self.decode.weight + self.decode.bias))


class Sequence(nn.Module):
    """Three-dimensional linear layers, with and without bias, on contiguous and other inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 8), nn.Linear(8, 6, bias=False), nn.Linear(6, 5)
        self.d = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.a(x))
        x = self.b(x).transpose(0, 1)
        return self.d(torch.relu(self.c(x))).transpose(0, 1)


class Net1d(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.n, self.b = nn.Conv1d(2, 6, 3), nn.BatchNorm1d(6), nn.ConvTranspose1d(6, 4, 3, stride=2)
        self.c = nn.Conv1d(4, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(F.relu(self.b(F.relu(self.n(self.a(x))))))


class Net3d(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.n = nn.Conv3d(1, 6, 3, padding=1), nn.BatchNorm3d(6)
        self.b = nn.Conv3d(6, 3, (1, 2, 2), stride=(1, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(F.relu(self.n(self.a(x))))


class Transposed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Conv2d(2, 6, 3, stride=2, padding=1)
        self.up = nn.ConvTranspose2d(6, 8, 4, stride=2, padding=1, groups=2)
        self.out = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(F.relu(self.up(F.relu(self.down(x)))))


class Unet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
        self.up, self.c = nn.Conv2d(6, 5, 1), nn.Conv2d(9, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        skip = F.relu(self.a(x))
        deep = F.relu(self.b(F.max_pool2d(skip, 2)))
        return self.c(torch.cat([F.relu(self.up(F.interpolate(deep, scale_factor=2))), skip], 1))


class Parameters(nn.Module):
    """Raw parameters: products written out, a table of positions, a learned scale."""

    def __init__(self) -> None:
        super().__init__()
        self.w1, self.b1 = nn.Parameter(torch.zeros(4, 7)), nn.Parameter(torch.zeros(7))
        self.scale, self.position = nn.Parameter(torch.zeros(7)), nn.Parameter(torch.zeros(1, 5, 7))
        self.register_buffer("shift", torch.zeros(7))
        self.out = nn.Linear(7, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = x @ self.w1 + self.b1
        return self.out(torch.tanh((h + self.position) * self.scale + self.shift))


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token, self.a, self.head = nn.Embedding(11, 6), nn.Linear(6, 6), nn.Linear(6, 11, bias=False)
        self.head.weight = self.token.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(torch.tanh(self.a(self.token(tokens))))


class Prelu(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.act, self.b = nn.Conv2d(2, 6, 3), nn.PReLU(6), nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.act(self.a(x)))


class Shuffles(nn.Module):
    """Gates, channels to space and back, channel shuffle, instance norm."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 24, 1), nn.Conv2d(3, 8, 3, padding=1)
        self.norm, self.c = nn.InstanceNorm2d(8, affine=True), nn.Conv2d(32, 12, 3, padding=1, groups=4)
        self.d = nn.Conv2d(12, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pixel_shuffle(F.glu(self.a(x), dim=1), 2)
        x = F.pixel_unshuffle(F.relu(self.norm(self.b(x))), 2)
        return self.d(torch.tanh(F.channel_shuffle(self.c(x), 4)))


class Gated(nn.Module):
    """Squeeze and excitation: a channel is scaled by a number that is computed from all."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.down, self.up = nn.Conv2d(2, 8, 3), nn.Linear(8, 4), nn.Linear(4, 8)
        self.b = nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        gate = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3))))))
        return self.b(x * gate[:, :, None, None])


class Padded(nn.Module):
    """A shortcut that pads missing channels with zeros: they are a part of a sum that nothing may cut."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 5, 1), nn.Conv2d(2, 8, 1), nn.Conv2d(8, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(torch.tanh(self.b(x) + F.pad(self.a(x), (0, 0, 0, 0, 1, 2))))


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(4, 5), nn.Linear(30, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.c((self.a(x)[:, :, None] * torch.tanh(self.b(x))[:, None]).flatten(1))


IMAGE = spec("N", 2, 9, 13)
CASES: list[tuple[Callable[[], nn.Module], tuple[InputSpec, ...], bool, int]] = [
    (Mlp, spec("N", 5), True, 2),
    (Cnn, spec("N", 2, 18, 34), True, 2),
    (Grouped, IMAGE, True, 3),
    (Depthwise, IMAGE, True, 3),
    (Residual, IMAGE, True, 3),
    (Dense, IMAGE, True, 4),
    (Split, spec("N", 4), True, 2),
    (NormMlp, spec("N", 4), False, 1),
    (GroupNormed, IMAGE, False, 2),
    (Shared, spec("N", 4), True, 1),
    (Tied, spec("N", 6), True, 1),
    (Sequence, spec("N", "T", 4), True, 3),
    (Net1d, spec("N", 2, "T"), True, 2),
    (Net3d, spec("N", 1, 3, 4, 6), True, 1),
    (Transposed, IMAGE, True, 3),
    (Unet, spec("N", 2, 8, 12), True, 3),
    (Parameters, spec("N", 5, 4), True, 1),
    (Embedded, spec("N", "T", name="tokens", dtype="i64", below=11), True, 1),
    (Prelu, IMAGE, True, 1),
    (Shuffles, spec("N", 2, 6, 4), True, 3),
    (Gated, IMAGE, True, 2),
    (Padded, IMAGE, True, 1),
    (Outer, spec("N", 4), True, 2),
]


@pytest.mark.parametrize(("build", "specs", "removable", "least"), CASES, ids=[build.__name__ for build, *_ in CASES])
def test_every_free_axis_can_be_permuted_and_cut(
    build: Callable[[], nn.Module], specs: tuple[InputSpec, ...], removable: bool, least: int
) -> None:
    assert_right(build, specs, {"N": 3, "T": 5}, removable=removable, least=least)
