"""Modules and units of two networks are found again through the edits between them; a wrong match stays sound."""

import copy

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.evidence.bounds.alignment import Alignment
from surgery_dsl.evidence.bounds.change import Comparison, largest_change
from surgery_dsl.evidence.bounds.pairing import matches
from surgery_dsl.evidence.bounds.record import record
from surgery_dsl.evidence.bounds.region import around
from surgery_dsl.interface.edits import ArrangeModules, DropModules, Edit, Resize, Slice

KEPT = (0, 2, 3, 5)


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.ReLU(),
        nn.Linear(6 * 16, 5),
        nn.ReLU(),
        nn.Linear(5, 3),
    )


def cut(model: nn.Sequential, kept: tuple[int, ...], size: float) -> nn.Sequential:
    """Return the network with some channels of its convolution, in their order, and other values all over."""
    other = copy.deepcopy(model)
    first, last = other[0], other[4]
    assert isinstance(first, nn.Conv2d)
    assert isinstance(last, nn.Linear)
    index = torch.tensor(kept)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(size * torch.randn_like(parameter))
        last.weight = nn.Parameter(last.weight.reshape(5, 6, 16)[:, index].reshape(5, -1))
        assert first.bias is not None
        first.weight, first.bias = nn.Parameter(first.weight[index]), nn.Parameter(first.bias[index])
    return other


def resized(kept: tuple[int, ...], tensor: str = "0.weight") -> Resize:
    slices = (
        Slice(tensor=tensor, dim=0, indices="a"),
        Slice(tensor=tensor.replace("weight", "bias"), dim=0, indices="a"),
    )
    return Resize(indices={"a": kept}, slices=slices, integers=())


@pytest.mark.parametrize("kept", [KEPT, (5, 4, 3, 2, 1, 0), (0, 1, 2, 3, 4, 5, 1, 1)])
def test_units_are_followed_through_widths_and_orders(kept: tuple[int, ...]) -> None:
    old = network().eval()
    new = cut(old, kept, 1e-4).eval()
    example = [torch.zeros(1, 1, 4, 4)]
    graphs = record(old, example), record(new, example)
    region = around(torch.rand(3, 1, 4, 4), 0.05)
    pairs = matches(*graphs, Alignment([resized(kept)]).units(graphs[0]))
    assert [len(pair.new_units) for pair in pairs] == [16 * len(kept), 16 * len(kept), 5]
    index = torch.arange(96).reshape(6, 16)[list(kept)].flatten()
    assert all(torch.equal(pair.old_units, index) for pair in pairs[:2])
    found = largest_change(Comparison(*graphs, pairs, region), 3)
    unmatched = largest_change(Comparison(*graphs, matches(*graphs, lambda *_: None), region), 3)
    assert bool((found <= unmatched).all())
    if sorted(kept) == list(range(6)):  # another order of the same units, and nearly the same values
        assert float(found.max()) < 0.05 * float(unmatched.max())
    wrong = matches(*graphs, Alignment([resized(tuple(reversed(kept)))]).units(graphs[0]))
    loose = largest_change(Comparison(*graphs, wrong, region), 3)
    for bound in (found, loose, unmatched):
        assert bool((bound >= worst_of(old, new, region.boxes[0].low, region.boxes[0].high)).all())


def worst_of(old: nn.Module, new: nn.Module, low: Tensor, high: Tensor) -> Tensor:
    worst = torch.zeros(len(low), dtype=torch.float64)
    one, other = copy.deepcopy(old).double(), copy.deepcopy(new).double()
    with torch.no_grad():
        for _ in range(100):
            points = (low + (high - low) * torch.rand_like(low)).squeeze(1)
            worst = torch.maximum(worst, (other(points) - one(points)).abs().amax(1))
    return worst


def test_indices_are_composed_and_follow_modules_that_move() -> None:
    edits: list[Edit] = [
        resized((1, 2, 3, 4), "blocks.2.fc.weight"),
        ArrangeModules(lists={"blocks": (0, 2, 2)}),
        resized((0, 3), "blocks.1.fc.weight"),
        DropModules(paths=("blocks.0",)),
    ]
    alignment = Alignment(edits)
    assert alignment.moved("blocks.2.fc") == "blocks.0.fc"
    assert alignment.moved("blocks.0.fc") == alignment.moved("blocks.1") != "blocks.0"
    assert alignment.moved("head") == "head"
    assert alignment._kept["blocks.0.fc.weight", 0] == (1, 4)
    assert alignment._kept["blocks.1.fc.weight", 0] == (1, 2, 3, 4)
