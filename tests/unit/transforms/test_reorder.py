"""Units in another order: the same function, every carrier in step, and no number that was not there."""

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.vocabulary.transforms.reorder import Reorder
from tests.unit.transforms.bench import Bench, linear, module, spec
from tests.unit.transforms.networks import NETWORKS, drawn, inputs_of


class Chain(nn.Module):
    """A convolution, its norm, a flattening, and a reader of all positions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.fc = nn.Conv1d(2, 7, 3), nn.BatchNorm1d(7), nn.Linear(7 * 4, 5)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(torch.relu(self.fc(torch.tanh(self.norm(self.conv(x))).flatten(1))))
        return y


def test_all_carriers_move_in_step() -> None:
    bench = Bench(drawn(Chain()), spec("N", 2, 6, dtype="f64"))
    x = torch.randn(4, 2, 6, dtype=torch.float64)
    wanted = bench.model(x).detach()
    before = {name: tensor.clone() for name, tensor in bench.model.state_dict().items()}
    outcome = bench.step(Reorder(), "at", module("conv"), linear("fc"))
    assert outcome.codes == []
    assert outcome.differences == ()
    assert (outcome.effect.function, outcome.effect.rule) == ("exact", "reordered_units")
    torch.testing.assert_close(bench.model(x).detach(), wanted, rtol=1e-12, atol=1e-12)
    weight = bench.model.get_parameter("conv.weight").abs().flatten(1).sum(1)
    assert bool((weight[:-1] >= weight[1:]).all())
    changed = {name for name, tensor in bench.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed <= outcome.effect.writes
    assert {"conv.weight", "norm.running_mean", "fc.weight"} <= changed
    for name, tensor in bench.model.state_dict().items():
        assert torch.equal(tensor.flatten().sort().values, before[name].flatten().sort().values)


@pytest.mark.parametrize("name", ["mlp", "residual", "concatenated", "normed"])
def test_the_function_stays(name: str) -> None:
    factory, inputs = NETWORKS[name]
    inputs = tuple(one.replaced(dtype="f64") for one in inputs)
    bench = Bench(drawn(factory()), inputs)
    x = inputs_of(inputs)
    wanted = bench.model(x).detach()
    done = 0
    for site in bench.sites(linear("**")):
        outcome = bench.step(Reorder(), "at", linear(site.path), name=f"step{done}")
        done += not outcome.codes
        assert outcome.differences == ()
    assert done
    torch.testing.assert_close(bench.model(x).detach(), wanted, rtol=1e-11, atol=1e-11)


def test_outputs_keep_their_order() -> None:
    bench = Bench(drawn(Chain()), spec("N", 2, 6, dtype="f64"))
    assert bench.step(Reorder(), "at", linear("head")).codes == ["fixed-axis"]
