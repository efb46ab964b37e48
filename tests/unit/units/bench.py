"""Removal of units, and what it must be equal to."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.model import Interface
from surgery_dsl.language.plan import Identify
from surgery_dsl.run.changes import carry_out
from surgery_dsl.run.identify import identify
from surgery_dsl.vocabulary.context import Effect
from surgery_dsl.vocabulary.modes.remove import Remove
from tests.unit.selection.bench import Bench, selected, static

TRACED = ("N", "T", 5)


def excised(
    model: nn.Module,
    interface: Interface,
    step: Identify,
    trace: Callable[[nn.Module], Interface],
    changes: frozenset[str] = frozenset(),
) -> tuple[nn.Module, tuple[tuple[int, ...], ...], Effect]:
    """Identify and remove; the smaller network must trace as predicted. Return it, what was taken, and the effect."""
    selection = selected(interface, step)
    runtime = Bench(copy.deepcopy(model), interface)
    picked = identify(step, selection, runtime)
    context = static(interface, changes=changes)
    draft = Draft(interface)
    exact = picked.selection.replaced(indices=picked.indices)
    effect = Remove().transfer(exact, draft, context)
    assert context.sink.found == (), [finding.message for finding in context.sink.found]
    for change in Remove().execute(picked, runtime):
        carry_out(runtime.model, change)
    assert differences(draft.finish(), trace(runtime.model)) == ()
    return runtime.model, picked.indices, effect


def with_zeros(model: nn.Module, silence: Callable[[nn.Module], None]) -> nn.Module:
    """Return a copy in which readers of the units read nothing: what removal must be equal to."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        silence(other)
    return other


def assert_same(one: nn.Module, two: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(one(x), two(x), rtol=1e-10, atol=1e-12)


def sequences(batch: int = 2, time: int = 7, width: int = 5, seed: int = 1) -> Tensor:
    return torch.randn(batch, time, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
