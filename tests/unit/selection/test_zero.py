"""Zeros on real networks: where they are written, and that their counts are what was predicted."""

import copy

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.model import Interface
from surgery_dsl.run.changes import carry_out
from surgery_dsl.run.identify import identify
from surgery_dsl.vocabulary.context import Effect
from surgery_dsl.vocabulary.criteria.magnitude import Magnitude
from surgery_dsl.vocabulary.modes.remove import Remove
from surgery_dsl.vocabulary.modes.zero import Zero
from surgery_dsl.vocabulary.sites.conv2d import Conv2d
from surgery_dsl.vocabulary.sites.embedding import Embedding
from surgery_dsl.vocabulary.sites.linear import Linear
from surgery_dsl.vocabulary.sites.module import Module
from surgery_dsl.vocabulary.sites.norm import Norm
from surgery_dsl.vocabulary.sites.param import Param
from surgery_dsl.vocabulary.takes.all import All
from surgery_dsl.vocabulary.takes.below import Below
from surgery_dsl.vocabulary.takes.lowest import Lowest
from surgery_dsl.vocabulary.takes.only import Only
from surgery_dsl.vocabulary.units.modules import Modules
from surgery_dsl.vocabulary.units.weights import Weights
from tests.unit.selection.bench import Bench, block, percent, selected, static, traced
from tests.unit.selection.networks import Cnn, Language, Mlp, Residual, settled

IMAGE = ("N", 2, 8, 8)


def zeroed(
    model: nn.Module, interface: Interface, step: object, tie: str = ""
) -> tuple[nn.Module, Effect, dict[str, Tensor]]:
    """Identify and write zeros; return the network, the effect for open outcomes, and the masks."""
    selection = selected(interface, step)
    runtime = Bench(copy.deepcopy(model), interface)
    context = static(interface, tie=tie)
    effect = Zero().transfer(selection, Draft(interface), context)
    assert context.sink.found == ()
    picked = identify(step, selection, runtime)
    masks: dict[str, Tensor] = {}
    for change in Zero().execute(picked, runtime):
        assert change.hold
        assert change.edit is None
        masks |= change.zero
        carry_out(runtime.model, change)
    for name, tensor in runtime.model.state_dict().items():
        if name in effect.zeros:
            least, most = effect.zeros[name]
            assert least <= int((tensor == 0).sum()) <= most
        if name not in effect.writes:
            assert torch.equal(tensor, model.state_dict()[name]), name
    total = sum(int(mask.sum()) for mask in masks.values())
    assert effect.zeros_total is not None
    assert effect.zeros_total[0] <= total <= effect.zeros_total[1]
    return runtime.model, effect, masks


def refusals(interface: Interface, step: object, **changes: object) -> tuple[Diagnostic, ...]:
    context = static(interface, **changes)
    Zero().transfer(selected(interface, step), Draft(interface), context)
    return context.sink.found


def test_the_lowest_weights_of_all_layers_become_zero() -> None:
    model = settled(Mlp())
    interface = traced(model, "N", 5, dtype="f64")
    step = block(Linear(pattern="**"), unit=Weights(), by=Magnitude(), take=Lowest(amount=percent(60)), per="global")
    small, effect, masks = zeroed(model, interface, step)
    names = ["hidden.0.weight", "hidden.1.weight", "head.weight"]
    everything = torch.cat([model.get_parameter(name).detach().abs().view(-1) for name in names])
    count = (2 * 60 * len(everything) + 100) // 200
    assert effect.zeros_total == (count, count)
    bound = everything.sort().values[count - 1]
    for name in names:
        assert torch.equal(masks[name], model.get_parameter(name).abs() <= bound)
        assert torch.equal(small.get_parameter(name) == 0, masks[name])
    assert effect.writes == set(names)
    assert (effect.matched, effect.changed) == (3, 3)


def test_channels_lose_rows_and_bias_and_keep_the_norm() -> None:
    model = settled(Cnn(bias=True))
    interface = traced(model, *IMAGE, dtype="f64")
    small, effect, _ = zeroed(model, interface, block(Conv2d(pattern="features.0"), take=Only(units=(2, 5))))
    assert effect.zeros == {"features.0.weight": (2 * 18, 2 * 18), "features.0.bias": (2, 2)}
    assert effect.writes == {"features.0.weight", "features.0.bias"}
    gone = small.features[0].weight.abs().sum((1, 2, 3)) == 0
    assert gone.nonzero().view(-1).tolist() == [2, 5]
    assert torch.equal(small.features[1].weight, model.features[1].weight)


def test_grouped_channels_lose_one_row_of_each_group() -> None:
    model = settled(Cnn(groups=4))
    interface = traced(model, *IMAGE, dtype="f64")
    step = block(Conv2d(pattern="features.3"), take=Only(units=(1, 4, 7, 10)))
    small, effect, _ = zeroed(model, interface, step)
    gone = small.features[3].weight.abs().sum((1, 2, 3)) == 0
    assert gone.nonzero().view(-1).tolist() == [1, 4, 7, 10]
    assert effect.zeros == {"features.3.weight": (4 * 18, 4 * 18)}


def test_zero_channels_and_removed_channels_agree_where_nothing_shifts_them() -> None:
    model = settled(Mlp())
    interface = traced(model, "N", 5, dtype="f64")
    step = block(Linear(pattern="hidden.*"), by=Magnitude(), take=Lowest(amount=percent(50)))
    zeros, _, _ = zeroed(model, interface, step)
    runtime = Bench(copy.deepcopy(model), interface)
    for change in Remove().execute(identify(step, selected(interface, step), runtime), runtime):
        carry_out(runtime.model, change)
    x = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(runtime.model(x), zeros(x), rtol=1e-10, atol=1e-12)


def test_every_site_of_a_coupled_pool_is_written() -> None:
    model = settled(Residual())
    interface = traced(model, "N", 5, dtype="f64")
    small, effect, _ = zeroed(model, interface, block(Linear(pattern="{stem,blocks.1.fc2}"), take=Only(units=(3,))))
    assert set(effect.zeros) == {"stem.weight", "stem.bias", "blocks.1.fc2.weight", "blocks.1.fc2.bias"}
    assert not small.stem.weight[3].any()
    assert not small.blocks[1].fc2.weight[3].any()
    assert small.blocks[0].fc2.weight[3].any()


def test_a_norm_that_is_the_site_loses_scale_and_shift() -> None:
    model = settled(Cnn())
    interface = traced(model, *IMAGE, dtype="f64")
    small, effect, _ = zeroed(model, interface, block(Norm(pattern="features.1"), take=Only(units=(7,))))
    assert effect.zeros == {"features.1.weight": (1, 1), "features.1.bias": (1, 1)}
    assert small.features[0].weight[7].any()


def test_a_tensor_is_written_along_its_dimension() -> None:
    model = settled(Mlp())
    interface = traced(model, "N", 5, dtype="f64")
    step = block(Param(pattern="hidden.1.weight", dim=1), take=Only(units=(0, 3)))
    small, effect, _ = zeroed(model, interface, step)
    assert effect.zeros == {"hidden.1.weight": (12, 12)}
    assert not small.hidden[1].weight[:, [0, 3]].any()


def test_modules_lose_all_parameters() -> None:
    model = settled(Residual())
    interface = traced(model, "N", 5, dtype="f64")
    step = block(Module(pattern="blocks.*"), unit=Modules(), by=Magnitude(), take=Lowest(amount=1))
    small, effect, masks = zeroed(model, interface, step)
    each = sum(p.numel() for p in model.blocks[0].parameters())
    assert effect.zeros_total == (each, each)
    assert effect.zeros["blocks.2.fc1.weight"] == (0, 42)
    assert len(masks) == 4
    everything = block(Module(pattern="blocks.*"), unit=Modules(), take=All())
    small, effect, _ = zeroed(model, interface, everything)
    assert effect.zeros["blocks.2.fc1.weight"] == (42, 42)
    x = torch.randn(4, 5, dtype=torch.float64)
    torch.testing.assert_close(small(x), model.head(model.stem(x)))


def test_open_counts_are_bounded() -> None:
    model = settled(Mlp())
    interface = traced(model, "N", 5, dtype="f64")
    step = block(Linear(pattern="hidden.0"), by=Magnitude(), take=Below(bound=1.5), floor=3)
    _, effect, _ = zeroed(model, interface, step)
    assert effect.zeros == {"hidden.0.weight": (0, 25), "hidden.0.bias": (0, 5)}
    assert effect.zeros_total == (0, 30)


def test_a_tied_tensor_needs_a_word() -> None:
    model = settled(Language())
    interface = traced(model, "B", "T", dtype="i64", below=11)
    step = block(Embedding(pattern="embed"), take=Only(units=(0,)))
    (found,) = refusals(interface, step)
    assert (found.code.name, found.path) == ("tied-tensor", "embed.weight")
    assert "`head.weight`" in found.message
    assert refusals(interface, step, tie="untie")[0].notes
    assert refusals(interface, step, tie="keep") == ()
    small, effect, _ = zeroed(model, interface, step, tie="keep")
    assert effect.writes == {"embed.weight", "head.weight"}
    assert small.head.weight is small.embed.weight
    assert not small.head.weight[:, 0].any()


@pytest.mark.parametrize(
    "step",
    [
        block(Linear(pattern="hidden.0"), take=All()),
        block(Linear(pattern="hidden.0"), take=Only(units=tuple(range(8)))),
        block(Linear(pattern="hidden.0"), unit=Weights(), take=All()),
    ],
)
def test_a_layer_is_not_emptied(step: object) -> None:
    (found,) = refusals(traced(Mlp(), "N", 5), step)
    assert (found.code.name, found.path) == (
        "emptied-site",
        (step.unit.name == "weights" and "hidden.0.weight") or "hidden.0",
    )


def test_zeros_are_positive() -> None:
    model = settled(Mlp())
    interface = traced(model, "N", 5, dtype="f64")
    step = block(Linear(pattern="hidden.0"), unit=Weights(), by=Magnitude(), take=Lowest(amount=20))
    small, _, _ = zeroed(model, interface, step)
    zeros = small.hidden[0].weight[small.hidden[0].weight == 0]
    assert len(zeros) == 20
    assert not torch.signbit(zeros).any()
