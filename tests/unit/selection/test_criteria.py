"""Scores against the formulas, written out with torch's own autograd in float64."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.model import Interface
from surgery_dsl.kernels.thresholds import Scores
from surgery_dsl.run.identify import identify
from surgery_dsl.vocabulary.criteria._elementwise import Elementwise
from surgery_dsl.vocabulary.criteria.activation import Activation
from surgery_dsl.vocabulary.criteria.bn_scale import BnScale
from surgery_dsl.vocabulary.criteria.fisher import Fisher
from surgery_dsl.vocabulary.criteria.gradient import Gradient
from surgery_dsl.vocabulary.criteria.magnitude import Magnitude
from surgery_dsl.vocabulary.criteria.random import Random
from surgery_dsl.vocabulary.criteria.taylor import Taylor
from surgery_dsl.vocabulary.kinds import Criterion
from surgery_dsl.vocabulary.sites.conv2d import Conv2d
from surgery_dsl.vocabulary.sites.linear import Linear
from surgery_dsl.vocabulary.sites.module import Module
from surgery_dsl.vocabulary.sites.relu import Relu
from surgery_dsl.vocabulary.takes.dead import Dead
from surgery_dsl.vocabulary.takes.highest import Highest
from surgery_dsl.vocabulary.takes.lowest import Lowest
from surgery_dsl.vocabulary.units.channels import Channels
from surgery_dsl.vocabulary.units.modules import Modules
from surgery_dsl.vocabulary.units.weights import Weights
from tests.unit.selection.bench import Bench, Examples, block, facts, percent, refused, selected, traced
from tests.unit.selection.networks import Cnn, Dense, Depthwise, Mlp, Residual, settled

HALF = Lowest(amount=percent(50))
GENERATOR = torch.Generator().manual_seed(5)
IMAGES = torch.randn(10, 2, 8, 8, generator=GENERATOR, dtype=torch.float64)
ROWS = torch.randn(10, 5, generator=GENERATOR, dtype=torch.float64)
LABELS = torch.randint(0, 3, (10,), generator=GENERATOR)
NUMBERS = torch.randn(10, 3, generator=GENERATOR, dtype=torch.float64)


def scores(
    model: nn.Module, interface: Interface, criterion: Criterion, step: object, data: Examples | None = None
) -> dict[str, Tensor]:
    selection = selected(interface, step)
    return dict(criterion.scores(selection.unit, selection.pools, Bench(model, interface, data)))


def mlp() -> tuple[nn.Module, Interface]:
    model = settled(Mlp())
    return model, traced(model, "N", 5, dtype="f64")


def cnn(groups: int = 1) -> tuple[nn.Module, Interface]:
    model = settled(Cnn(groups=groups, bias=True))
    return model, traced(model, "N", 2, 8, 8, dtype="f64")


def gradients(model: nn.Module, inputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
    """The gradient of the mean loss over all examples at once."""
    reference = copy.deepcopy(model)
    outputs = reference(inputs)
    loss = (
        functional.mse_loss(outputs, targets)
        if targets.is_floating_point()
        else functional.cross_entropy(outputs, targets)
    )
    loss.backward()
    return {name: p.grad for name, p in reference.named_parameters() if p.grad is not None}


# ---- magnitude ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, 3.0])
def test_magnitude_of_channels_sums_powers(p: float) -> None:
    model, interface = cnn()
    found = scores(model, interface, Magnitude(p=p), block(Conv2d(pattern="features.3"), by=Magnitude(p=p), take=HALF))
    torch.testing.assert_close(
        found["features.3.weight[0]"], (model.features[3].weight.abs() ** p).sum((1, 2, 3)), rtol=1e-12, atol=0
    )


def test_magnitude_of_grouped_channels_sums_over_groups() -> None:
    model, interface = cnn(groups=4)
    (score,) = scores(
        model, interface, Magnitude(), block(Conv2d(pattern="features.3"), by=Magnitude(), take=HALF)
    ).values()
    torch.testing.assert_close(score, model.features[3].weight.abs().sum((1, 2, 3)).view(4, 3).sum(0))


def test_scores_of_coupled_sites_add_up() -> None:
    model = settled(Residual())
    interface = traced(model, "N", 5, dtype="f64")
    step = block(Linear(pattern="{stem,blocks.*.fc2}"), by=Magnitude(), take=HALF)
    (score,) = scores(model, interface, Magnitude(), step).values()
    layers = [model.stem, *(one.fc2 for one in model.blocks)]
    torch.testing.assert_close(score, sum(layer.weight.abs().sum(1) for layer in layers))


def test_scores_of_modules_sum_all_parameters() -> None:
    model = settled(Residual())
    interface = traced(model, "N", 5, dtype="f64")
    step = block(Module(pattern="blocks.*"), unit=Modules(), by=Magnitude(p=2), take=Lowest(amount=1))
    (score,) = scores(model, interface, Magnitude(p=2), step).values()
    want = torch.stack([sum(p.square().sum() for p in one.parameters()) for one in model.blocks])
    torch.testing.assert_close(score, want.detach())


def test_scores_of_weights_are_streams_of_the_live_tensors() -> None:
    model, interface = mlp()
    step = block(Linear(pattern="**"), unit=Weights(), by=Magnitude(), take=HALF)
    selection = selected(interface, step)
    criterion = Magnitude()
    streams = criterion.streams(selection.pools, Bench(model, interface))
    assert all(isinstance(one, Scores) for one in streams.values())
    assert streams["head.weight"].tensors[0] is model.head.weight
    full = scores(model, interface, criterion, step)
    assert torch.equal(full["head.weight"], model.head.weight.abs())


# ---- gradients ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [LABELS, NUMBERS], ids=["labels", "numbers"])
@pytest.mark.parametrize("criterion", [Gradient(data="train"), Taylor(data="train")], ids=lambda c: c.name)
def test_first_order_criteria(criterion: Elementwise, targets: Tensor) -> None:
    model, interface = mlp()
    reference = gradients(model, ROWS, targets)
    step = block(Linear(pattern="hidden.*"), by=criterion, take=HALF)
    found = scores(model, interface, criterion, step, Examples(ROWS, targets))
    for at in range(2):
        g, w = reference[f"hidden.{at}.weight"], model.hidden[at].weight.detach()
        want = (g if criterion.name == "gradient" else w * g).abs().sum(1)
        torch.testing.assert_close(found[f"hidden.{at}.weight[0]"], want)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("targets", [LABELS, NUMBERS], ids=["labels", "numbers"])
def test_fisher_squares_gradients_of_single_examples(targets: Tensor) -> None:
    model, interface = cnn()
    criterion = Fisher(data="train")
    squares = torch.stack(
        [
            gradients(model, IMAGES[i : i + 1], targets[i : i + 1])["features.3.weight"].square()
            for i in range(len(IMAGES))
        ]
    ).mean(0)
    step = block(Conv2d(pattern="features.3"), by=criterion, take=HALF)
    (score,) = scores(model, interface, criterion, step, Examples(IMAGES, targets)).values()
    want = (model.features[3].weight.detach().square() * squares).sum((1, 2, 3))
    torch.testing.assert_close(score, want)


def test_batches_limit_what_is_used() -> None:
    model, interface = mlp()
    criterion = Taylor(data="train", batches=2)
    reference = gradients(model, ROWS[:8], LABELS[:8])["head.weight"]
    step = block(Linear(pattern="head"), unit=Weights(), by=criterion, take=HALF)
    found = scores(model, interface, criterion, step, Examples(ROWS, LABELS, batch=4))
    torch.testing.assert_close(found["head.weight"], (model.head.weight.detach() * reference).abs())
    criterion = Fisher(data="train", batches=2)
    runtime = Bench(model, interface, Examples(ROWS, LABELS, batch=4))
    criterion.scores("weights", selected(interface, step).pools, runtime)
    assert runtime.told[-1] == ("gradients on train", 7, 8)


def test_the_last_batch_counts_as_many_as_it_has() -> None:
    model, interface = mlp()
    criterion = Gradient(data="train")
    reference = gradients(model, ROWS, LABELS)["head.weight"].abs()
    step = block(Linear(pattern="head"), unit=Weights(), by=criterion, take=HALF)
    for batch in (1, 3, 7, 10):
        found = scores(model, interface, criterion, step, Examples(ROWS, LABELS, batch=batch))
        torch.testing.assert_close(found["head.weight"], reference)


def test_whether_parameters_train_is_put_back() -> None:
    model, interface = mlp()
    model.hidden[0].weight.requires_grad_(False)
    step = block(Linear(pattern="hidden.0"), by=Taylor(data="train"), take=HALF)
    (score,) = scores(model, interface, Taylor(data="train"), step, Examples(ROWS, LABELS)).values()
    assert float(score.sum()) > 0
    assert not model.hidden[0].weight.requires_grad
    assert model.head.weight.requires_grad


def test_gradients_that_are_not_finite_are_refused() -> None:
    model, interface = mlp()
    with torch.no_grad():
        model.head.weight[0, 0] = torch.inf
    step = block(Linear(pattern="hidden.*"), by=Taylor(data="train", span=Span(4, 1, 4, 9)), take=HALF)
    with pytest.raises(Refused) as caught:
        identify(step, selected(interface, step), Bench(model, interface, Examples(ROWS, LABELS)))
    assert caught.value.diagnostics[0].span == Span(4, 1, 4, 9)


def test_targets_that_fit_no_loss_are_refused() -> None:
    _, interface = mlp()
    step = block(Linear(pattern="hidden.*"), by=Taylor(data="train"), take=HALF)
    found = refused(interface, step, data={"train": facts(ROWS, torch.tensor([0, 7, 2]))})
    assert (found.code.name, found.facts) == ("labels-do-not-fit", {"label": 7, "classes": 3})
    found = refused(interface, step, data={"train": facts(ROWS, torch.randn(10, 4))})
    assert (found.code.name, found.facts) == ("targets-do-not-fit", {"targets": "[4]", "outputs": "[3]"})
    assert selected(interface, step, data={"train": facts(ROWS, LABELS), "other": facts(ROWS, NUMBERS)})


# ---- activations -------------------------------------------------------------------------------------------------


def test_activation_is_the_mean_behind_norm_and_relu() -> None:
    model, interface = cnn()
    step = block(Conv2d(pattern="features.*"), by=Activation(data="train"), take=HALF)
    found = scores(model, interface, Activation(data="train"), step, Examples(IMAGES, LABELS, batch=3))
    with torch.no_grad():
        first = model.features[:3](IMAGES)
        second = model.features[3:6](first)
    torch.testing.assert_close(found["features.0.weight[0]"], first.abs().mean((0, 2, 3)))
    torch.testing.assert_close(found["features.3.weight[0]"], second.abs().mean((0, 2, 3)))


def test_activation_of_calls_in_a_forward() -> None:
    model = settled(Depthwise())
    interface = traced(model, "N", 2, 8, 8, dtype="f64")
    step = block(Conv2d(pattern="{depth,last}"), by=Activation(data="train"), take=HALF)
    found = scores(model, interface, Activation(data="train"), step, Examples(IMAGES, LABELS))
    with torch.no_grad():
        depth = functional.relu(model.norm(model.depth(functional.relu(model.first(IMAGES)))))
        last = functional.gelu(model.last(depth))
    torch.testing.assert_close(found["first.weight[0]"], depth.abs().mean((0, 2, 3)))
    torch.testing.assert_close(found["last.weight[0]"], last.abs().mean((0, 2, 3)))


def test_a_layer_without_an_activation_shows_itself() -> None:
    model = settled(Dense())
    interface = traced(model, "N", 2, 6, 6, dtype="f64")
    step = block(Conv2d(pattern="left"), by=Activation(data="train"), take=HALF)
    images = IMAGES[:, :, :6, :6]
    (score,) = scores(model, interface, Activation(data="train"), step, Examples(images, LABELS)).values()
    with torch.no_grad():
        torch.testing.assert_close(score, model.left(images).abs().mean((0, 2, 3)))


class Functional(nn.Module):
    """Products with weights in the forward itself, one of them without an activation behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(4, 5))
        self.b = nn.Parameter(torch.zeros(3, 4))

    def forward(self, x: Tensor) -> Tensor:
        h = functional.leaky_relu(functional.linear(x, self.a), 0.1)
        h = functional.leaky_relu(h, 0.2)
        return functional.linear(h, self.b)


def test_the_right_one_of_several_calls_is_watched() -> None:
    model = settled(Functional())
    interface = traced(model, "N", 5, dtype="f64")
    first = block(Linear(pattern="/linear#0"), by=Activation(data="train"), take=HALF)
    (score,) = scores(model, interface, Activation(data="train"), first, Examples(ROWS, LABELS)).values()
    with torch.no_grad():
        torch.testing.assert_close(score, functional.leaky_relu(ROWS @ model.a.T, 0.1).abs().mean(0))
    found = refused(interface, block(Linear(pattern="/linear#1"), by=Activation(data="train"), take=HALF))
    assert (found.code.name, found.path) == ("criterion-does-not-fit", "/linear#1")


def test_an_activation_shows_itself() -> None:
    model, interface = mlp()
    step = block(Relu(pattern="act.1"), by=Activation(data="train"), take=HALF)
    (score,) = scores(model, interface, Activation(data="train"), step, Examples(ROWS, LABELS)).values()
    with torch.no_grad():
        want = model.hidden[1](functional.relu(model.hidden[0](ROWS))).relu().mean(0)
    torch.testing.assert_close(score, want)


def test_hooks_are_gone_afterwards() -> None:
    model, interface = mlp()
    step = block(Linear(pattern="hidden.*"), by=Activation(data="train"), take=HALF)
    scores(model, interface, Activation(data="train"), step, Examples(ROWS, LABELS))
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())


# ---- dead --------------------------------------------------------------------------------------------------------


def test_dead_units_are_found_on_all_of_the_data() -> None:
    model, interface = mlp()
    with torch.no_grad():
        model.hidden[0].bias.fill_(9.0)  # all others fire
        model.hidden[0].weight[[1, 5]] = 0
        model.hidden[0].bias[1], model.hidden[0].bias[5] = -1.0, 0.5e-6
        model.hidden[0].weight[6] = 0
        model.hidden[0].bias[6] = -10.0
        model.hidden[0].weight[6, 0] = 1.0
    rows = ROWS.clone()
    rows[9, 0] = 11.0  # the last example of the last batch wakes unit 6
    step = block(Linear(pattern="hidden.0"), take=Dead(data="train", eps=1e-6))
    selection = selected(interface, step)
    assert identify(step, selection, Bench(model, interface, Examples(rows, LABELS, batch=4))).indices == ((1, 5),)
    assert identify(step, selection, Bench(model, interface, Examples(rows[:9], LABELS[:9], batch=4))).indices == (
        (1, 5, 6),
    )
    tight = block(Linear(pattern="hidden.0"), take=Dead(data="train", eps=0.4e-6))
    assert identify(tight, selection, Bench(model, interface, Examples(rows, LABELS))).indices == ((1,),)


def test_eps_itself_counts_as_dead() -> None:
    model, interface = mlp()
    with torch.no_grad():
        model.hidden[0].weight[2] = 0
        model.hidden[0].bias[2] = 0.25
    step = block(Linear(pattern="hidden.0"), take=Dead(data="train", eps=0.25))
    picked = identify(step, selected(interface, step), Bench(model, interface, Examples(ROWS, LABELS)))
    assert 2 in picked.indices[0]


def test_a_channel_is_dead_only_where_no_position_fires() -> None:
    model, interface = cnn()
    with torch.no_grad():
        model.features[1].weight[3], model.features[1].bias[3] = 0.0, -1.0
    step = block(Conv2d(pattern="features.0"), take=Dead(data="train"))
    picked = identify(step, selected(interface, step), Bench(model, interface, Examples(IMAGES, LABELS)))
    assert picked.indices == ((3,),)


def test_one_dead_unit_stays_where_all_are_dead() -> None:
    model, interface = mlp()
    with torch.no_grad():
        model.hidden[0].weight.zero_()
        model.hidden[0].bias.fill_(-1.0)
    step = block(Linear(pattern="hidden.0"), take=Dead(data="train"))
    picked = identify(step, selected(interface, step), Bench(model, interface, Examples(ROWS, LABELS)))
    assert picked.indices == (tuple(range(7)),)


# ---- norms and chance --------------------------------------------------------------------------------------------


def test_bn_scale_reads_the_norm_behind() -> None:
    model, interface = cnn()
    found = scores(model, interface, BnScale(), block(Conv2d(pattern="features.*"), by=BnScale(), take=HALF))
    torch.testing.assert_close(found["features.0.weight[0]"], model.features[1].weight.detach().abs())
    model, interface = cnn(groups=4)
    (score,) = scores(
        model, interface, BnScale(), block(Conv2d(pattern="features.3"), by=BnScale(), take=HALF)
    ).values()
    torch.testing.assert_close(score, model.features[4].weight.detach().abs().view(4, 3).sum(0))


def test_chance_repeats_with_its_seed() -> None:
    model, interface = mlp()
    step = block(Linear(pattern="**"), unit=Weights(), by=Random(), take=HALF)
    first, again = (scores(model, interface, Random(seed=3), step) for _ in range(2))
    other = scores(model, interface, Random(seed=4), step)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert all(first[key].shape == model.get_parameter(key).shape for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first)
    step = block(Linear(pattern="hidden.*"), unit=Channels(), by=Random(), take=HALF)
    assert [len(one) for one in scores(model, interface, Random(), step).values()] == [8, 6]


# ---- what is held at zero ----------------------------------------------------------------------------------------


def test_held_zeros_go_first_whatever_they_score() -> None:
    model, interface = mlp()
    step = block(Linear(pattern="head"), unit=Weights(), by=Random(seed=1), take=Lowest(amount=9))
    runtime = Bench(model, interface)
    held = torch.zeros_like(model.head.weight, dtype=torch.bool)
    held[:, ::2] = True
    runtime.held = {"head.weight": held}
    mask = identify(step, selected(interface, step), runtime).masks["head.weight"]
    assert torch.equal(mask, held)
    step = block(Linear(pattern="head"), unit=Weights(), by=Random(seed=1), take=Highest(amount=9))
    assert not torch.equal(identify(step, selected(interface, step), runtime).masks["head.weight"], held)


def test_held_channels_go_first() -> None:
    model, interface = mlp()
    step = block(Linear(pattern="hidden.0"), by=Random(seed=1), take=Lowest(amount=2))
    runtime = Bench(model, interface)
    held = torch.zeros_like(model.hidden[0].weight, dtype=torch.bool)
    held[[2, 6]] = True
    held[0, :4] = True
    runtime.held = {"hidden.0.weight": held}
    assert identify(step, selected(interface, step), runtime).indices == ((2, 6),)
