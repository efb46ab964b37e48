"""One integer that serves two sizes: both shrink by as much, or the step is refused with the integer's name."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.diagnostics.diagnostic import Diagnostic, Sink
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.model import Extent, Interface, SizeTie
from surgery_dsl.proof.size_ties import compare
from tests.unit.selection.bench import traced


class Pair(nn.Module):
    """Two layers whose widths one attribute is to serve."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 8), nn.Linear(5, 8)
        self.head = nn.ModuleList([nn.Linear(8, 3), nn.Linear(8, 3)])

    def forward(self, x: Tensor) -> Tensor:
        return self.head[0](F.relu(self.a(x))) + self.head[1](F.relu(self.b(x)))


def tied() -> tuple[Interface, int, int]:
    interface = traced(Pair(), "N", 5)
    one, other = (interface.tensor_by_name[f"{name}.weight"].dims[0] for name in "ab")
    return interface.replaced(size_ties=(SizeTie(dims=(one, other), reason="block.width"),)), one[0], other[0]


def findings(sizes: dict[int, int | Extent], interface: Interface) -> tuple[Diagnostic, ...]:
    draft, sink = Draft(interface), Sink("plan.surg")
    for axis, size in sizes.items():
        draft.resize(axis, size)
    compare(interface, draft.finish(), "cut", None, sink)
    return sink.found


def test_one_size_alone_is_refused_with_the_integer_and_the_other_size() -> None:
    interface, one, _ = tied()
    (finding,) = findings({one: 6}, interface)
    assert finding.code.id == "SD235"
    assert "`block.width` serves 2 sizes" in finding.message
    assert "`a.weight[0]` (8 -> 6), `b.weight[0]` (8 -> 8)" in finding.message
    assert "`b.weight[0]`" in finding.help


def test_equal_counts_go_through_and_unequal_ones_do_not() -> None:
    interface, one, other = tied()
    assert findings({one: 6, other: 6}, interface) == ()
    (finding,) = findings({one: 6, other: 5}, interface)
    assert "(8 -> 6)" in finding.message
    assert "(8 -> 5)" in finding.message


def test_counts_that_only_a_run_settles_are_refused() -> None:
    interface, one, other = tied()
    (finding,) = findings({one: Extent(least=4, most=6), other: Extent(least=4, most=6)}, interface)
    assert "4 to 6" in finding.message


def test_a_network_without_ties_or_untouched_ones_says_nothing() -> None:
    interface, one, _ = tied()
    assert findings({}, interface) == ()
    assert findings({one: 3}, interface.replaced(size_ties=())) == ()
    assert torch.is_tensor(Pair().a.weight)
