"""A forward that fails at some sizes is told at the smallest, found by trying all."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize
from surgery_dsl.trace.capture import trace


class UNet(nn.Module):
    """Two levels down and up again, joined by concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in ((3, 4), (4, 8), (8, 8)))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in ((8, 8), (8, 4)))
        self.join = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in ((16, 8), (8, 4)))

    def forward(self, x: Tensor) -> Tensor:
        first = self.down[0](x)
        second = self.down[1](functional.max_pool2d(first, 2))
        third = self.down[2](functional.max_pool2d(second, 2))
        joined: Tensor = self.join[0](torch.cat([self.up[0](third), second], 1))
        joined = self.join[1](torch.cat([self.up[1](joined), first], 1))
        return joined


class Windows(nn.Module):
    """Windows of 7 patches of 4, mixed and put back."""

    def __init__(self) -> None:
        super().__init__()
        self.patch, self.mix = nn.Conv2d(3, 4, 4, stride=4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).permute(0, 2, 3, 1)
        n, h, w, c = x.shape
        windows = x.view(n, h // 7, 7, w // 7, 7, c).permute(0, 1, 3, 2, 4, 5)
        return self.mix(windows).mean((1, 2, 3, 4))


class Flat(nn.Module):
    """A flattened image read by a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 2, 3, stride=2, padding=1), nn.Linear(2 * 8 * 8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).flatten(1))  # type: ignore[no-any-return]


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "a U-Net": (UNet, 16),
    "windows": (Windows, 28),
    "a flattened image": (Flat, 15),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_smallest_failing_size_is_that_of_trying(name: str) -> None:
    make, least = NETWORKS[name]
    torch.manual_seed(0)
    model = make().eval()
    ranges = (FreeSize(name="N"), FreeSize(name="H", least=least), FreeSize(name="W", least=least))
    with pytest.raises(Refused) as refused:
        trace(model, (InputSpec(name="x", dtype="f32", dims=("N", 3, "H", "W"), free=ranges),))
    (found,) = refused.value.diagnostics
    sizes = {key: value for key, value in found.facts.items() if isinstance(value, int)}

    def runs(height: int) -> bool:
        try:
            model(torch.zeros(sizes["N"], 3, height, sizes["W"]))
        except RuntimeError:
            return False
        return True

    first = next(height for height in range(least, 100) if not runs(height))
    assert found.code.id == "SD200"
    assert sizes["H"] == first
    assert f"H = {first} is the smallest that fails" in found.notes[-1]
    told = int(str(found.help).split("such as ")[1].split(",")[0])
    assert runs(told)


def test_the_multiple_that_fits_is_told() -> None:
    ranges = (FreeSize(name="H", least=16), FreeSize(name="W", least=16))
    with pytest.raises(Refused) as refused:
        trace(UNet().eval(), (InputSpec(name="x", dtype="f32", dims=(1, 3, "H", "W"), free=ranges),))
    assert "it runs with H = 16 and 20, multiples of 4" in refused.value.diagnostics[0].notes[-1]
