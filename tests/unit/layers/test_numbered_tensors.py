"""A tensor with an index for each layer stays as it is when layers go: such layers do not go alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.interface.draft import Draft
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.modes._modules import Report, passes
from tests.unit.selection.bench import spec, static


class Scaled(nn.Module):
    """Four layers, a scale and a shift for each, and a gain for all."""

    def __init__(self, how: "Callable[[Scaled, Tensor, int, nn.Module], Tensor]") -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))
        self.scales = nn.Parameter(torch.rand(4))
        self.shifts = nn.Parameter(torch.rand(4, 6))
        self.gain = nn.Parameter(torch.rand(6))
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        for number, layer in enumerate(self.layers):
            x = self.how(self, x, number, layer)
        return x


def findings(how: "Callable[[Scaled, Tensor, int, nn.Module], Tensor]") -> list[str]:
    interface = trace(Scaled(how).eval(), spec("N", 6))
    context = static(interface)
    loops = passes("layers", ["layers.1"], Draft(interface), Report(context, None, None))
    assert (loops is None) is bool(context.sink.found)
    return [finding.message for finding in context.sink.found]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("scales", lambda net, x, number, layer: x + net.scales[number] * layer(x)),
        ("shifts", lambda net, x, number, layer: torch.relu(layer(x) + net.shifts[number])),
        ("scales", lambda net, x, number, layer: x + layer(x) * net.scales[-4 + number].exp()),
    ],
)
def test_what_is_picked_by_the_number_of_a_layer_is_named(
    name: str, how: "Callable[[Scaled, Tensor, int, nn.Module], Tensor]"
) -> None:
    (message,) = findings(how)
    assert f"picks from `{name}` by number" in message


def test_what_all_layers_read_alike_does_not_matter() -> None:
    assert findings(lambda net, x, number, layer: x + net.gain * layer(x)) == []
