"""The oracle can fail: it names what is coupled, sized or scaled wrongly, and says where nothing shows."""

import pytest
import torch
from torch import Tensor, nn

from benchmarks.zoo.networks import Network
from benchmarks.zoo.oracle import Judge
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Interface, SizeTie
from surgery_dsl.trace.capture import trace


class Two(nn.Module):
    """Two hidden layers of one width, and heads that are regrouped without a crash."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 4
        self.a, self.b, self.c, self.d = nn.Linear(5, 12), nn.Linear(12, 12), nn.Linear(12, 24), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.c(torch.tanh(self.b(torch.tanh(self.a(x)))))
        x = x.view(x.shape[0], self.heads, -1)
        return self.d(torch.softmax(x, -1).flatten(1))


class Scaled(nn.Module):
    """A hidden layer that is divided by its width."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(5, 9), nn.Linear(9, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.a(x))
        return self.b(x / x.shape[-1] ** 0.5)


class Unheard(nn.Module):
    """A hidden layer whose result does not reach the output."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, 9), nn.Linear(9, 3), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.c(x) + 0.0 * self.b(torch.tanh(self.a(x)))


def network(model: nn.Module) -> tuple[Network, Interface]:
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(generator=generator)
    specs = (InputSpec(name="x", dtype="f32", dims=(4, 5)),)
    values = {"x": torch.randn(4, 5, generator=generator)}
    return Network(model.eval(), specs, values), trace(model, specs)


def axis_of(interface: Interface, tensor: str, dim: int) -> int:
    (axis,) = interface.tensor_by_name[tensor].dims[dim]
    return axis


def test_a_right_interface_is_exact() -> None:
    made, interface = network(Two())
    oracle = Judge(made, interface, float32=True)
    for tensor in ("a.weight", "b.weight"):
        assert oracle.axis(axis_of(interface, tensor, 0)).kind == "exact"
    assert [oracle.axis(axis).kind for axis in interface.leaves(interface.tensor_by_name["c.weight"].dims[0])] == [
        "exact"
    ] * 2
    assert oracle.joint().kind == "exact"


def test_a_miscoupled_interface_that_runs_is_wrong() -> None:
    """What reads the first width is cut at other indices than what writes it, as many of them."""
    made, interface = network(Two())
    first, second = axis_of(interface, "a.weight", 0), len(interface.axes)
    axes = (*interface.axes, interface.axes[first].replaced(id=second))
    tensors = tuple(t.replaced(dims=(t.dims[0], (second,))) if t.name == "b.weight" else t for t in interface.tensors)
    tie = SizeTie(dims=((first,), (second,)), reason="a test")
    tampered = Interface.model_construct(**{**dict(interface), "axes": axes, "tensors": tensors, "size_ties": (tie,)})
    verdict = Judge(made, tampered).axis(first)
    assert verdict.kind == "wrong"
    assert verdict.error is not None
    assert verdict.error > 1e-3


def test_an_interface_that_lacks_a_carrier_is_wrong() -> None:
    made, interface = network(Two())
    first = axis_of(interface, "a.weight", 0)
    other = axis_of(interface, "b.weight", 0)
    tensors = tuple(t.replaced(dims=((other,),)) if t.name == "a.bias" else t for t in interface.tensors)
    verdict = Judge(made, Interface.model_construct(**{**dict(interface), "tensors": tensors})).axis(first)
    assert verdict.kind == "wrong"
    assert verdict.reason.startswith("crash")


def test_a_wrong_integer_that_runs_is_wrong() -> None:
    """Without the integer the heads are regrouped: 3 of 4 heads of 6 become 4 of 4.5, 2 of 4 become 4 of 3."""
    made, interface = network(Two())
    heads, _ = interface.tensor_by_name["c.weight"].dims[0]
    modules = tuple(module.replaced(integers={}) for module in interface.modules)
    assert interface.modules != modules
    tampered = Interface.model_construct(**{**dict(interface), "modules": modules})
    import benchmarks.zoo.oracle as module

    before, module.REMOVED = module.REMOVED, 0.5
    try:
        verdict = Judge(made, tampered).axis(heads)
    finally:
        module.REMOVED = before
    assert verdict.kind == "wrong"
    assert verdict.error is not None


def test_a_scale_that_changes_silently_is_wrong() -> None:
    made, interface = network(Scaled())
    axis = axis_of(interface, "a.weight", 0)
    assert interface.axes[axis].frozen
    axes = tuple(a.replaced(frozen="") for a in interface.axes)
    verdict = Judge(made, Interface.model_construct(**{**dict(interface), "axes": axes})).axis(axis)
    assert verdict.kind == "wrong"


def test_what_no_output_hears_is_undecidable_with_an_argument() -> None:
    made, interface = network(Unheard())
    verdict = Judge(made, interface).axis(axis_of(interface, "a.weight", 0))
    assert verdict.kind == "undecidable"
    assert verdict.reason == "no output depends on these entries"


def test_a_tie_that_cannot_hold_is_refused_before_anything_is_cut() -> None:
    made, interface = network(Two())
    first, fixed = axis_of(interface, "a.weight", 0), len(interface.axes)
    axes = (*interface.axes, interface.axes[first].replaced(id=fixed, frozen="it must stay"))
    tie = SizeTie(dims=((first,), (fixed,)), reason="a test")
    tampered = Interface.model_construct(**{**dict(interface), "axes": axes, "size_ties": (tie,)})
    verdict = Judge(made, tampered).axis(first)
    assert verdict.kind == "refused"
    assert "a test" in verdict.reason


@pytest.mark.parametrize("seed", range(3))
def test_other_draws_agree(seed: int) -> None:
    made, interface = network(Two())
    oracle = Judge(made, interface, seed)
    assert {oracle.axis(axis).kind for axis in oracle.prunable()} == {"exact"}
