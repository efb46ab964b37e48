"""Networks that are right for multiples alone: refused at any size with the multiple offered, proved for that one."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.expression import Expression, multiply
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Interface
from surgery_dsl.proof.questions import SizeQuestion
from surgery_dsl.proof.tiers.order import decide_all_sizes
from surgery_dsl.run.multiples import offered
from surgery_dsl.trace.capture import trace
from tests.unit.trace.oracle import spec
from tests.unit.trace.test_free_sizes import output_sizes


class UNet(nn.Module):
    """Ronneberger, Fischer & Brox, U-Net (2015), padded, two channels wide."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.down = nn.ModuleList([nn.Conv2d(3 if i == 0 else 2, 2, 3, padding=1) for i in range(levels)])
        self.bottom = nn.Conv2d(2, 2, 3, padding=1)
        self.up = nn.ModuleList([nn.ConvTranspose2d(2, 2, 2, stride=2) for _ in range(levels)])
        self.join = nn.ModuleList([nn.Conv2d(4, 2, 3, padding=1) for _ in range(levels)])

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for layer in self.down:
            x = F.relu(layer(x))
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottom(x)
        for up, join in zip(self.up, self.join, strict=True):
            x = F.relu(join(torch.cat([skips.pop(), up(x)], 1)))
        return x


class Windows(nn.Module):
    """Windows of 7 in patches of 4, without padding: Liu et al., Swin Transformer (2021)."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 4, stride=4)
        self.inside = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).permute(0, 2, 3, 1)
        n, h, w, c = x.shape
        x = x.view(n, h // 7, 7, w // 7, 7, c).transpose(2, 3).reshape(-1, 49, c)
        x = self.inside(x).view(n, h // 7, w // 7, 7, 7, c).transpose(2, 3)
        return x.reshape(n, h, w, c)


class PaddedWindows(Windows):
    """The same with the padding of a Swin that takes any image, asked for first."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).permute(0, 2, 3, 1)
        h, w = x.shape[1:3]
        right, below = (7 - w % 7) % 7, -h % 7
        if right > 0 or below > 0:
            x = F.pad(x, (0, 0, 0, right, 0, below))
        x = self.inside(x)
        return x[:, :h, :w] if right > 0 or below > 0 else x


class Patches(nn.Module):
    """Patches of 16 and back: He et al., Masked Autoencoders (2022)."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 5, 16, stride=16)
        self.back = nn.Linear(5, 16 * 16 * 3)

    def forward(self, x: Tensor) -> Tensor:
        n, _, h, w = x.shape
        y = self.back(self.embed(x).flatten(2).transpose(1, 2))
        y = y.view(n, h // 16, w // 16, 16, 16, 3)
        return x + y.permute(0, 5, 1, 3, 2, 4).reshape(n, 3, h, w)


def multiples(number: int) -> tuple[Expression, ...]:
    return ("N", 3, multiply(number, "H"), multiply(number, "W"))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "u-net of 1 level": (lambda: UNet(1), 2),
    "u-net of 3 levels": (lambda: UNet(3), 8),
    "u-net of 4 levels": (lambda: UNet(4), 16),
    "windows": (Windows, 28),
    "patches": (Patches, 16),
}


def refusal(module: nn.Module, inputs: tuple[InputSpec, ...]) -> Refused:
    with pytest.raises(Refused) as refused:
        trace(module, inputs)
    return refused.value


def proved(interface: Interface) -> bool:
    ranges = tuple((free.name, free.least, free.most) for free in interface.free)
    questions = [SizeQuestion(r.relation, r.left, r.right, ranges) for r in interface.requirements]
    return all(answer.status == "proved" for answer in decide_all_sizes(questions))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_multiple_is_offered_and_proved(name: str) -> None:
    make, number = NETWORKS[name]
    module = make()
    found = offered(module, spec("N", 3, "H", "W"), None, (), refusal(module, spec("N", 3, "H", "W")))
    assert f'`x("f32", [N, 3, {number} * H, {number} * W])`' in found.diagnostics[0].help
    interface = trace(module, (InputSpec(name="x", dtype="f32", dims=multiples(number)),))
    assert proved(interface)
    for height, width in ((1, 2), (3, 1), (2, 4)):
        sizes = {"N": 2, "H": height, "W": width}
        given = torch.zeros(2, 3, number * height, number * width)
        assert output_sizes(interface, sizes) == list(module(given).shape)


def test_half_the_multiple_is_not_enough() -> None:
    half = (InputSpec(name="x", dtype="f32", dims=multiples(8)),)
    found = offered(UNet(4), half, None, (), refusal(UNet(4), half))
    assert '`x("f32", [N, 3, 16 * H, 16 * W])`' in found.diagnostics[0].help


def test_ranges_count_the_multiples() -> None:
    from surgery_dsl.interface.model import FreeSize

    free = (FreeSize(name="H", least=20, most=100), FreeSize(name="W", least=16))
    inputs = tuple(one.replaced(free=free) for one in spec("N", 3, "H", "W"))
    found = offered(UNet(4), inputs, None, free, refusal(UNet(4), inputs))
    assert "[N, 3, 16 * H, 16 * W], H = 2..6)" in found.diagnostics[0].help


def test_padding_is_exact_and_what_decides_on_it_is_asked_for() -> None:
    """Padding to windows happens at almost every size: the two ways are told, not taken for one."""
    interface = trace(PaddedWindows(), spec("N", 3, "H", "W"))
    asked = [r for r in interface.requirements if "the forward asks" in r.reason]
    assert asked
    assert not proved(interface)
    whole = trace(PaddedWindows(), (InputSpec(name="x", dtype="f32", dims=multiples(28)),))
    assert proved(whole)
    assert not [r for r in whole.requirements if "the forward asks" in r.reason]


def test_nothing_is_offered_where_no_multiple_ends_it() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(12, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x.flatten(1))

    inputs = spec("N", 3, "H", "W")
    before = refusal(Fixed(), inputs)
    assert offered(Fixed(), inputs, None, (), before) is before


def test_one_name_for_both_sides_is_offered_where_the_forward_asks_for_the_smaller() -> None:
    """transformers' Swin takes its window from the smaller side of the image."""
    from transformers import SwinConfig, SwinModel

    config = SwinConfig(image_size=56, patch_size=4, embed_dim=8, depths=[2, 1], num_heads=[1, 2], window_size=7)
    inputs = spec("N", 3, "H", "W", name="pixel_values")
    model = SwinModel(config).eval()
    found = offered(model, inputs, None, (), refusal(model, inputs)).diagnostics[0]
    assert '`pixel_values("f32", [N, 3, 56 * H, 56 * H])`' in found.help


def test_small_images_that_every_stride_leaves_the_same_do_not_hide_the_multiple() -> None:
    """MobileViT (Mehta & Rastegari, 2022) folds into patches of 2 by 2, and resizes what 2 does not divide."""

    class Folded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.ModuleList([nn.Conv2d(3, 3, 3, stride=2, padding=1) for _ in range(3)])

        def forward(self, x: Tensor) -> Tensor:
            for layer in self.down:
                x = layer(x)
            height, width = (math.ceil(n / 2) * 2 for n in x.shape[-2:])
            if (height, width) != tuple(x.shape[-2:]):
                x = F.interpolate(x, size=(height, width))
            n, c, h, w = x.shape
            return x.reshape(n, c, h // 2, 2, w // 2, 2).sum((3, 5))

    found = offered(Folded(), spec("N", 3, "H", "W"), None, (), refusal(Folded(), spec("N", 3, "H", "W")))
    assert '`x("f32", [N, 3, 16 * H, 16 * W])`' in found.diagnostics[0].help
