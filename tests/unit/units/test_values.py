"""Constants that the forward makes for an axis: refused, or cut only where the step says so; notes on the step."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface import frozen
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.context import Effect
from surgery_dsl.vocabulary.modes.remove import Remove
from surgery_dsl.vocabulary.sites.attention import Attention
from surgery_dsl.vocabulary.sites.linear import Linear
from surgery_dsl.vocabulary.takes.only import Only
from surgery_dsl.vocabulary.units.heads import Heads
from tests.unit.selection.bench import block, selected, static, traced
from tests.unit.units import real

MADE = frozen.constant("arange", "here")


def removed(interface: Interface, step: object, *changes: str) -> tuple[Effect, tuple[Diagnostic, ...]]:
    context = static(interface, changes=frozenset(changes))
    effect = Remove().transfer(selected(interface, step), Draft(interface), context)
    return effect, context.sink.found


def test_slopes_that_the_forward_makes_keep_the_heads_with_the_reason() -> None:
    interface = real.traced(real.bloom())
    step = block(Attention(pattern="**"), unit=Heads(), take=Only(units=(1,)))
    for changes in ((), ("values",)):
        _, (finding, *_) = removed(interface, step, *changes)
        assert finding.code.id == "SD226"
        assert "the forward makes a constant of this size with arange" in finding.message


class Sized(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(F.softmax(F.layer_norm(self.up(x), (8,)), -1))


def made(counted: bool) -> Interface:
    """Return an interface in which the layer's width follows a constant, and an attribute that counts it."""
    interface = traced(Sized(), "N", 5)
    (axis,) = interface.tensor_by_name["up.weight"].dims[0]
    axes = list(interface.axes)
    axes[axis] = axes[axis].replaced(frozen=MADE)
    modules = tuple(
        module.replaced(integers={**module.integers, "width": (axis,)}) if counted and not module.path else module
        for module in interface.modules
    )
    return interface.replaced(axes=tuple(axes), modules=modules)


def test_a_constant_that_follows_a_count_is_cut_only_where_the_step_says_so() -> None:
    step = block(Linear(pattern="up"), take=Only(units=(1,)))
    _, (finding,) = removed(made(counted=True), step)
    assert (finding.code.id, finding.path) == ("SD226", "up")
    assert "write changes = values" in finding.help
    effect, found = removed(made(counted=True), step, "values")
    assert found == ()
    assert "makes another for fewer" in effect.reason
    _, (finding,) = removed(made(counted=False), step, "values")
    assert "changes = values" not in finding.help


def test_what_runs_over_a_shorter_axis_is_said() -> None:
    interface = traced(Sized(), "N", 5)
    (axis,) = interface.tensor_by_name["up.weight"].dims[0]
    axes = list(interface.axes)
    axes[axis] = axes[axis].replaced(frozen="")
    effect, found = removed(interface.replaced(axes=tuple(axes)), block(Linear(pattern="up"), take=Only(units=(0,))))
    assert found == ()
    assert "1 norm then average over fewer channels" in effect.reason
    assert "1 softmax then runs over fewer" in effect.reason
    assert torch.is_tensor(Sized().up.weight)


class Divided(nn.Module):
    """Scores that the forward divides by the root of a width that it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 4
        self.q, self.k, self.out = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.q(x).view(-1, self.size) @ self.k(x).view(-1, self.size).t() / self.size**0.5
        return self.out(torch.tanh(scores) @ x)


def test_a_number_that_follows_from_a_width_is_cut_only_where_the_step_says_so() -> None:
    interface = traced(Divided(), "N", 5)
    step = block(Linear(pattern="q"), take=Only(units=(1,)))
    _, (finding, *_) = removed(interface, step)
    assert finding.code.id == "SD226"
    assert "follows from its size" in finding.message
    assert "changes = values" in finding.help
    effect, found = removed(interface, step, "values")
    assert found == ()
    assert "follows from its size" in effect.reason
