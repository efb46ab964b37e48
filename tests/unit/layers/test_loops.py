"""Forwards that go through lists in all sorts of ways: cut as running says, or refused with the reason."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.interface.arranging import Arrangement, arrange
from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.coupling import settle
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.loops import Obstacle, loops_of
from surgery_dsl.run.changes import carry_out
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.context import Change
from surgery_dsl.vocabulary.modes._modules import edit_of, lists_of
from tests.unit.selection.bench import spec

ORDERS = [(0, 1, 3), (1, 2, 3), (0, 1, 2), (2,), (0, 1, 1, 2, 3), (0, 1, 2, 1, 2, 3), (3, 2, 1, 0), (0, 0, 0, 3)]
X = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))


class Blocks(nn.Module):
    """Four blocks, their norms, and four numbers to scale with; ``how`` is the forward."""

    def __init__(self, how: "Callable[[Blocks, Tensor], Tensor]") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.head = nn.Linear(6, 6), nn.Linear(6, 3)
        self.blocks = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))
        self.norms = nn.ModuleList(nn.LayerNorm(6) for _ in range(4))
        self.scales = nn.ParameterList(torch.randn(6) for _ in range(4))
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.how(self, self.stem(x)))


def plain(net: Blocks, x: Tensor) -> Tensor:
    for block in net.blocks:
        x = block(x)
    return x


def residual(net: Blocks, x: Tensor) -> Tensor:
    for block in net.blocks:
        x = x + torch.relu(block(x * 0.5))
    return x


def behind(net: Blocks, x: Tensor) -> Tensor:
    for block in net.blocks:
        x = torch.relu(x + block(x))
    return x


def paired(net: Blocks, x: Tensor) -> Tensor:
    for block, norm in zip(net.blocks, net.norms, strict=True):
        x = x + block(norm(x))
    return x


def scaled(net: Blocks, x: Tensor) -> Tensor:
    for block, scale in zip(net.blocks, net.scales, strict=True):
        x = x + scale * block(x)
    return x


def two_streams(net: Blocks, x: Tensor) -> Tensor:
    y = x * 2
    for block in net.blocks:
        x, y = x + block(y), x * y
    return x - y


def injected(net: Blocks, x: Tensor) -> Tensor:
    first = torch.tanh(x)
    for block in net.blocks:
        x = x + block(x + first)
    return x


def twice(net: Blocks, x: Tensor) -> Tensor:
    for _ in range(2):
        for block in net.blocks:
            x = x + block(x)
    return x


FORWARDS = (plain, residual, behind, paired, scaled, two_streams, injected, twice)


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("how", FORWARDS, ids=lambda how: how.__name__)
def test_another_order_is_predicted_as_it_runs(how: Callable[[Blocks, Tensor], Tensor], order: tuple[int, ...]) -> None:
    model = Blocks(how).eval()
    interface = trace(model, spec("N", 6))
    draft = Draft(interface)
    loops = loops_of(draft, "blocks")
    assert isinstance(loops, list)
    arrangement = Arrangement(lists_of("blocks", loops), order)
    assert set(arrangement.lists) == {"blocks"} | {"paired": {"norms"}, "scaled": {"scales"}}.get(how.__name__, set())
    edit = edit_of(arrangement, interface)
    arrange(draft, loops, arrangement)
    settle(draft)
    wanted = copy.deepcopy(model)
    for name in arrangement.lists:
        old = list(getattr(wanted, name))
        kind = nn.ParameterList if name == "scales" else nn.ModuleList
        setattr(wanted, name, kind(old[number] for number in order))
    carry_out(model, Change(edit=edit))
    assert torch.equal(model(X), wanted(X))
    assert differences(draft.finish(), trace(model, spec("N", 6))) == ()


def dense(net: Blocks, x: Tensor) -> Tensor:
    seen = [x]
    for block in net.blocks:
        seen.append(block(torch.stack(seen).sum(0)))
    return seen[-1]


def collected(net: Blocks, x: Tensor) -> Tensor:
    seen = []
    for block in net.blocks:
        x = x + block(x)
        seen.append(x)
    return torch.stack(seen).sum(0)


def numbered(net: Blocks, x: Tensor) -> Tensor:
    for number, block in enumerate(net.blocks):
        x = x + block(x) * (number + 1)
    return x


def reversed_pairs(net: Blocks, x: Tensor) -> Tensor:
    for block, norm in zip(net.blocks, reversed(list(net.norms)), strict=True):
        x = x + block(norm(x))
    return x


@pytest.mark.parametrize("how", [dense, collected, numbered, reversed_pairs], ids=lambda how: how.__name__)
def test_entries_that_are_not_treated_alike_are_refused(how: Callable[[Blocks, Tensor], Tensor]) -> None:
    found = loops_of(Draft(trace(Blocks(how).eval(), spec("N", 6))), "blocks")
    assert isinstance(found, Obstacle)
    assert found.text
