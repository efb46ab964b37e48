"""Drawn chains of operators: whatever the tracer calls free may be permuted and cut, however operators follow.

Each operator's rule has tests of its own; here the axes that one leaves (products, sums, picked pairs) meet the next.
"""

from collections.abc import Callable

import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.interface.ties import SizeTies
from surgery_dsl.trace.capture import trace
from tests.unit.trace.oracle import assert_permutable, assert_removable, free_axes, inputs_for, shaken, spec, width

torch.set_num_threads(1)


def pairs(x: Tensor) -> Tensor:
    return x * 0.8 + 0.6 * torch.stack((-x[..., 1::2], x[..., ::2]), -1).flatten(-2)


def halves(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * 0.8 + 0.6 * torch.cat((-x[..., half:], x[..., :half]), -1)


def shuffle(x: Tensor) -> Tensor:
    return x.unflatten(-1, (2, -1)).transpose(-1, -2).flatten(-2)


def attention(x: Tensor) -> Tensor:
    heads = x.unflatten(-1, (2, -1)).transpose(1, 2)
    return F.scaled_dot_product_attention(heads, heads, heads, scale=0.3).transpose(1, 2).flatten(-2)


def grouped(x: Tensor) -> Tensor:
    return x[..., None].expand(*x.shape, 2).reshape(*x.shape[:-1], -1)[..., : 2 * x.shape[-1]]


SAME: dict[str, Callable[[Tensor], Tensor]] = {
    "pairs": pairs,
    "halves": halves,
    "shuffle": shuffle,
    "attention": attention,
    "grouped": grouped,
    "repeated": lambda x: x.repeat(1, 1, 2),
    "gate": lambda x: F.glu(torch.cat((x, torch.cos(x)), -1), -1),
    "front": lambda x: x[..., : x.shape[-1] // 2],
    "swapped": lambda x: torch.cat(x.chunk(2, -1)[::-1], -1),
    "doubled": lambda x: torch.cat((x, torch.sin(x)), -1),
    "stacked": lambda x: torch.stack((x, x * x), -2).flatten(-2),
    "stacked inside": lambda x: torch.stack((x, x * x), -1).flatten(-2),
    "rows and features": lambda x: torch.einsum("btc,bsc->bts", x, x) @ x * 0.1,
    "normalised": lambda x: F.normalize(x, dim=-1),
    "running": lambda x: x.cumsum(1) * 0.3,
    "rolled": lambda x: x.roll(1, 1).flip(1),
    "spectrum": lambda x: torch.view_as_real(torch.fft.fft(x, dim=1)).flatten(-2),
    "every other row": lambda x: x[:, ::2].repeat_interleave(2, 1)[:, : x.shape[1]],
    "windows": lambda x: x.unfold(1, 2, 1).sum(-1),
    "best rows": lambda x: x.topk(2, 1).values,
    "picked rows": lambda x: x.take_along_dim((x > 0).long(), 1),
    "in place": lambda x: torch.zeros_like(x).add_(x).clamp_(min=-0.5),
    "running features": lambda x: x.cumsum(-1) * 0.3,
    "numbered": lambda x: x + 0.1 * torch.arange(x.shape[-1]),
    "flipped features": lambda x: x.flip(-1),
    "soft": lambda x: x.softmax(1),
    "outer": lambda x: (x[..., None] * x.mean(1)[:, None, None, :2]).flatten(-2),
}


class Chain(nn.Module):
    def __init__(self, names: tuple[str, ...], features: int) -> None:
        super().__init__()
        self.names = names
        self.a = nn.Linear(3, features)
        with torch.no_grad():
            made = self.inner(self.a(torch.randn(2, 4, 3)))
        self.b = nn.Linear(made.shape[-1], 2)

    def inner(self, x: Tensor) -> Tensor:
        for name in self.names:
            x = torch.tanh(SAME[name](x))
        return x

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.inner(self.a(x)))


def fits(names: tuple[str, ...], features: int) -> bool:
    try:
        return Chain(names, features).b.in_features <= 256
    except (RuntimeError, IndexError, ValueError):
        return False


chains = st.tuples(
    st.lists(st.sampled_from(sorted(SAME)), min_size=1, max_size=4).map(tuple), st.sampled_from([4, 6, 8, 12])
).filter(lambda drawn: fits(*drawn))


@given(chains)
@example((("front", "swapped"), 8))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_free_axes_of_drawn_chains_are_whole(drawn: tuple[tuple[str, ...], int]) -> None:
    names, features = drawn
    torch.manual_seed(0)
    model = Chain(names, features)
    specs = spec(2, 4, 3)
    interface = trace(model, specs)
    model = shaken(model)
    given_ = inputs_for(specs, {})
    assert_permutable(model, interface, given_, control=False)
    if "soft" not in names:  # a softmax makes something of zeros
        for axis in free_axes(interface):
            size = width(interface, axis)
            left = {axis: 1 if size == 2 else size - (size + 1) // 3}
            if isinstance(SizeTies(interface).following(left), dict):  # else such a cut is refused
                assert_removable(model, interface, given_, [axis], control=False)
