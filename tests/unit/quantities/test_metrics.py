"""Losses, accuracies, change, gradient flow and silent units against plain formulas in float64."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.vocabulary import catalogue
from tests.unit.quantities.bench import Bench, Examples, traced


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))


def labelled(count: int = 13) -> Examples:
    generator = torch.Generator().manual_seed(1)
    return Examples(torch.randn(count, 6, generator=generator), torch.randint(0, 3, (count,), generator=generator))


def measure(name: str, model: nn.Module, data: Examples, base: nn.Module | None = None, **arguments: object) -> float:
    word = catalogue.find("quantities", name)(data="examples", **arguments)
    bench = Bench(model, base, {"examples": data})
    value = word.measure(model, traced(model.eval(), "N", *data.inputs.shape[1:]), bench)
    assert isinstance(value, float)
    return value


def outputs(model: nn.Module, data: Examples) -> Tensor:
    model.eval()
    with torch.no_grad():
        return model(data.inputs).double()


def test_loss_is_the_mean_negative_log_likelihood() -> None:
    model, data = network(), labelled()
    logits = outputs(model, data)
    total = -sum(
        math.log(math.exp(row[y]) / sum(map(math.exp, row))) for row, y in zip(logits, data.targets, strict=True)
    )
    assert measure("loss", model, data) == pytest.approx(total / 13, abs=1e-7)


def test_loss_of_real_targets_is_the_mean_square() -> None:
    model = network()
    data = Examples(torch.randn(7, 6), torch.randn(7, 3))
    squares = (outputs(model, data) - data.targets.double()) ** 2
    assert measure("loss", model, data) == pytest.approx(float(squares.mean()), abs=1e-7)


def test_loss_counts_every_position() -> None:
    model = nn.Conv1d(2, 4, 1)
    data = Examples(torch.randn(3, 2, 5), torch.randint(0, 4, (3, 5)))
    expected = F.cross_entropy(outputs(model, data), data.targets)
    assert measure("loss", model, data) == pytest.approx(float(expected), abs=1e-7)


def test_accuracy_is_a_share_of_examples() -> None:
    model, data = network(), labelled()
    right = sum(int(row.argmax()) == int(y) for row, y in zip(outputs(model, data), data.targets, strict=True))
    assert measure("accuracy", model, data) == right / 13


def test_of_equal_outputs_the_first_counts() -> None:
    model = nn.Linear(2, 3)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    data = Examples(torch.randn(6, 2), torch.tensor([0, 0, 1, 2, 0, 1]))
    assert measure("accuracy", model, data) == 0.5


@pytest.mark.parametrize("norm", ["inf", 2, "relative"])
def test_change_is_the_norm_of_the_difference(norm: object) -> None:
    base, model, data = network(0), network(1), labelled()
    before, after = outputs(base, data), outputs(model, data)
    difference = after - before
    expected = {
        "inf": float(difference.abs().max()),
        2: max(float(row.norm()) for row in difference),
        "relative": float(difference.norm() / before.norm()),
    }[norm]  # type: ignore[index]
    assert measure("change", model, data, base, norm=norm) == pytest.approx(expected, rel=1e-12)
    assert measure("change", base, data, base, norm=norm) == 0.0


def test_change_says_nan_where_an_output_is() -> None:
    base, model, data = network(0), network(1), labelled()
    with torch.no_grad():
        model[4].bias[1] = math.nan
    assert math.isnan(measure("change", model, data, base))
    assert math.isnan(measure("change", model, data, base, norm=2))
    assert math.isnan(measure("change", model, data, base, norm="relative"))


def test_change_from_a_zero_function() -> None:
    zero = nn.Linear(6, 3)
    for parameter in zero.parameters():
        nn.init.zeros_(parameter)
    assert measure("change", network(), labelled(), zero, norm="relative") == math.inf
    assert measure("change", zero, labelled(), zero, norm="relative") == 0.0


def test_batches_do_not_matter() -> None:
    base, model = network(0), network(1)
    small, large = labelled(), labelled()
    small.facts, large.facts = small.facts.replaced(batch=1), large.facts.replaced(batch=100)
    for name, arguments in (("loss", {}), ("accuracy", {}), ("change", {"norm": 2}), ("dead", {})):
        one, other = (measure(name, model, data, base, **arguments) for data in (small, large))
        assert one == pytest.approx(other, abs=1e-7)


@pytest.mark.parametrize("name", ["loss", "accuracy", "change", "dead", "grad_flow"])
def test_measuring_leaves_the_network_as_it_was(name: str) -> None:
    model, data = network(), labelled()
    before = {n: t.clone() for n, t in model.state_dict().items()}
    model.train()
    model[1].eval()
    model[0].weight.requires_grad_(False)
    model[4].weight.grad = torch.ones_like(model[4].weight)
    word = catalogue.find("quantities", name)(data="examples")
    interface = traced(network().eval(), "N", 6)
    word.measure(model, interface, Bench(model, network(1), {"examples": data}))
    assert [m.training for m in model] == [True, False, True, True, True]
    assert [p.requires_grad for p in model.parameters()] == [False, True, True, True, True, True]
    assert torch.equal(model[4].weight.grad, torch.ones_like(model[4].weight))
    assert model[0].weight.grad is None
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


def test_grad_flow_is_the_least_norm_over_layers() -> None:
    model, data = network().eval(), labelled()
    loss = F.cross_entropy(model(data.inputs[:10]), data.targets[:10])
    loss.backward()
    norms = [
        math.sqrt(sum(float((p.grad.double() ** 2).sum()) for p in module.parameters() if p.grad is not None))
        for module in (model[0], model[1], model[4])
    ]
    model.zero_grad()
    assert measure("grad_flow", model, data, batches=2) == pytest.approx(min(norms), rel=1e-5)


def test_a_layer_that_learns_nothing_is_seen() -> None:
    model, data = network(), labelled()
    with torch.no_grad():
        model[4].weight.zero_()
    assert measure("grad_flow", model, data) == 0.0

    class Idle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = nn.Linear(6, 3), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    assert measure("grad_flow", Idle(), data) == 0.0


class Mixed(nn.Module):
    """A shared module, a call of the functional form, and images; some units of each are silent."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(1, 4, 3, padding=1), nn.ReLU()
        self.second, self.head = nn.Conv2d(4, 5, 1), nn.Linear(5, 6)
        with torch.no_grad():
            self.conv.weight[:2], self.conv.bias[:2] = 0.0, -1.0
            self.second.weight[0], self.second.bias[0] = 0.0, -1.0
            self.head.weight[3:], self.head.bias[3:] = 0.0, 0.0

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.second(self.act(self.conv(x))))
        return torch.tanh(self.head(x.mean((2, 3))))


def test_dead_units_are_counted_at_each_run_of_an_activation() -> None:
    torch.manual_seed(3)
    model = Mixed()
    with torch.no_grad():
        model.conv.bias[2:] = 5.0
        model.second.bias[1:] = 5.0
    data = Examples(torch.randn(9, 1, 6, 6), torch.zeros(9, dtype=torch.long))
    assert measure("dead", model, data) == 2 + 1 + 3
    assert measure("dead", model, data, eps=1e9) == 4 + 5 + 6
    assert measure("dead", model, data, eps=0.0) == 2 + 1 + 3


def test_a_unit_that_fires_once_is_alive() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.copy_(torch.tensor([0.0, -10.0]))
    inputs = -torch.ones(11, 1)
    data = Examples(inputs, torch.zeros(11, dtype=torch.long))
    assert measure("dead", model, data) == 2
    inputs[7] = 1.0
    assert measure("dead", model, data) == 1


def test_targets_that_do_not_fit_are_refused() -> None:
    model = network()
    for targets, name in (
        (torch.randn(7, 3), "accuracy"),
        (torch.randint(0, 3, (7, 2)), "accuracy"),
        (torch.full((7,), 3), "loss"),
        (torch.randn(7, 2), "loss"),
    ):
        with pytest.raises(Refused):
            measure(name, model, Examples(torch.randn(7, 6), targets))
    with pytest.raises(Refused):
        measure("change", nn.Linear(6, 2), labelled(), network())


def test_a_region_is_not_measured() -> None:
    from fractions import Fraction

    box = catalogue.find("regions", "box")(data="examples", eps=Fraction(1, 255))
    word = catalogue.find("quantities", "change")(data=box)
    with pytest.raises(LookupError):
        word.measure(network(), None, Bench(network()))
