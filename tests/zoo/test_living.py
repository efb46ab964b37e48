"""The reference against torch: an operator on living entries is the operator on the entries alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.zoo.living import Living, Masks, NoRule

KEPT = [0, 2, 3, 6]
ALL = 7
Step = Callable[[Tensor], Tensor]

ALONG = {
    "layer norm": lambda x: F.layer_norm(x, (x.shape[-1],)),
    "rms norm": lambda x: F.rms_norm(x, (x.shape[-1],)),
    "softmax": lambda x: x.softmax(-1),
    "log softmax": lambda x: x.log_softmax(-1),
    "cumsum": lambda x: x.cumsum(-1),
    "relu": torch.relu,
    "clone": lambda x: x.clone(),
    "weights": lambda x: x * torch.ones(()) + 1,
}
OVER = {
    "mean": lambda x: x.mean(-1),
    "mean of all": lambda x: x.mean(),
    "sum": lambda x: x.sum((0, -1)),
    "var": lambda x: x.var(-1),
    "std": lambda x: x.std(-1, unbiased=False),
    "var_mean": lambda x: torch.cat(torch.var_mean(x, -1)),
    "amax": lambda x: x.amax(-1),
    "max": lambda x: x.max(-1).values,
    "amin": lambda x: x.amin(-1),
    "norm": lambda x: torch.linalg.vector_norm(x, dim=-1),
    "logsumexp": lambda x: x.logsumexp(-1),
    "prod": lambda x: x.prod(-1),
    "top": lambda x: x.topk(2, -1).values,
    "sorted": lambda x: x.sort(-1, descending=True).values[..., :3],
    "product": lambda x: x @ x.transpose(-1, -2),
    "group norm": lambda x: F.group_norm(x.reshape(1, x.shape[-2], -1), x.shape[-2]).mean(-1),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x[..., :1] * 0 + 1, scale=1.0),
    "written in place": lambda x: torch.zeros(x.shape).copy_(x).mul_(2).sum(-1),
    "joined": lambda x: torch.cat([x, x], -1).mean(-1),
    "put together": lambda x: torch.stack([x, 2 * x]).mean((0, -1)),
    "views": lambda x: x.t()[:, 1:].t().unsqueeze(0).expand(2, -1, -1).mean(-1),
    "squares": lambda x: torch.bmm(x[None], x.t()[None])[0],
}


def run(step: Step, x: Tensor, kept: list[int] | None) -> tuple[Tensor, Tensor]:
    masks = Masks()
    x = x.clone()
    if kept is not None:
        alive = torch.zeros(x.shape, dtype=torch.bool)
        alive[..., kept] = True
        masks.put(x, alive)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), Living(masks):
        out = step(x)
    return out, masks.alive(out)


def given() -> Tensor:
    return torch.randn(3, ALL, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ALONG)
def test_what_keeps_the_entries(name: str) -> None:
    out, alive = run(ALONG[name], given(), KEPT)
    alone, _ = run(ALONG[name], given()[..., KEPT], None)
    assert bool(alive[..., KEPT].all())
    assert int(alive.sum()) == 3 * len(KEPT)
    torch.testing.assert_close(out[..., KEPT], alone, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", OVER)
def test_what_gathers_the_entries(name: str) -> None:
    out, alive = run(OVER[name], given(), KEPT)
    alone, _ = run(OVER[name], given()[..., KEPT], None)
    assert bool(alive.all())
    torch.testing.assert_close(out, alone, rtol=0, atol=1e-12)


def test_a_convolution_reads_living_channels() -> None:
    x = torch.randn(2, ALL, 5, 5, dtype=torch.float64)
    weight = torch.randn(4, ALL, 3, 3, dtype=torch.float64)
    masks = Masks()
    masks.put(weight, torch.tensor([i in KEPT for i in range(ALL)]).reshape(1, -1, 1, 1))
    with Living(masks):
        out = F.conv2d(x, weight, padding=1)
    torch.testing.assert_close(out, F.conv2d(x[:, KEPT], weight[:, KEPT], padding=1), rtol=0, atol=1e-12)


def test_an_operator_without_a_rule_is_named() -> None:
    with pytest.raises(NoRule, match="linalg"):
        run(lambda x: torch.linalg.inv_ex(x.t() @ x + x.t()[:, :1] * x[:1])[0], given(), KEPT)
