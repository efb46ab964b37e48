"""Whole architectures, small: a residual image network, vision transformers, a decoder with grouped queries."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.trace.capture import trace
from tests.unit.trace.oracle import (
    assert_counts,
    assert_permutable,
    assert_removable,
    assert_retraceable,
    assert_right,
    free_axes,
    inputs_for,
    shaken,
    spec,
    width,
)


class Bottleneck(nn.Module):
    def __init__(self, before: int, inside: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(before, inside, 1, bias=False), nn.BatchNorm2d(inside)
        self.conv2 = nn.Conv2d(inside, inside, 3, stride, 1, groups=2, bias=False)
        self.bn2 = nn.BatchNorm2d(inside)
        self.conv3, self.bn3 = nn.Conv2d(inside, after, 1, bias=False), nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.down: nn.Module | None = None
        if stride != 1 or before != after:
            self.down = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(y)))))
        y += x if self.down is None else self.down(x)
        return self.relu(y)


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Bottleneck(4, 4, 8, 1), Bottleneck(8, 4, 8, 1))
        self.layer2 = nn.Sequential(Bottleneck(8, 6, 12, 2), Bottleneck(12, 6, 12, 1))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer2(self.layer1(self.pool(self.stem(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def test_resnet() -> None:
    interface = assert_right(ResNet, spec("N", 2, "H", "W"), {"N": 3, "H": 17, "W": 21}, least=12)
    stream = interface.tensor_by_name["layer2.0.conv3.weight"].dims[0]
    assert interface.tensor_by_name["layer2.0.down.0.weight"].dims[0] == stream
    assert interface.tensor_by_name["layer2.1.bn3.running_var"].dims[0] == stream
    assert interface.tensor_by_name["fc.weight"].dims[1] == stream
    equal = [r for r in interface.requirements if r.relation == "equal"]
    assert not equal  # main path and shortcut give the same formula


class Attention(nn.Module):
    """Fused q, k, v; the number of heads is an attribute."""

    def __init__(self, width: int, heads: int, fused: bool) -> None:
        super().__init__()
        self.heads, self.fused = heads, fused
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.scale = (width // heads) ** -0.5

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        qkv = self.qkv(x).reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        if self.fused:
            x = F.scaled_dot_product_attention(q, k, v, scale=self.scale)
        else:
            x = (q @ k.transpose(-2, -1) * self.scale).softmax(dim=-1) @ v
        return self.proj(x.transpose(1, 2).reshape(batch, tokens, -1))


class Layer(nn.Module):
    def __init__(self, width: int, fused: bool) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width, 3, fused)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 10), nn.GELU(), nn.Dropout(0.1), nn.Linear(10, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Vit(nn.Module):
    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.patch = nn.Conv2d(2, 12, 4, 4)
        self.token, self.position = nn.Parameter(torch.zeros(1, 1, 12)), nn.Parameter(torch.zeros(1, 7, 12))
        self.layers = nn.Sequential(*(Layer(12, fused) for _ in range(2)))
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.position
        return self.head(self.norm(self.layers(x))[:, 0])


@pytest.mark.parametrize("fused", [False, True])
def test_vision_transformer(fused: bool) -> None:
    specs, sizes = spec("N", 2, 8, 12), {"N": 3}
    interface = trace(Vit(fused), specs)
    model, given = shaken(Vit(fused)), inputs_for(specs, sizes)
    labels = {interface.axes[axis].label: axis for axis in free_axes(interface)}
    assert sorted(width(interface, axis) for axis in labels.values()) == [3, 3, 4, 4, 10, 10, 12]
    assert_permutable(model, interface, given)
    # Norms run along the residual stream, so only what stands between them can be cut without a change.
    inner = [axis for axis in labels.values() if width(interface, axis) != 12]
    assert_removable(model, interface, given, inner)
    assert_retraceable(Vit(fused), interface, specs)
    assert_counts(model, interface, given, sizes)
    qkv = interface.tensor_by_name["layers.0.attn.qkv.weight"].dims[0]
    three, heads, size = (interface.axes[axis] for axis in qkv)
    assert [three.size, heads.size, size.size] == [3, 3, 4]
    assert "picked by number" in three.frozen
    assert heads.frozen == ""
    assert interface.tensor_by_name["layers.0.attn.proj.weight"].dims[1] == qkv[1:]


class Decoder(nn.Module):
    """Queries in groups that share keys and values; gated MLP; tied head."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.norm = nn.Embedding(11, 12), nn.LayerNorm(12)
        self.q, self.k, self.v = nn.Linear(12, 24), nn.Linear(12, 12), nn.Linear(12, 12)
        self.o, self.gate, self.up, self.down = (
            nn.Linear(24, 12),
            nn.Linear(12, 9),
            nn.Linear(12, 9),
            nn.Linear(9, 12),
        )
        self.head = nn.Linear(12, 11, bias=False)
        self.head.weight = self.token.weight
        self.size = 4

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token(tokens)
        y = self.norm(x)
        n, t = tokens.shape
        q = self.q(y).view(n, t, -1, self.size).transpose(1, 2)
        k, v = (m(y).view(n, t, -1, self.size).transpose(1, 2) for m in (self.k, self.v))
        k, v = (z[:, :, None].expand(-1, -1, 2, -1, -1).reshape(n, -1, t, self.size) for z in (k, v))
        mask = torch.full((t, t), float("-inf")).triu(1)
        y = (q @ k.transpose(2, 3) * 0.5 + mask).softmax(-1) @ v
        x = x + self.o(y.transpose(1, 2).reshape(n, t, -1))
        return self.head(x + self.down(F.silu(self.gate(x)) * self.up(x)))


def test_grouped_queries_are_a_product_of_groups_and_their_queries() -> None:
    specs = spec("N", "T", name="tokens", dtype="i64", below=11)
    sizes = {"N": 2, "T": 5}
    interface = trace(Decoder(), specs)
    model, given = shaken(Decoder()), inputs_for(specs, sizes)
    dims = {name: interface.tensor_by_name[f"{name}.weight"].dims for name in ("q", "k", "v", "o")}
    groups, queries, size = dims["q"][0]
    assert [width(interface, axis) for axis in dims["q"][0]] == [3, 2, 4]
    assert dims["k"][0] == (groups, size)
    assert dims["v"][0][0] == groups
    assert dims["o"][1] == (groups, queries, dims["v"][0][1])
    assert not interface.axes[groups].frozen
    assert interface.axes[queries].frozen
    assert interface.tensor_by_name["head.weight"].dims[0] == interface.tensor_by_name["token.weight"].dims[0]
    assert_permutable(model, interface, given)
    inner = [axis for axis in free_axes(interface) if width(interface, axis) != 12]
    assert {width(interface, axis) for axis in inner} == {3, 4, 9}
    assert_removable(model, interface, given, inner)
    assert_counts(model, interface, given, sizes)
