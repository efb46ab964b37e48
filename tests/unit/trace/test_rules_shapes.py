"""Rules of views, windows, strides and transforms, held to brute force."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.unit.trace.oracle import assert_rule, spec

Inner = Callable[[Tensor], Tensor]


class Between(nn.Module):
    """A function of tensors between two layers; the second is built for what comes out."""

    def __init__(self, inner: Inner, shape: tuple[int, ...], width: int = 6) -> None:
        super().__init__()
        self.inner = inner
        self.a = nn.Linear(4, width)
        with torch.no_grad():
            made = inner(self.a(torch.randn(*shape)))
        self.b = nn.Linear(made.shape[-1], 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.inner(torch.tanh(self.a(x)))))


def pairs(x: Tensor) -> Tensor:
    """Interleaved rotary embedding: neighbours are pairs."""
    even, odd = x[..., ::2], x[..., 1::2]
    return x * 0.8 + 0.6 * torch.stack((-odd, even), -1).flatten(-2)


def halves(x: Tensor) -> Tensor:
    """Rotary embedding by halves: i goes with i + n/2."""
    half = x.shape[-1] // 2
    return x * 0.8 + 0.6 * torch.cat((-x[..., half:], x[..., :half]), -1)


def complex_pairs(x: Tensor) -> Tensor:
    """Rotary embedding by complex numbers."""
    turned = torch.view_as_complex(x.unflatten(-1, (-1, 2))) * torch.polar(torch.tensor(1.0), torch.tensor(0.7))
    return torch.view_as_real(turned).flatten(-2)


def grouped(x: Tensor) -> Tensor:
    """Grouped queries by expand and reshape: each entry twice, side by side."""
    return x[..., None].expand(*x.shape, 2).reshape(*x.shape[:-1], -1)


def shifted(x: Tensor) -> Tensor:
    """The shift of relative positions, which regroups two dimensions and leaves the others alone."""
    one, two, three = x.transpose(1, 2).shape
    scores = x.transpose(1, 2)[..., None] * torch.ones(three + 1)
    return scores.reshape(one, two, three + 1, three)[:, :, 1:].sum((2, 3))


FREE: dict[str, tuple[Inner, tuple[int, ...]]] = {
    "pairs": (pairs, (2, 5, 4)),
    "halves": (halves, (2, 5, 4)),
    "complex": (complex_pairs, (2, 5, 4)),
    "grouped": (grouped, (2, 5, 4)),
    "repeat_interleave": (lambda x: x.repeat_interleave(3, -1), (2, 5, 4)),
    "repeat": (lambda x: x.repeat(1, 1, 2), (2, 5, 4)),
    "shifted": (shifted, (2, 5, 4)),
    "strided rows": (lambda x: x[:, ::2], (2, 5, 4)),
    "fourier over rows": (lambda x: torch.fft.rfft(x, dim=1).abs(), (2, 5, 4)),
    "fourier and back": (lambda x: torch.fft.irfft(torch.fft.rfft(x, dim=1) * 0.5, n=5, dim=1), (2, 5, 4)),
    "complex fourier": (lambda x: torch.fft.fft(x, dim=1).real, (2, 5, 4)),
    "roll rows": (lambda x: x.roll(2, 1), (2, 5, 4)),
    "flip rows": (lambda x: x.flip(1), (2, 5, 4)),
    "cumulative rows": (lambda x: x.cumsum(1) * 0.3, (2, 5, 4)),
    "log cumulative rows": (lambda x: x.logcumsumexp(1), (2, 5, 4)),
    "windows side by side": (lambda x: x.unfold(1, 2, 2).mean(-1), (2, 6, 4)),
    "overlapping windows": (lambda x: x.unfold(1, 3, 1).mean(-1), (2, 6, 4)),
    "strided windows": (
        lambda x: x.as_strided((2, 3, 3, x.shape[2]), (x.stride(0), x.shape[2], x.shape[2], 1)).mean(1),
        (2, 5, 4),
    ),
    "diagonal of rows": (lambda x: x.diagonal(0, 0, 1).transpose(0, 1), (5, 5, 4)),
    "outer diagonal": (lambda x: torch.diagonal(x[..., None] * x[..., None, :], 0, -2, -1), (2, 5, 4)),
    "embedded diagonal": (lambda x: torch.diag_embed(x).sum(-1), (2, 5, 4)),
    "distances": (lambda x: torch.cdist(x, x), (2, 5, 4)),
    "normalised": (lambda x: F.normalize(x, dim=-1), (2, 5, 4)),
    "largest rows": (lambda x: x.max(1).values, (2, 5, 4)),
    "least and largest rows": (lambda x: torch.cat(torch.aminmax(x, dim=1), -1), (2, 5, 4)),
    "middle rows": (lambda x: x.median(1).values, (2, 5, 4)),
    "padded rows": (lambda x: F.pad(x, (0, 0, 1, 2)), (2, 5, 4)),
    "rows by number": (lambda x: x[:, torch.tensor([0, 3, 1])], (2, 5, 4)),
    "rows by two numbers": (lambda x: x[torch.tensor([0, 1]), torch.tensor([3, 1])], (2, 5, 4)),
    "gathered rows": (lambda x: x.take_along_dim((x > 0).long(), 1), (2, 5, 4)),
    "written rows": (lambda x: torch.zeros_like(x).index_copy(1, torch.tensor([0, 3]), x[:, :2]), (2, 5, 4)),
    "added rows": (lambda x: x.index_add(1, torch.tensor([0, 3]), x[:, :2]), (2, 5, 4)),
    "put rows": (lambda x: x.index_put((torch.tensor([0]), torch.tensor([3])), x[1, 2][None]), (2, 5, 4)),
    "masked": (lambda x: x.masked_fill(x.mean(-1, keepdim=True) > 0, 0.1), (2, 5, 4)),
    "masked rows": (lambda x: x[torch.arange(10).view(2, 5) % 3 > 0], (2, 5, 4)),
    "uniform constants": (lambda x: x * torch.full((x.shape[-1],), 0.5) + torch.ones_like(x), (2, 5, 4)),
    "filled in place": (lambda x: torch.zeros(x.shape, dtype=x.dtype).add_(x).mul_(2), (2, 5, 4)),
    "floor divided": (lambda x: x + torch.floor_divide(x, 0.1) * 0.1, (2, 5, 4)),
    "hardswish": (lambda x: F.hardswish(x), (2, 5, 4)),
    "cross of rows": (lambda x: torch.linalg.cross(x, x.roll(1, 1), dim=1), (2, 3, 4)),
    "products added": (lambda x: torch.addbmm(x[0], x.transpose(1, 2), x) * 0.1, (5, 5, 4)),
    "bits of another dtype": (
        lambda x: x * (x.contiguous().view(torch.int32 if x.element_size() == 4 else torch.int64) > 0),
        (2, 5, 4),
    ),
    "one value by mask": (lambda x: x.index_put((x > 0.3,), x.new_tensor(0.1)), (2, 5, 4)),
    "rows by mask": (lambda x: x.index_put((torch.arange(10).view(2, 5) % 3 > 1,), x[0, :3] * 2), (2, 5, 4)),
    "log sigmoid": (lambda x: F.logsigmoid(x), (2, 5, 4)),
    "systems": (lambda x: torch.linalg.solve_triangular(x.new_ones(5, 5).tril(), x, upper=False), (2, 5, 4)),
    "many systems": (
        lambda x: (
            torch.linalg.inv(x.transpose(1, 2)[..., None] * 0.1 * x.new_ones(5) + torch.eye(5, dtype=x.dtype))
            .sum(-1)
            .transpose(1, 2)
        ),
        (2, 5, 4),
    ),
    "empty halves": (lambda x: torch.cat((x, x[..., x.shape[-1] :]), -1), (2, 5, 4)),
}


@pytest.mark.parametrize("name", FREE)
def test_the_axis_is_free(name: str) -> None:
    inner, shape = FREE[name]
    width = 5 if name == "products added" else 6
    exact = name not in ("log cumulative rows", "shifted", "diagonal of rows")
    assert_rule(
        lambda: Between(inner, shape, width),
        spec(*shape),
        free=["a.weight[0]"] if name != "products added" else [],
        removable=exact and name not in ("windows side by side",),
        retraceable=False,
    )


HELD: dict[str, tuple[Inner, str]] = {
    "positions": (lambda x: x + torch.arange(6) * 0.1, "arange"),
    "sinusoids": (lambda x: x * torch.sin(torch.pow(10.0, torch.arange(6) / 6)), "arange"),
    "slopes": (lambda x: x + torch.pow(0.5, torch.arange(1, 7)).view(1, 6), "arange"),
    "slopes in a product": (
        lambda x: torch.baddbmm(torch.arange(6).to(x.dtype).expand(2, 1, 6), x.new_full((2, 5, 5), 0.2), x),
        "arange",
    ),
    "a literal": (lambda x: x * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), "constant"),
    "drawn": (lambda x: x * torch.rand_like(x), "rand_like"),
    "written positions": (lambda x: x + torch.zeros(6).index_put((torch.arange(6),), torch.arange(6.0)), "index"),
    "counted ones": (lambda x: x * torch.ones(6).cumsum(0), "cumsum"),
    "lower triangle": (lambda x: x @ x.new_ones(6, 6).tril(), "tril"),
    "cumulative": (lambda x: x.cumsum(-1), "cumsum"),
    "flipped": (lambda x: x.flip(-1), "flip"),
    "rolled": (lambda x: x.roll(1, -1), "roll"),
    "sorted": (lambda x: x.sort(-1).values, "sort"),
    "fourier": (lambda x: torch.fft.rfft(x).abs(), "Fourier"),
    "windows": (lambda x: x.unfold(-1, 3, 1).mean(-1), "spatial"),
    "diagonal strides": (lambda x: x.as_strided((2, 5, 5), (30, 6, 1)) * 1, "as_strided"),
    "one by number": (lambda x: x[..., 2:3] * x[..., 4, None], "number"),
    "argmax as a number": (lambda x: x * x.argmax(-1, keepdim=True), "picked by index"),
    "picked by constants": (lambda x: x[..., torch.tensor([0, 2, 5])], "picked by index"),
    "largest of all": (lambda x: x * x.argmax(), "picked by index"),
    "median": (lambda x: x.median(-1, keepdim=True).values * x, "median"),
    "kernel": (lambda x: F.conv1d(x.flatten(0, 1)[:, None], x.new_ones(1, 1, 3))[:, 0], "spatial"),
    "standardised constants": (lambda x: x * torch.arange(0, 12, 2), "arange"),
    "solved": (
        lambda x: torch.linalg.solve_triangular(x.new_ones(6, 6).tril(), x.mT, upper=False).mT,
        "order",
    ),
    "searched": (lambda x: torch.bucketize(x[0, 0], x[0, 1].sort().values) * x, "order"),
}


@pytest.mark.parametrize("name", HELD)
def test_the_axis_is_held(name: str) -> None:
    inner, word = HELD[name]
    held = {"a.weight[0]": word}
    assert_rule(lambda: Between(inner, (2, 5, 4)), spec(2, 5, 4), [], held, removable=False, retraceable=False)


class Unfolded(nn.Module):
    def __init__(self, fold: bool) -> None:
        super().__init__()
        self.fold = fold
        self.a, self.b = nn.Conv2d(2, 4, 1), nn.Conv2d(4, 3, 1)
        self.k = nn.Linear(36, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.a(x))
        columns = F.unfold(x, 3, padding=1)
        if self.fold:
            return self.b(F.fold(columns * 0.5, x.shape[2:], 3, padding=1))
        return self.k(columns.transpose(1, 2))


@pytest.mark.parametrize("fold", [True, False])
def test_columns_of_windows(fold: bool) -> None:
    free = ["a.weight[0]", "b.weight[1]"] if fold else ["a.weight[0]", "k.weight[1]"]
    held = {"k.weight[0]": ""} if fold else None
    assert_rule(lambda: Unfolded(fold), spec(2, 2, 5, 4), free, held)


class Sampled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.grid, self.b = nn.Conv2d(2, 6, 1), nn.Linear(4, 2), nn.Conv2d(6, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        grid = torch.tanh(self.grid(x.mean(1)))[:, :, None]
        return self.b(F.grid_sample(self.a(x), grid, align_corners=False))


def test_sampled_places() -> None:
    assert_rule(Sampled, spec(2, 2, 5, 4), ["a.weight[0]", "b.weight[1]"], {"grid.weight[0]": "number"})


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.m, self.b = nn.Linear(4, 8), nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(x)
        return self.b(self.m(x, x, x, need_weights=False)[0])


def test_packed_attention_has_heads() -> None:
    interface = assert_rule(Attention, spec(2, 5, 4), ["b.weight[1]"], removable=False, retraceable=False)
    packed = interface.tensor_by_name["m.in_proj_weight"].dims[0]
    assert [interface.exact_size(axis) for axis in packed] == [3, 2, 4]
