"""Health of a network against formulas by hand, in float64 on tiny networks."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.interface.edits import Edit, Resize, Slice
from surgery_dsl.interface.flow import unit_dim
from surgery_dsl.vocabulary import catalogue
from tests.unit.quantities.bench import Bench, Examples, static, traced


class Listening(Bench):
    """Keeps what words say of their numbers."""

    said: list[str]

    def remark(self, text: str) -> None:
        self.said = [*getattr(self, "said", []), text]


def examples(inputs: Tensor, batch: int = 3) -> Examples:
    return Examples(inputs, torch.arange(len(inputs)) % 2, batch)


def measure(
    name: str, model: nn.Module, data: Examples, base: nn.Module | None = None, **arguments: object
) -> tuple[float, str]:
    word = catalogue.find("quantities", name)(data="examples", **arguments)
    bench = Listening(model, base, {"examples": data})
    value = word.measure(model, traced(model.eval(), "N", *data.inputs.shape[1:]), bench)
    return value, "; ".join(getattr(bench, "said", []))


def perceptron(weight: list[list[float]], bias: list[float]) -> nn.Sequential:
    model = nn.Sequential(nn.Linear(len(weight[0]), len(weight)), nn.ReLU(), nn.Linear(len(weight), 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor(weight))
        model[0].bias.copy_(torch.tensor(bias))
    return model.eval()


X = torch.tensor([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0], [3.0, 1.0]])


def test_units_that_are_multiples_of_earlier_ones_are_redundant() -> None:
    model = perceptron([[1, 0], [0, 1], [3, 0], [-1, -1], [1, 0.001]], [0, 0, 0, 0, 0])
    assert measure("redundant_units", model, examples(X), epsilon=1e-4) == (1.0, "1 in `1`")
    # h_4 is (1, .002, 1.001, 3.001) beside h_0 = (1, 0, 1, 3): the sine by hand
    first, last = torch.relu(X @ torch.tensor([1.0, 0.0])).double(), torch.relu(X @ torch.tensor([1.0, 0.001])).double()
    alpha = float(first @ last) / float(first @ first)
    sine = float((last - alpha * first).norm() / last.norm())
    assert measure("redundant_units", model, examples(X), epsilon=sine * 1.01)[0] == 2
    assert measure("redundant_units", model, examples(X), epsilon=sine * 0.99)[0] == 1


def test_of_three_multiples_two_are_redundant() -> None:
    model = perceptron([[2, 0], [1, 0], [5, 0]], [0, 0, 0])
    assert measure("redundant_units", model, examples(X), epsilon=1e-4)[0] == 2


def test_constant_units_are_more_than_dead_ones() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Sigmoid(), nn.Linear(3, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]]))
        model[0].bias.copy_(torch.tensor([0.0, 100.0, -1e4]))
    assert measure("dead", model, examples(X))[0] == 1
    assert measure("constant_units", model, examples(X)) == (2.0, "2 in `1`")
    variance = float(torch.sigmoid(X[:, 0]).double().var(unbiased=False))
    assert measure("constant_units", model, examples(X), epsilon=variance * 1.001)[0] == 3
    assert measure("constant_units", model, examples(X), epsilon=variance * 0.999)[0] == 2


def test_effective_rank_of_known_singular_values() -> None:
    model = perceptron([[1, 0], [0, 1]], [0, 0])
    data = torch.tensor([[3.0, 0.0], [0.0, 1.0]])  # H is the data: singular values 3 and 1
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    value, said = measure("effective_rank", model, examples(data))
    assert value == pytest.approx(math.exp(entropy), abs=1e-12)
    assert said == "least in `1`"


def test_effective_rank_is_one_of_one_direction_and_all_of_orthogonal_ones() -> None:
    same = perceptron([[1, 0], [2, 0], [3, 0]], [0, 0, 0])
    assert measure("effective_rank", same, examples(X))[0] == pytest.approx(1, abs=1e-6)
    apart = perceptron([[1, 0], [0, 1]], [0, 0])
    assert measure("effective_rank", apart, examples(torch.eye(2)))[0] == pytest.approx(2, abs=1e-12)
    silent = perceptron([[-1, 0], [0, -1]], [0, 0])
    assert measure("effective_rank", silent, examples(X))[0] == 0


def test_effective_rank_at_sites() -> None:
    model = perceptron([[1, 0], [0, 1]], [-1, -1])
    site = catalogue.find("sites", "linear")(pattern="0")
    rows = (X - 1).double()
    shares = torch.linalg.svdvals(rows) / torch.linalg.svdvals(rows).sum()
    value, said = measure("effective_rank", model, examples(X), at=site)
    assert value == pytest.approx(math.exp(-float((shares * shares.log()).sum())), abs=1e-9)
    assert said == "least in `0`"
    missing = catalogue.find("sites", "linear")(pattern="nowhere.*")
    context = static(traced(model, "N", 2))
    catalogue.find("quantities", "effective_rank")(data="examples", at=missing).check(context)
    assert [found.code.id for found in context.sink.found] == ["SD120"]


def test_units_of_images_before_a_flatten_are_channels() -> None:
    """The head's weight carries rows and columns of the image too; they are no units."""
    model = nn.Sequential(nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 4 * 4, 2)).eval()
    with torch.no_grad():
        model[0].bias[:2] = -100.0
    data = Examples(torch.randn(4, 1, 6, 6), torch.tensor([0, 1, 0, 1]))
    interface = traced(model, "N", 1, 6, 6)
    assert interface.exact(unit_dim(interface, interface.operators[0])) == 5
    assert measure("dead", model, data) == (2.0, "2 in `1`")


def test_the_layer_with_the_least_gradient_is_named() -> None:
    model = perceptron([[-1, 0], [-1, 0]], [-1, -1])  # nothing passes the activation: the first layer learns nothing
    value, said = measure("grad_flow", model, examples(X))
    assert value == 0
    assert said.startswith("least in `0` (0), `2` (")
    assert said.endswith(", of 2 layers")


def test_lines_say_how_many_examples_they_read() -> None:
    facts = examples(X, batch=3).facts  # four in all
    for name, arguments, count in (
        ("dead", {}, 4),
        ("grad_flow", {"batches": 1}, 3),
        ("grad_flow", {"batches": 2}, 4),
        ("latency", {"batch": 2}, 2),
        ("measured_memory", {}, 1),
    ):
        assert catalogue.find("quantities", name)(data="examples", **arguments).examples(facts) == count


def test_running_statistics_against_the_data_s() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.ReLU(), nn.Linear(2, 2)).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2))
        model[0].bias.zero_()
        model[1].running_mean.copy_(torch.tensor([0.25, 1.0]))
        model[1].running_var.copy_(torch.tensor([4.0, 0.6666667]))
    deviation = [math.sqrt(4 + 1e-5), math.sqrt(0.6666667 + 1e-5)]
    column = [[1, 0, 1, 3], [0, 2, 1, 1]]
    expected = 0.0
    for values, mean, sigma in zip(column, (0.25, 1.0), deviation, strict=True):
        m = sum(values) / 4
        s = math.sqrt(sum((value - m) ** 2 for value in values) / 3)
        expected = max(expected, abs(m - mean) / sigma, abs(s / sigma - 1))
    value, said = measure("bn_shift", model, examples(X))
    assert value == pytest.approx(expected, rel=1e-6)
    assert "`1`" in said
    assert "train = statistics" in said
    model[1].momentum = None
    model[1].reset_running_stats()
    model.train()
    model(X)
    assert measure("bn_shift", model.eval(), examples(X))[0] < 1e-4


def test_without_norms_the_shift_is_a_line_that_cannot_fail() -> None:
    model = perceptron([[1, 0]], [0])
    context = static(traced(model, "N", 2))
    word = catalogue.find("quantities", "bn_shift")(data="examples")
    word.check(context)
    assert [found.code.id for found in context.sink.found] == ["SD701"]
    assert measure("bn_shift", model, examples(X)) == (0.0, "")


def test_change_of_layers_is_relative_to_what_they_gave() -> None:
    base, model = perceptron([[1, 0], [0, 1]], [0, 0]), perceptron([[1.5, 0], [0, 1]], [0, 0])
    model[2].load_state_dict(base[2].state_dict())
    first = float((0.5 * X[:, 0]).norm() / X.norm())
    weight, bias = base[2].weight.detach().double(), base[2].bias.detach().double()
    moved = X.double() * torch.tensor([1.5, 1.0])
    before, after = X.double() @ weight.T + bias, moved @ weight.T + bias
    second = float(((after - before).norm() / before.norm()).detach())
    bench = Listening(model, base, {"examples": examples(X)})
    bench.base_interface = traced(base, "N", 2)  # type: ignore[attr-defined]
    bench.point = lambda _: (base, bench.base_interface)  # type: ignore[method-assign, attr-defined]
    word = catalogue.find("quantities", "layer_change")(data="examples")
    value = word.measure(model, traced(model, "N", 2), bench)
    assert value == pytest.approx(max(first, second), rel=1e-6)
    assert bench.said == [f"most in `{'0' if first > second else '2'}`"]


def test_units_that_are_gone_are_left_out_of_the_comparison() -> None:
    from surgery_dsl.evidence import layers

    base = perceptron([[1, 0], [0, 1], [1, 1]], [0, 0, 0])
    model = perceptron([[0, 1], [1, 1]], [0, 0.5])
    edit: Edit = Resize(
        slices=(
            Slice(tensor="0.weight", dim=0, indices="kept"),
            Slice(tensor="0.bias", dim=0, indices="kept"),
            Slice(tensor="2.weight", dim=1, indices="kept"),
        ),
        indices={"kept": (1, 2)},
        integers=(),
    )
    with torch.no_grad():
        model[2].weight.copy_(base[2].weight[:, 1:])
        model[2].bias.copy_(base[2].bias)
    found = tuple(layers.pairs(traced(base, "N", 2), base, model, (edit,)))
    assert [(pair.path, pair.kept) for pair in found] == [("0", (1, 2)), ("2", None)]
    moved = layers.output_changes(base, model, found, [(X, X)], lambda net, x: net(x))
    kept = torch.stack([X[:, 1], X.sum(1)], 1).double()
    assert moved["0"].relative == pytest.approx(float(torch.tensor([0.5] * 4).norm() / kept.norm()), rel=1e-6)
    assert moved["0"].note == "2 of 3 units compared"
    changes = layers.weight_changes(base, model, (edit,))
    squared = float((base[0].weight[0].detach() ** 2).sum()) + 0.25  # a row became zero, and a bias moved by a half
    assert changes["0"] == pytest.approx(
        math.sqrt(squared / sum(float((p.detach() ** 2).sum()) for p in base[0].parameters())), rel=1e-6
    )


def test_first_order_scores_are_the_plane_s() -> None:
    from surgery_dsl.evidence import flow, layers

    base, model = perceptron([[1, 0], [0, 1]], [0, 0]), perceptron([[1, 0], [0, 1]], [0, 0])
    model[2].load_state_dict(base[2].state_dict())
    with torch.no_grad():
        model[0].weight[0, 0] += 1e-3
    data = examples(X)
    gradients = flow.loss_gradients(base, data.batches(), lambda net, x: net(x))
    scores = layers.first_order_scores(base, model, (), gradients)
    loss = nn.functional.cross_entropy(base(X), data.targets)
    (gradient,) = torch.autograd.grad(loss, [base[0].weight])
    assert scores["0"] == pytest.approx(1e-3 * float(gradient[0, 0]), rel=1e-4)
    assert scores["2"] == 0


def test_memory_is_what_lives_at_once() -> None:
    model = nn.Sequential(nn.Linear(8, 100), nn.ReLU(), nn.Linear(100, 2)).eval()
    data = Examples(torch.randn(6, 8), torch.tensor([0, 1] * 3))
    tensors = sum(p.nbytes for p in model.parameters())
    value, said = measure("measured_memory", model, data, batch=4)
    assert value == tensors + 4 * 4 * (8 + 100 + 100)  # the batch, and both sides of the activation
    assert said == "on cpu, batch 4"


def test_latency_tells_spread_and_conditions() -> None:
    small, large = (nn.Sequential(nn.Linear(4, w), nn.ReLU(), nn.Linear(w, 2)).eval() for w in (8, 40_000))
    data = Examples(torch.randn(64, 4), torch.zeros(64, dtype=torch.int64))
    (fast, said), (slow, _) = (measure("latency", model, data, batch=64, runs=9) for model in (small, large))
    assert 0 < fast < slow
    assert "median of 9 runs" in said
    assert "batch 64, float32" in said
    assert "thread" in said


def test_a_batch_of_more_examples_than_there_are_is_refused() -> None:
    from dataclasses import replace

    data = examples(X)
    context = replace(static(traced(perceptron([[1, 0]], [0]), "N", 2)), data={"examples": data.facts})
    for name in ("latency", "measured_memory"):
        catalogue.find("quantities", name)(data="examples", batch=5).check(context)
        catalogue.find("quantities", name)(data="examples", batch=4).check(context)
    assert [found.code.id for found in context.sink.found] == ["SD112", "SD112"]


@pytest.mark.parametrize(
    "name", ["constant_units", "redundant_units", "effective_rank", "bn_shift", "latency", "measured_memory"]
)
def test_looking_changes_nothing(name: str) -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4, 2))
    model.train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    interface = traced(model.eval(), "N", 2)
    model.train()
    word = catalogue.find("quantities", name)(data="examples")
    word.measure(model, interface, Listening(model, None, {"examples": examples(X)}))
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_units_proved_dead_stay_so_and_units_seen_alive_fire() -> None:
    from surgery_dsl.evidence.silence import silence

    generator = torch.Generator().manual_seed(2)
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 24), nn.ReLU(), nn.Linear(24, 3)
    )
    model.eval()
    with torch.no_grad():
        model[0].bias[:2] = -4.0
        model[4].bias[:3] = -3.0
    points = torch.randn(3, 1, 6, 6, generator=generator)
    interface = traced(model, "N", 1, 6, 6)
    open_units = []
    for radius in (0.0, 0.02, 0.3):
        corners = torch.stack([points - radius, points + radius]).double().unsqueeze(2)
        found = silence(model, interface, corners)
        assert [(one.path, one.units) for one in found] == [("2", 6), ("5", 24)]
        open_units.append(sum(one.open for one in found))
        seen: dict[str, Tensor] = {}
        for path in ("2", "5"):
            model.get_submodule(path).register_forward_hook(partial(_rows, seen, path))
        noise = torch.rand(400, *points.shape, generator=generator) * 2 - 1
        with torch.no_grad():
            model((points + radius * noise).flatten(0, 1))
            for one in found:
                assert not bool((seen[one.path][:, one.dead] > 0).any()), "a unit fires that was proved dead"
            model(points)
        for one in found:
            assert bool((seen[one.path][:, one.alive] > 0).any(0).all()), "a unit is silent that was seen alive"
            assert not bool((one.dead & one.alive).any())
            if not radius:
                assert torch.equal(one.dead, (seen[one.path] <= 0).all(0))
    assert open_units == sorted(open_units)
    assert open_units[0] == 0


def _rows(found: dict[str, Tensor], path: str, _: nn.Module, __: object, output: Tensor) -> None:
    found[path] = output.movedim(1, -1).reshape(-1, output.shape[1])


def test_units_without_weights_are_proved_dead() -> None:
    from surgery_dsl.evidence.silence import silence

    model = perceptron([[0.0, 0.0], [1.0, 0.0]], [0.0, 0.0])
    corners = torch.stack([X - 0.1, X + 0.1]).double().reshape(2, 4, 1, 2)
    (found,) = silence(model, traced(model, "N", 2), corners)
    assert found.dead.tolist() == [True, False]


def test_a_unit_that_only_a_corner_wakes_is_not_proved_dead() -> None:
    from surgery_dsl.evidence.silence import silence

    model = perceptron([[1.0, 1.0]], [-0.5])
    interface = traced(model, "N", 2)
    for radius, dead in ((0.2499, True), (0.2501, False)):  # the greatest input is 2 · radius − 1/2
        centre = torch.zeros(1, 1, 2, dtype=torch.float64)
        (found,) = silence(model, interface, torch.stack([centre - radius, centre + radius]))
        assert bool(found.dead[0]) is dead
        assert found.open == (not dead)
