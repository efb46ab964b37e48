"""Removing random units of random networks: the network that is left traces as predicted, and computes what it should.

What it should compute follows from one fact: units whose readers multiply them by zero cannot matter, so a network in
which every tensor that reads the removed units is zero there must equal the smaller one.
"""

import copy
import math

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.edits import Resize
from surgery_dsl.interface.model import Extent, Interface
from surgery_dsl.run.changes import carry_out
from surgery_dsl.vocabulary.modes.remove import Remove
from surgery_dsl.vocabulary.selection import Picked, Pool, Selection
from surgery_dsl.vocabulary.sites.conv2d import Conv2d
from tests.unit.selection.bench import Bench, block, static, traced
from tests.unit.selection.networks import settled

IMAGES = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


class Stack(nn.Module):
    """Convolutions, some grouped, some added to what they read, some concatenated with it, then a head over pixels."""

    def __init__(self, plan: tuple[tuple[str, int, int], ...]) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        self.norms = nn.ModuleList()
        self.kinds = []
        width = 3
        for kind, factor, groups in plan:
            groups = math.gcd(groups, width)
            out = width if kind == "add" else factor * groups
            self.kinds.append(kind)
            self.layers.append(nn.Conv2d(width, out, 3, padding=1, groups=groups))
            width = width + out if kind == "cat" else out
            self.norms.append(nn.BatchNorm2d(width))
        self.head = nn.Linear(width * 9, 4)

    def forward(self, x: Tensor) -> Tensor:
        for kind, layer, norm in zip(self.kinds, self.layers, self.norms, strict=True):
            y = layer(x)
            x = torch.cat([x, y], 1) if kind == "cat" else x + y if kind == "add" else y
            x = torch.relu(norm(x))
        return self.head(nn.functional.avg_pool2d(x, 2).flatten(1))


layers = st.tuples(st.sampled_from(["plain", "add", "cat"]), st.integers(2, 4), st.sampled_from([1, 1, 2, 3]))


@settings(max_examples=12, deadline=None)
@given(st.data(), st.lists(layers, min_size=2, max_size=4))
def test_removal(data: st.DataObject, plan: list[tuple[str, int, int]]) -> None:
    model = settled(Stack(tuple(plan)), seed=len(plan))
    interface = traced(model, "N", 3, 6, 6, dtype="f64")
    pools = [pool for pool in _pools(interface) if pool.size > 1 and not interface.axes[pool.axis].frozen]
    assume(pools)
    pool = data.draw(st.sampled_from(pools))
    units = data.draw(st.sets(st.integers(0, pool.size - 1), min_size=1, max_size=pool.size - 1))
    selection = Selection(
        step="s",
        unit="channels",
        pools=(pool,),
        taken=(Extent(least=len(units), most=len(units)),),
        indices=(tuple(sorted(units)),),
    )
    picked = Picked(selection, indices=(tuple(sorted(units)),))
    draft, context = Draft(interface), static(interface)
    Remove().transfer(selection, draft, context)
    assert context.sink.found == ()
    small = copy.deepcopy(model)
    (change,) = Remove().execute(picked, Bench(small, interface))
    carry_out(small, change)
    assert differences(draft.finish(), traced(small, "N", 3, 6, 6, dtype="f64")) == ()
    with torch.no_grad():
        torch.testing.assert_close(small(IMAGES), _silenced(model, change.edit)(IMAGES), rtol=1e-9, atol=1e-10)


def _pools(interface: Interface) -> tuple[Pool, ...]:
    step = block(Conv2d(pattern="layers.*"))
    context = static(interface)
    return step.unit.pools(step.sites[0].word.resolve(interface, context), context)


def _silenced(model: nn.Module, edit: Resize) -> nn.Module:
    """Return the model with zeros wherever a layer reads what the edit cuts."""
    other = copy.deepcopy(model)
    tensors = dict(other.named_parameters())
    for entry in edit.slices:
        if entry.tensor.endswith("weight") and entry.dim == 1:
            tensor = tensors[entry.tensor]
            gone = sorted(set(range(tensor.shape[1])) - set(edit.indices[entry.indices]))
            with torch.no_grad():
                tensor[:, gone] = 0
    return other
