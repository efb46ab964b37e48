"""Dead channels that still give a constant: removal keeps the function, or is refused."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.vocabulary.kinds import SiteWord
from surgery_dsl.vocabulary.sites.conv2d import Conv2d
from surgery_dsl.vocabulary.sites.linear import Linear
from surgery_dsl.vocabulary.takes.only import Only
from tests.unit.selection.bench import block, traced
from tests.unit.units.bench import excised
from tests.unit.units.networks import settled

IMAGE = ("N", 2, 9, 9)


class Net(nn.Module):
    """Convolution, norm, activation, then what a test puts in between, then a head."""

    def __init__(self, *between: nn.Module, norm: bool = True, act: nn.Module | None = None, pixels: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3)
        self.norm = nn.BatchNorm2d(6) if norm else nn.Identity()
        self.act = act or nn.ReLU()
        self.between = nn.Sequential(*between)
        self.head = nn.Linear(pixels or 6, 3)
        self.pixels = pixels

    def forward(self, x: Tensor) -> Tensor:
        x = self.between(self.act(self.norm(self.conv(x))))
        return self.head(x.flatten(1) if self.pixels else x.mean((2, 3)))


def drawn(model: nn.Module) -> nn.Module:
    model = settled(model)
    generator = torch.Generator().manual_seed(5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator))
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
    return model


def dead(model: nn.Module, *channels: int) -> nn.Module:
    with torch.no_grad():
        model.conv.weight[list(channels)] = 0
        if isinstance(model.norm, nn.BatchNorm2d):
            model.norm.bias[list(channels)] += 1.5
        else:
            model.conv.bias[list(channels)] = torch.tensor([0.7, 1.3], dtype=torch.float64)[: len(channels)]
    return model


def removed(model: nn.Module, site: SiteWord, *units: int) -> nn.Module:
    interface = traced(model, *IMAGE, dtype="f64")
    step = block(site, take=Only(units=units))
    small, _, effect = excised(model, interface, step, lambda net: traced(net, *IMAGE, dtype="f64"))
    before, after = model.state_dict(), small.state_dict()
    changed = {name for name in after if after[name].shape != before[name].shape or not after[name].equal(before[name])}
    assert changed <= effect.writes
    return small


def images() -> Tensor:
    return torch.randn(4, *IMAGE[1:], generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def difference(one: nn.Module, two: nn.Module) -> float:
    with torch.no_grad():
        return float((one(images()) - two(images())).abs().max())


BETWEEN: dict[str, Callable[[], list[nn.Module]]] = {
    "nothing": list,
    "convolution": lambda: [nn.Conv2d(6, 6, 3)],
    "bias-free": lambda: [nn.Conv2d(6, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU()],
    "pooling": lambda: [nn.MaxPool2d(2), nn.Conv2d(6, 6, 2)],
    "average": lambda: [nn.AvgPool2d(3, 1), nn.GELU(), nn.Conv2d(6, 6, 1)],
    "depthwise": lambda: [nn.Conv2d(6, 6, 3, groups=6), nn.SiLU(), nn.Conv2d(6, 6, 1)],
    "grouped": lambda: [nn.Conv2d(6, 6, 1), nn.ReLU(), nn.Conv2d(6, 6, 3, groups=2)],
}


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("norm", [True, False])
def test_a_dead_channel_leaves_and_the_function_stays(between: str, norm: bool) -> None:
    model = dead(drawn(Net(*BETWEEN[between](), norm=norm)), 1, 4)
    small = removed(model, Conv2d(pattern="conv"), 1, 4)
    assert small.conv.out_channels == 4
    assert difference(small, model) < 1e-10
    naive = copy.deepcopy(small)
    biases = [m for m in naive.modules() if isinstance(m, nn.Linear | nn.Conv2d) and m.bias is not None]
    originals = dict(model.named_parameters())
    for name, parameter in naive.named_parameters():
        if name.endswith("bias") and parameter.shape == originals[name].shape and "norm" not in name:
            parameter.data.copy_(originals[name])
    for name, buffer in naive.named_buffers():
        if name.endswith("running_mean") and buffer.shape == dict(model.named_buffers())[name].shape:
            buffer.copy_(dict(model.named_buffers())[name])
    assert biases
    assert difference(naive, model) > 1e-3, "without folding the constant would be lost"


@pytest.mark.parametrize(
    "act",
    [nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.LeakyReLU(0.3), nn.Sigmoid(), nn.Tanh(), nn.PReLU(6), nn.ELU(0.7),
     nn.ReLU6(), nn.Softplus(), nn.Hardswish(), nn.Hardtanh(-2, 0.5), nn.Mish()],
    ids=repr,
)  # fmt: skip
def test_every_activation_is_followed(act: nn.Module) -> None:
    model = dead(drawn(Net(nn.Conv2d(6, 6, 2), act=act)), 0, 5)
    assert difference(removed(model, Conv2d(pattern="conv"), 0, 5), model) < 1e-10


def test_a_scale_of_zero_makes_a_channel_dead() -> None:
    model = drawn(Net(nn.Conv2d(6, 6, 3)))
    with torch.no_grad():
        model.norm.weight[2], model.norm.bias[2] = 0, 0.9
    assert difference(removed(model, Conv2d(pattern="conv"), 2), model) < 1e-10


def test_pixels_of_a_flattened_image_are_summed() -> None:
    model = dead(drawn(Net(pixels=6 * 49)), 3)
    assert difference(removed(model, Conv2d(pattern="conv"), 3), model) < 1e-10


def test_neurons_of_a_linear_layer_leave_exactly() -> None:
    class Mlp(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up, self.down = nn.Linear(2, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.down(F.gelu(self.up(x)))

    model = settled(Mlp())
    with torch.no_grad():
        model.up.weight[[2, 6]] = 0
    interface = traced(model, "N", 2, dtype="f64")
    step = block(Linear(pattern="up"), take=Only(units=(2, 6)))
    small, _, _ = excised(model, interface, step, lambda net: traced(net, "N", 2, dtype="f64"))
    x = torch.randn(5, 2, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(small(x), model(x), rtol=1e-12, atol=1e-12)


class Joined(nn.Module):
    """Two convolutions side by side, one behind the other, and added."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.conv, self.norm = nn.Conv2d(2, 6, 3), nn.BatchNorm2d(6)
        self.other = nn.Conv2d(2, 6, 3)
        self.head = nn.Linear(12 if how == "cat" else 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        one, other = F.relu(self.norm(self.conv(x))), F.relu(self.other(x))
        both = torch.cat([other, one], 1) if self.how == "cat" else one + other
        return self.head(both.mean((2, 3)))


def test_a_concatenation_keeps_its_places() -> None:
    model = dead(drawn(Joined("cat")), 1)
    assert difference(removed(model, Conv2d(pattern="conv"), 1), model) < 1e-10


def test_a_sum_is_constant_only_if_both_sides_are() -> None:
    model = dead(drawn(Joined("add")), 1)
    small = removed(model, Conv2d(pattern="conv"), 1)
    assert torch.equal(small.head.bias, model.head.bias), "the other side is alive: nothing was dead"
    with torch.no_grad():
        model.other.weight[1] = 0
    assert difference(removed(model, Conv2d(pattern="conv"), 1), model) < 1e-10


def test_live_channels_change_nothing_but_shapes() -> None:
    model = drawn(Net(nn.Conv2d(6, 6, 3)))
    small = removed(model, Conv2d(pattern="conv"), 0)
    assert torch.equal(small.between[0].bias, model.between[0].bias)


@pytest.mark.parametrize(
    ("between", "why"),
    [
        (lambda: [nn.Conv2d(6, 6, 3, padding=1)], "padding"),
        (lambda: [nn.Conv2d(6, 6, 3, bias=False)], "no bias"),
        (lambda: [nn.Softmax(1)], "cannot be folded"),
    ],
)
def test_what_cannot_hold_the_constant_is_refused_with_it(between: Callable[[], list[nn.Module]], why: str) -> None:
    model = dead(drawn(Net(*between())), 1)
    with pytest.raises(Refused) as caught:
        removed(model, Conv2d(pattern="conv"), 1)
    finding = caught.value.diagnostics[0]
    bn = model.norm
    shifted = (model.conv.bias[1] - bn.running_mean[1]) / (bn.running_var[1] + bn.eps).sqrt() * bn.weight[1]
    constant = float((shifted + bn.bias[1]).relu().detach())
    assert finding.code.id == "SD519"
    assert finding.facts["constant"] == pytest.approx(constant)
    assert "channel 1 at `conv`" in finding.message
    assert why in finding.notes[0]
    assert "changes = values" in finding.help


def test_padding_does_not_matter_to_a_constant_of_zero() -> None:
    model = drawn(Net(nn.Conv2d(6, 6, 3, padding=1)))
    with torch.no_grad():
        model.conv.weight[1] = 0
        model.norm.bias[1] -= 50
    assert difference(removed(model, Conv2d(pattern="conv"), 1), model) < 1e-10
