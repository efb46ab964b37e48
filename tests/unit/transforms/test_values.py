"""The numbers that transforms put in, against torch, hand-made references and float64 formulas."""

from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.interface.model import Extent
from surgery_dsl.vocabulary.initializers.kaiming import Kaiming
from surgery_dsl.vocabulary.initializers.normal import Normal
from surgery_dsl.vocabulary.initializers.orthogonal import Orthogonal
from surgery_dsl.vocabulary.initializers.xavier import Xavier
from surgery_dsl.vocabulary.initializers.zeros import Zeros
from surgery_dsl.vocabulary.kinds import Initializer
from surgery_dsl.vocabulary.selection import Picked, Pool, Selection
from surgery_dsl.vocabulary.sites.conv2d import Conv2d
from surgery_dsl.vocabulary.sites.relu import Relu as ReluSites
from surgery_dsl.vocabulary.transforms._activation import gap
from surgery_dsl.vocabulary.transforms.bottleneck import Bottleneck
from surgery_dsl.vocabulary.transforms.deepen import Deepen
from surgery_dsl.vocabulary.transforms.gelu import Gelu
from surgery_dsl.vocabulary.transforms.int8 import Int8
from surgery_dsl.vocabulary.transforms.leaky_relu import LeakyRelu
from surgery_dsl.vocabulary.transforms.linear import Linear as NewLinear
from surgery_dsl.vocabulary.transforms.reinit import Reinit
from surgery_dsl.vocabulary.transforms.relu import Relu
from surgery_dsl.vocabulary.transforms.residual import Residual
from surgery_dsl.vocabulary.transforms.silu import Silu
from surgery_dsl.vocabulary.transforms.svd import Svd
from surgery_dsl.vocabulary.transforms.widen import Widen
from surgery_dsl.vocabulary.values import NumberArrow
from tests.unit.transforms.bench import Bench, linear, module
from tests.unit.transforms.networks import NETWORKS, Cnn, Mlp, drawn, inputs_of


def bench(name: str, dtype: torch.dtype = torch.float64) -> tuple[Bench, Tensor]:
    factory, inputs = NETWORKS[name]
    inputs = tuple(spec.replaced(dtype={torch.float64: "f64", torch.float32: "f32"}[dtype]) for spec in inputs)
    return Bench(drawn(factory(), dtype=dtype), inputs), inputs_of(inputs, dtype)


def widen(left: int, right: int, **options: Any) -> Widen:
    return Widen(width=NumberArrow(left=left, right=right), **options)


# ---- exactness in single precision -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "transform", "where", "site"),
    [
        ("mlp", widen(8, 13), "at", linear("hidden.*")),
        ("cnn", widen(6, 11), "at", Conv2d(pattern="features.3")),
        ("residual", widen(8, 20), "at", linear("stem")),
        ("cnn", Deepen(), "after", ReluSites(pattern="**")),
        ("sequence", Deepen(), "after", ReluSites(pattern="**")),
        ("mlp", Residual(gate=0), "around", linear("hidden.1")),
        ("normed", Bottleneck(width=4), "after", module("norm")),
    ],
)
def test_exact_transforms_are_exact_in_single_precision_too(name: str, transform: Any, where: Any, site: Any) -> None:
    on, x = bench(name, torch.float32)
    before = on.model(x)
    outcome = on.step(transform, where, site, scope="all")
    assert outcome.effect.function == "exact"
    torch.testing.assert_close(on.model(x), before, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("act", ["relu", "leaky_relu", "gelu", "silu"])
def test_deepen_says_exact_only_where_it_is(act: Literal["relu", "leaky_relu", "gelu", "silu"]) -> None:
    for site in (module("act.1"), module("head")):
        on, x = bench("mlp")
        before = on.model(x)
        effect = on.step(Deepen(act=act), "after", site).effect
        same = torch.allclose(on.model(x), before, rtol=1e-12, atol=1e-12)
        assert (effect.function == "exact") == same
        assert same == (act in ("relu", "leaky_relu") and site.pattern == "act.1")


def test_deepen_sees_what_is_never_negative_through_pooling() -> None:
    on, x = bench("cnn")
    before = on.model(x)
    effect = on.step(Deepen(), "after", module("features.6")).effect
    assert effect.function == "exact"
    torch.testing.assert_close(on.model(x), before, rtol=1e-12, atol=1e-12)


# ---- widening ----------------------------------------------------------------------------------------------------


def test_widen_is_net2wider_made_by_hand() -> None:
    on, _ = bench("mlp")
    old = {name: tensor.clone() for name, tensor in on.model.state_dict().items()}
    on.step(widen(8, 13, seed=3), "at", linear("hidden.0"))
    new = on.model.state_dict()
    mapping = list(range(8)) + torch.randint(8, (5,), generator=torch.Generator().manual_seed(3)).tolist()
    counts = torch.tensor([mapping.count(source) for source in mapping], dtype=torch.float64)
    assert torch.equal(new["hidden.0.weight"], old["hidden.0.weight"][mapping])
    assert torch.equal(new["hidden.0.bias"], old["hidden.0.bias"][mapping])
    assert torch.equal(new["hidden.1.weight"], old["hidden.1.weight"][:, mapping] / counts)
    assert torch.equal(new["hidden.2.weight"], old["hidden.2.weight"])
    assert on.model.hidden[0].out_features == on.model.hidden[1].in_features == 13


def test_widen_carries_norms_and_flattened_readers() -> None:
    on, _ = bench("cnn")
    old = {name: tensor.clone() for name, tensor in on.model.state_dict().items()}
    on.step(widen(6, 9, seed=1), "at", Conv2d(pattern="features.3"))
    new = on.model.state_dict()
    mapping = list(range(6)) + torch.randint(6, (3,), generator=torch.Generator().manual_seed(1)).tolist()
    counts = torch.tensor([mapping.count(source) for source in mapping], dtype=torch.float64)
    for name in ("weight", "bias", "running_mean", "running_var"):
        assert torch.equal(new[f"features.4.{name}"], old[f"features.4.{name}"][mapping])
    read = old["head.weight"].view(3, 6, 4)[:, mapping] / counts.view(1, -1, 1)
    assert torch.equal(new["head.weight"], read.reshape(3, 36))
    assert on.model.features[4].num_features == 9
    assert on.model.features[3].out_channels == 9


def test_noise_lets_copies_part_and_leaves_the_originals_alone() -> None:
    on, _ = bench("mlp")
    old = on.model.hidden[0].weight.detach().clone()
    effect = on.step(widen(8, 12, noise=0.5, seed=2), "at", linear("hidden.0")).effect
    new = on.model.hidden[0].weight.detach()
    mapping = torch.randint(8, (4,), generator=torch.Generator().manual_seed(2)).tolist()
    assert effect.function == "changing"
    assert torch.equal(new[:8], old)
    distance = (new[8:] - old[mapping]).std()
    assert 0.25 * old.std() < distance < 1.0 * old.std()


# ---- low rank and eight bits -------------------------------------------------------------------------------------


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_svd_is_the_best_of_its_rank(rank: int) -> None:
    on, x = bench("mlp")
    weight = on.model.hidden[1].weight.detach().clone()
    on.step(Svd(rank=rank), "at", linear("hidden.1"))
    layer = on.model.hidden[1]
    product = layer.up.weight @ layer.down.weight
    u, s, v = torch.linalg.svd(weight)
    best = (u[:, :rank] * s[:rank]) @ v[:rank]
    torch.testing.assert_close(product, best, rtol=1e-12, atol=1e-12)
    h = torch.relu(on.model.hidden[0](x))
    moved = (layer(h) - F.linear(h, weight, layer.up.bias)).norm(dim=1)
    assert bool((moved <= s[rank] * h.norm(dim=1) * (1 + 1e-12)).all())


def test_a_layer_of_low_rank_is_factored_without_loss() -> None:
    network = drawn(Mlp())
    with torch.no_grad():
        network.hidden[1].weight.copy_(torch.outer(torch.arange(8.0), torch.arange(8.0) - 3))
    on = Bench(network, tuple(s.replaced(dtype="f64") for s in NETWORKS["mlp"][1]))
    x = inputs_of(on.inputs)
    before = on.model(x)
    on.step(Svd(rank=1), "at", linear("hidden.1"))
    torch.testing.assert_close(on.model(x), before, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("per", ["channel", "tensor"])
@pytest.mark.parametrize("symmetric", [True, False])
def test_int8_moves_no_weight_by_more_than_half_a_step(per: Literal["channel", "tensor"], symmetric: bool) -> None:
    on, x = bench("mlp", torch.float32)
    weights = {str(i): on.model.hidden[i].weight.detach().clone() for i in range(3)}
    on.step(Int8(per=per, symmetric=symmetric), "at", linear("hidden.*"))
    for i, weight in weights.items():
        layer = on.model.hidden[int(i)]
        zero = 0 if symmetric else layer.zero_point.double().view(-1, 1)
        scale = layer.scale.double().view(-1, 1)
        restored = (layer.weight.double() - zero) * scale
        assert bool(((restored - weight.double()).abs() <= scale / 2).all())
        step = (weight.abs().amax(1) / 127) if per == "channel" else weight.abs().max() / 127
        if symmetric:
            torch.testing.assert_close(layer.scale, step.view(layer.scale.shape), rtol=1e-4, atol=0)
    x = x.to(torch.float32)
    assert on.model(x).dtype is torch.float32
    assert on.interface.tensor_by_name["hidden.0.weight"].dtype == "i8"


def test_layers_that_store_their_weight_the_other_way_round() -> None:
    class Transposed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(torch.empty(6, 9)), nn.Parameter(torch.empty(9))

        def forward(self, x: Tensor) -> Tensor:
            return torch.addmm(self.bias, x, self.weight)

    Transposed.__module__ = Transposed.forward.__module__ = "torch.nn.modules.transposed"
    for transform in (Svd(rank=2), Int8(), Reinit(init=Xavier())):
        network = drawn(nn.Sequential(Transposed(), nn.ReLU(), nn.Linear(9, 3)))
        on = Bench(network, tuple(s.replaced(dtype="f64") for s in NETWORKS["mlp"][1]))
        weight = network[0].weight.detach().clone()
        outcome = on.step(transform, "at", linear("0"))
        assert outcome.differences == (), outcome.differences
        layer = on.model[0]
        if isinstance(transform, Svd):
            u, s, v = torch.linalg.svd(weight.t())
            torch.testing.assert_close(layer.up.weight @ layer.down.weight, (u[:, :2] * s[:2]) @ v[:2])
        elif isinstance(transform, Int8):
            restored = layer.weight.double() * layer.scale.view(-1, 1)
            assert bool(((restored - weight.t()).abs() <= layer.scale.view(-1, 1) / 2).all())
        else:  # fans count as (out, in): √(6 / (6 + 9)) is the uniform bound either way, so look at the values
            expected = torch.empty(9, 6, dtype=torch.float64)
            Xavier().fill(expected, torch.Generator().manual_seed(0))
            assert torch.equal(layer.weight, expected.t())


# ---- activations -------------------------------------------------------------------------------------------------


def test_bounds_between_activations_hold_and_are_nearly_reached() -> None:
    x = torch.linspace(-30, 30, 2_000_001, dtype=torch.float64)
    functions = {
        ("relu", ()): F.relu(x),
        ("gelu", (("approximate", "none"),)): F.gelu(x),
        ("gelu", (("approximate", "tanh"),)): F.gelu(x, approximate="tanh"),
        ("silu", ()): F.silu(x),
    }
    for one, first in functions.items():
        for two, second in functions.items():
            effect, reason = gap(one, two)  # type: ignore[arg-type]
            if one == two:
                assert effect == "exact"
                continue
            bound = float(reason.rsplit(" ", 1)[1])
            distance = float((first - second).abs().max())
            assert effect == "bounded"
            assert distance <= bound
            if ("relu", ()) in (one, two):
                assert bound <= distance + 1e-4
    for slope in (0.01, 0.5):
        effect, reason = gap(("relu", ()), ("leaky_relu", (("negative_slope", slope),)))
        moved = (F.leaky_relu(x, slope) - F.relu(x)).abs()
        assert effect == "bounded"
        assert f"{slope:.6g}·|x|" in reason
        assert bool((moved <= slope * x.abs() * (1 + 1e-12)).all())
    assert gap(("leaky_relu", (("negative_slope", 0.0),)), ("relu", ()))[0] == "exact"
    assert gap(("tanh", ()), ("relu", ()))[0] == "changing"


@pytest.mark.parametrize(
    ("transform", "reference"),
    [
        (Gelu(), F.gelu),
        (Gelu(approximate="tanh"), lambda x: F.gelu(x, approximate="tanh")),
        (Silu(), F.silu),
        (LeakyRelu(slope=0.3), lambda x: F.leaky_relu(x, 0.3)),
    ],
)
def test_the_new_activation_is_torchs(transform: Any, reference: Any) -> None:
    on, x = bench("mlp")
    on.step(transform, "at", ReluSites(pattern="**"))
    hidden = x
    for layer in on.model.hidden:
        hidden = reference(layer(hidden))
    assert torch.equal(on.model(x), on.model.head(hidden))


def test_sites_that_already_are_what_they_would_become_are_left_alone() -> None:
    on, _ = bench("mlp")
    outcome, _ = on.predict(Relu(), "at", ReluSites(pattern="**"))
    assert (outcome.effect.changed, outcome.effect.matched) == (0, 3)
    assert outcome.effect.brings == ()
    on.step(Gelu(), "at", ReluSites(pattern="act.1"))
    mixed = on.step(Relu(), "at", module("act.*"), name="back")
    assert (mixed.effect.changed, mixed.effect.matched) == (1, 3)
    assert mixed.effect.brings == ("act.1",)
    assert len(mixed.changes) == 1


# ---- new layers and fresh values ---------------------------------------------------------------------------------


def test_a_new_head_starts_from_its_initializer_and_a_zero_bias() -> None:
    on, _ = bench("mlp")
    on.step(NewLinear(out=5, init=Orthogonal(gain=2.0), seed=4), "at", linear("head"), changes=["outputs"])
    expected = torch.empty(5, 8, dtype=torch.float64)
    Orthogonal(gain=2.0).fill(expected, torch.Generator().manual_seed(4))
    assert torch.equal(on.model.head.weight, expected)
    assert torch.equal(on.model.head.bias, torch.zeros(5, dtype=torch.float64))
    assert on.model.head.weight.requires_grad


def test_a_layer_without_bias_gets_one_without() -> None:
    network = drawn(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3, bias=False)))
    on = Bench(network, tuple(s.replaced(dtype="f64") for s in NETWORKS["mlp"][1]))
    assert on.step(NewLinear(out=3), "at", linear("2"), changes=["outputs"]).differences == ()
    assert on.model[2].bias is None


@pytest.mark.parametrize(
    ("init", "low", "high"),
    [
        (Kaiming(), 0.9 * (2 / 300) ** 0.5, 1.1 * (2 / 300) ** 0.5),
        (Kaiming(mode="fan_out"), 0.9 * (2 / 200) ** 0.5, 1.1 * (2 / 200) ** 0.5),
        (Kaiming(slope=1.0), 0.9 * (1 / 300) ** 0.5, 1.1 * (1 / 300) ** 0.5),
        (Xavier(), 0.9 * (2 / 500) ** 0.5, 1.1 * (2 / 500) ** 0.5),
        (Xavier(gain=3.0, distribution="normal"), 2.7 * (2 / 500) ** 0.5, 3.3 * (2 / 500) ** 0.5),
        (Normal(std=0.02), 0.018, 0.022),
        (Zeros(), 0.0, 0.0),
    ],
)
def test_initializers_have_their_spread(init: Initializer, low: float, high: float) -> None:
    weight = torch.full((200, 300), 7.0)
    init.fill(weight, torch.Generator().manual_seed(0))
    assert low <= float(weight.std()) <= high
    again = torch.full((200, 300), 9.0)
    init.fill(again, torch.Generator().manual_seed(0))
    assert torch.equal(weight, again)


def test_orthogonal_keeps_lengths() -> None:
    weight = torch.empty(20, 30, dtype=torch.float64)
    Orthogonal(gain=2.0).fill(weight, torch.Generator().manual_seed(0))
    torch.testing.assert_close(weight @ weight.t(), 4 * torch.eye(20, dtype=torch.float64))


def test_reinit_of_a_module_makes_its_norms_neutral() -> None:
    on, _ = bench("cnn")
    head = on.model.head.weight.detach().clone()
    on.step(Reinit(seed=5), "at", module("features"))
    norm = on.model.features[1]
    assert torch.equal(norm.weight, torch.ones(4, dtype=torch.float64))
    assert torch.equal(norm.running_var, torch.ones(4, dtype=torch.float64))
    assert torch.equal(norm.running_mean, torch.zeros(4, dtype=torch.float64))
    assert torch.equal(on.model.head.weight, head)
    expected = torch.empty(4, 1, 3, 3, dtype=torch.float64)
    Kaiming().fill(expected, torch.Generator().manual_seed(5))
    assert torch.equal(on.model.features[0].weight, expected)
    assert torch.equal(on.model.features[3].bias, torch.zeros(6, dtype=torch.float64))


def select(on: Bench, site: Any, axis_of: str, units: tuple[int, ...], unit: str = "channels") -> None:
    sites = on.sites(site)
    (axis,) = on.interface.tensor_by_name[axis_of].dims[0]
    size = on.interface.exact_size(axis) or 0
    pool = Pool(key=f"{axis_of}[0]", size=size, sites=sites, axis=axis)
    open_ = Selection(step="chosen", unit=unit, pools=(pool,), taken=(Extent(least=0, most=size),))
    on.selections["chosen"] = open_
    exact = open_.replaced(taken=(Extent(least=len(units), most=len(units)),))
    on.picked["chosen"] = Picked(exact, (units,))


@pytest.mark.parametrize("out", ["keep", "zero"])
def test_selected_units_start_afresh_and_nothing_else_does(out: Literal["keep", "zero"]) -> None:
    on, _ = bench("mlp")
    select(on, linear("hidden.1"), "hidden.1.weight", (1, 4, 6))
    old = {name: tensor.clone() for name, tensor in on.model.state_dict().items()}
    outcome = on.step(Reinit(seed=9, out=out), "at", selection="chosen")
    new = on.model.state_dict()
    rows, kept = [1, 4, 6], [0, 2, 3, 5, 7]
    fresh = torch.empty(8, 8, dtype=torch.float64)
    Kaiming().fill(fresh, torch.Generator().manual_seed(9))
    assert torch.equal(new["hidden.1.weight"][rows], fresh[rows])
    assert torch.equal(new["hidden.1.weight"][kept], old["hidden.1.weight"][kept])
    assert torch.equal(new["hidden.1.bias"][rows], torch.zeros(3, dtype=torch.float64))
    assert torch.equal(new["hidden.1.bias"][kept], old["hidden.1.bias"][kept])
    assert torch.equal(new["hidden.2.weight"][:, kept], old["hidden.2.weight"][:, kept])
    read = torch.zeros(8, 3, dtype=torch.float64) if out == "zero" else old["hidden.2.weight"][:, rows]
    assert torch.equal(new["hidden.2.weight"][:, rows], read)
    touched = {"hidden.1.weight", "hidden.1.bias"} | ({"hidden.2.weight"} if out == "zero" else set())
    assert outcome.effect.writes == touched
    assert all(torch.equal(new[name], old[name]) for name in old if name not in touched)


def test_fresh_dead_units_with_outgoing_zeros_change_nothing() -> None:
    on, x = bench("mlp")
    with torch.no_grad():
        on.model.hidden[1].bias[[2, 3]] = -1e6
    before = on.model(x)
    select(on, linear("hidden.1"), "hidden.1.weight", (2, 3))
    on.step(Reinit(out="zero"), "at", selection="chosen")
    torch.testing.assert_close(on.model(x), before, rtol=1e-12, atol=1e-12)


def test_selected_channels_take_their_batch_norm_and_flattened_readers_along() -> None:
    on, _ = bench("cnn")
    select(on, Conv2d(pattern="features.3"), "features.3.weight", (0, 5))
    old = on.model.head.weight.detach().clone()
    on.step(Reinit(out="zero"), "at", selection="chosen")
    norm = on.model.features[4]
    assert norm.running_var[[0, 5]].tolist() == [1.0, 1.0]
    assert norm.running_mean[[0, 5]].tolist() == norm.bias[[0, 5]].tolist() == [0.0, 0.0]
    assert 1.0 not in norm.running_var[1:5].tolist()
    head = on.model.head.weight.detach().view(3, 6, 4)
    assert torch.equal(head[:, [0, 5]], torch.zeros(3, 2, 4, dtype=torch.float64))
    assert torch.equal(head[:, 1:5], old.view(3, 6, 4)[:, 1:5])


def test_selected_weights_start_afresh_one_by_one() -> None:
    on, _ = bench("mlp")
    sites = on.sites(linear("hidden.1"))
    pool = Pool(key="hidden.1.weight", size=64, sites=sites, tensor="hidden.1.weight")
    taken = (Extent(least=0, most=64),)
    on.selections["chosen"] = Selection(step="chosen", unit="weights", pools=(pool,), taken=taken)
    mask = torch.rand(8, 8, generator=torch.Generator().manual_seed(0)) < 0.3
    on.picked["chosen"] = Picked(on.selections["chosen"], (), {"hidden.1.weight": mask})
    old = on.model.hidden[1].weight.detach().clone()
    outcome = on.step(Reinit(seed=1), "at", selection="chosen")
    fresh = torch.empty(8, 8, dtype=torch.float64)
    Kaiming().fill(fresh, torch.Generator().manual_seed(1))
    assert torch.equal(on.model.hidden[1].weight, torch.where(mask, fresh, old))
    assert outcome.effect.writes == {"hidden.1.weight"}


def test_entries_that_training_holds_at_zero_stay_zero() -> None:
    on, _ = bench("mlp")
    held = torch.rand(8, 8, generator=torch.Generator().manual_seed(0)) < 0.5
    on.held["hidden.1.weight"] = held
    on.step(Reinit(), "at", linear("hidden.1"))
    weight = on.model.hidden[1].weight.detach()
    assert bool((weight[held] == 0).all())
    assert bool((weight[~held] != 0).all())


def test_a_small_start_is_small_and_says_so() -> None:
    on, x = bench("mlp")
    before = on.model(x)
    effect = on.step(Bottleneck(width=64, init="small"), "after", module("act.0")).effect
    assert effect.function == "changing"
    child = on.model.act[0].step
    assert 0.008 < float(child.down.weight.detach().std()) < 0.012
    assert 0 < float((on.model(x) - before).detach().abs().max()) < 0.1


def test_an_opened_gate_adds_the_input() -> None:
    on, x = bench("mlp")
    on.step(Residual(gate=0.5), "around", linear("hidden.1"), name="skip")
    h = torch.relu(on.model.hidden[0](x))
    layer = on.model.hidden[1]
    assert torch.equal(layer(h), F.linear(h, layer.weight, layer.bias) + 0.5 * h)
    assert isinstance(layer.skip.gate, nn.Parameter)


def test_networks_in_half_precision_keep_their_dtype() -> None:
    network = drawn(Cnn(), dtype=torch.bfloat16)
    on = Bench(network, tuple(s.replaced(dtype="bf16") for s in NETWORKS["cnn"][1]))
    for transform, where, site, options in (
        (Deepen(), "after", module("features.2"), {"name": "deeper"}),
        (Svd(rank=1), "at", linear("head"), {}),
        (Int8(), "at", linear("head.down"), {}),
        (widen(4, 6), "at", Conv2d(pattern="features.0"), {}),
    ):
        outcome = on.step(transform, where, site, **options)  # type: ignore[arg-type]
        assert outcome.differences == (), outcome.differences
    floats = {p.dtype for p in on.model.parameters() if p.is_floating_point()}
    assert floats == {torch.bfloat16}
