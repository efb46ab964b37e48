"""A small network is traced on its own values: that must say the same as fake tensors do."""

from collections.abc import Callable

import pytest
from torch import Tensor, nn

from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.trace import forward
from surgery_dsl.trace.capture import trace
from tests.unit.trace.test_oracle import CASES


@pytest.mark.parametrize(("build", "specs"), [case[:2] for case in CASES], ids=[case[0].__name__ for case in CASES])
def test_values_and_fakes_agree(
    build: Callable[[], nn.Module], specs: tuple[InputSpec, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    on_values = trace(model, specs)
    monkeypatch.setattr(forward, "CHEAP_WEIGHTS", -1)
    on_fakes = trace(model, specs)
    assert differences(on_values, on_fakes) == ()
    assert all(before[name].equal(tensor) for name, tensor in model.state_dict().items())


class Converts(nn.Module):
    """A forward that converts a module to the dtype it has, as routers of experts do."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.b = self.b.to(x.dtype)
        out: Tensor = self.b(self.a(x))
        return out


def test_a_conversion_that_changes_nothing_does_nothing_on_fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "CHEAP_WEIGHTS", -1)
    interface = trace(Converts(), (InputSpec(name="x", dtype="f32", dims=(2, 4)),))
    (axis,) = interface.tensor_by_name["a.weight"].dims[0]
    assert not interface.axes[axis].frozen
