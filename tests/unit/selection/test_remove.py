"""Removal on real networks: the smaller network computes what hand-cut weights compute, and traces as predicted.

The reference knows nothing of axes: it sets the removed units to zero in every tensor that reads them, which must give
the same function as removing them, and counts parameters of the network that is left.
"""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.model import Interface
from surgery_dsl.run.changes import carry_out
from surgery_dsl.run.identify import identify
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.context import Effect
from surgery_dsl.vocabulary.criteria.magnitude import Magnitude
from surgery_dsl.vocabulary.criteria.random import Random
from surgery_dsl.vocabulary.kinds import SiteWord
from surgery_dsl.vocabulary.modes.remove import Remove
from surgery_dsl.vocabulary.sites.conv2d import Conv2d
from surgery_dsl.vocabulary.sites.embedding import Embedding
from surgery_dsl.vocabulary.sites.linear import Linear
from surgery_dsl.vocabulary.sites.module import Module
from surgery_dsl.vocabulary.sites.norm import Norm
from surgery_dsl.vocabulary.sites.param import Param
from surgery_dsl.vocabulary.sites.relu import Relu
from surgery_dsl.vocabulary.takes.all import All
from surgery_dsl.vocabulary.takes.below import Below
from surgery_dsl.vocabulary.takes.lowest import Lowest
from surgery_dsl.vocabulary.takes.only import Only
from surgery_dsl.vocabulary.units.modules import Modules
from surgery_dsl.vocabulary.units.weights import Weights
from tests.unit.selection.bench import Bench, block, percent, selected, spec, static, traced
from tests.unit.selection.networks import (
    Cnn,
    Dense,
    Depthwise,
    Fused,
    Language,
    Mlp,
    Residual,
    Shared,
    settled,
)

F64 = {"dtype": "f64"}
IMAGE, SMALL = ("N", 2, 8, 8), ("N", 2, 6, 6)


def excised(
    model: nn.Module, interface: Interface, step: object, changes: frozenset[str] = frozenset()
) -> tuple[nn.Module, Interface, Effect, tuple[tuple[int, ...], ...]]:
    """Identify and remove; return the smaller network, the predicted interface, the effect, and what was taken."""
    selection = selected(interface, step)
    runtime = Bench(copy.deepcopy(model), interface)
    picked = identify(step, selection, runtime)
    context = static(interface, changes=changes)
    draft = Draft(interface)
    exact = picked.selection.replaced(indices=picked.indices)
    effect = Remove().transfer(exact, draft, context)
    assert context.sink.found == ()
    for change in Remove().execute(picked, runtime):
        carry_out(runtime.model, change)
    return runtime.model, draft.finish(), effect, picked.indices


def refusals(interface: Interface, step: object, **changes: object) -> tuple[Diagnostic, ...]:
    selection = selected(interface, step)
    context = static(interface, **changes)
    Remove().transfer(selection, Draft(interface), context)
    return context.sink.found


def cut(model: nn.Module, silent: Callable[[nn.Module], None]) -> nn.Module:
    """Return a copy in which units are silent: what removal must be equal to."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        silent(other)
    return other


def assert_same(one: nn.Module, two: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(one(x), two(x), rtol=1e-10, atol=1e-12)


def images(*shape: int) -> Tensor:
    return torch.randn(3, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


# ---- channels ----------------------------------------------------------------------------------------------------


def test_a_hidden_layer_loses_units_and_the_next_layer_their_inputs() -> None:
    model = settled(Mlp())
    interface = traced(model, "N", 5, **F64)
    small, predicted, effect, taken = excised(
        model, interface, block(Linear(pattern="hidden.0"), take=Only(units=(1, 4, 7)))
    )
    assert taken == ((1, 4, 7),)
    keep = [0, 2, 3, 5, 6]
    assert torch.equal(small.hidden[0].weight, model.hidden[0].weight[keep])
    assert torch.equal(small.hidden[0].bias, model.hidden[0].bias[keep])
    assert torch.equal(small.hidden[1].weight, model.hidden[1].weight[:, keep])
    assert torch.equal(small.head.weight, model.head.weight)
    assert (small.hidden[0].out_features, small.hidden[1].in_features) == (5, 5)
    # The bias behind takes over what a dead unit would still give.
    assert effect.writes == {"hidden.0.weight", "hidden.0.bias", "hidden.1.weight", "hidden.1.bias"}
    assert (effect.function, effect.matched, effect.changed) == ("changing", 1, 1)

    def silent(net: nn.Module) -> None:
        net.hidden[1].weight[:, [1, 4, 7]] = 0

    assert_same(small, cut(model, silent), images(5))
    assert differences(predicted, traced(small, "N", 5, **F64)) == ()


def test_channels_of_a_convolution_take_norm_statistics_and_pixels_of_the_head_along() -> None:
    model = settled(Cnn(bias=True))
    interface = traced(model, *IMAGE, **F64)
    small, predicted, effect, (taken,) = excised(
        model, interface, block(Conv2d(pattern="features.3"), by=Magnitude(), take=Lowest(amount=percent(40)))
    )
    norms = model.features[3].weight.abs().sum((1, 2, 3))
    assert set(taken) == set(norms.argsort()[:5].tolist())
    keep = [i for i in range(12) if i not in taken]
    assert torch.equal(small.features[4].running_var, model.features[4].running_var[keep])
    assert small.features[4].num_features == 7
    pixels = [channel * 4 + pixel for channel in keep for pixel in range(4)]
    assert torch.equal(small.head.weight, model.head.weight[:, pixels])
    assert small.head.in_features == 28
    assert "features.4.running_mean" in effect.writes

    def silent(net: nn.Module) -> None:
        gone = [channel * 4 + pixel for channel in taken for pixel in range(4)]
        net.head.weight[:, gone] = 0

    assert_same(small, cut(model, silent), images(2, 8, 8))
    assert differences(predicted, traced(small, *IMAGE, **F64)) == ()


def test_several_axes_go_in_one_edit() -> None:
    model = settled(Cnn())
    interface = traced(model, *IMAGE, **F64)
    step = block(Conv2d(pattern="features.*"), by=Magnitude(), take=Lowest(amount=percent(25)))
    small, predicted, _, taken = excised(model, interface, step)
    assert [len(one) for one in taken] == [2, 3]
    assert small.features[3].weight.shape == (9, 6, 3, 3)

    def silent(net: nn.Module) -> None:
        net.features[3].weight[:, list(taken[0])] = 0
        net.head.weight[:, [channel * 4 + pixel for channel in taken[1] for pixel in range(4)]] = 0

    assert_same(small, cut(model, silent), images(2, 8, 8))
    assert differences(predicted, traced(small, *IMAGE, **F64)) == ()


def test_a_grouped_convolution_loses_one_channel_of_each_group() -> None:
    model = settled(Cnn(groups=4))
    interface = traced(model, *IMAGE, **F64)
    step = block(Conv2d(pattern="features.3"), by=Magnitude(), take=Lowest(amount=4))
    small, predicted, _, (taken,) = excised(model, interface, step)
    assert len(taken) == 1
    norms = model.features[3].weight.abs().sum((1, 2, 3)).view(4, 3).sum(0)
    assert taken == (int(norms.argmin()),)
    gone = [group * 3 + taken[0] for group in range(4)]
    keep = [i for i in range(12) if i not in gone]
    assert torch.equal(small.features[3].weight, model.features[3].weight[keep])
    assert (small.features[3].groups, small.features[3].out_channels) == (4, 8)

    def silent(net: nn.Module) -> None:
        net.head.weight[:, [channel * 4 + pixel for channel in gone for pixel in range(4)]] = 0

    assert_same(small, cut(model, silent), images(2, 8, 8))
    assert differences(predicted, traced(small, *IMAGE, **F64)) == ()


def test_what_feeds_a_grouped_convolution_loses_one_input_of_each_group() -> None:
    model = settled(Cnn(groups=4))
    interface = traced(model, *IMAGE, **F64)
    small, predicted, _, (taken,) = excised(
        model, interface, block(Conv2d(pattern="features.0"), take=Only(units=(1, 3, 5, 7)))
    )
    assert taken == (1,)
    assert torch.equal(small.features[0].weight, model.features[0].weight[[0, 2, 4, 6]])
    assert torch.equal(small.features[3].weight, model.features[3].weight[:, [0]])

    def silent(net: nn.Module) -> None:
        net.features[3].weight[:, 1] = 0

    assert_same(small, cut(model, silent), images(2, 8, 8))
    assert differences(predicted, traced(small, *IMAGE, **F64)) == ()


def test_a_depthwise_convolution_loses_whole_groups() -> None:
    model = settled(Depthwise())
    interface = traced(model, *IMAGE, **F64)
    small, predicted, _, _ = excised(model, interface, block(Conv2d(pattern="depth"), take=Only(units=(0, 5))))
    assert (small.depth.groups, small.depth.in_channels, small.depth.out_channels) == (4, 4, 4)
    assert torch.equal(small.first.weight, model.first.weight[1:5])

    def silent(net: nn.Module) -> None:
        net.last.weight[:, [0, 5]] = 0

    assert_same(small, cut(model, silent), images(2, 8, 8))
    assert differences(predicted, traced(small, *IMAGE, **F64)) == ()


def test_a_depthwise_convolution_may_be_left_with_one_group() -> None:
    model = settled(Depthwise())
    interface = traced(model, *IMAGE, **F64)
    small, predicted, _, _ = excised(model, interface, block(Conv2d(pattern="depth"), take=Only(units=(0, 1, 2, 4, 5))))
    assert (small.depth.groups, small.depth.in_channels) == (1, 1)
    assert differences(predicted, traced(small, *IMAGE, **F64)) == ()


def test_a_multiplier_is_the_innermost_axis_of_a_depthwise_convolution() -> None:
    model = settled(Depthwise(multiplier=2))
    interface = traced(model, *IMAGE, **F64)
    selection = selected(interface, block(Conv2d(pattern="depth"), take=Only(units=tuple(range(1, 12, 2)))))
    assert [(pool.size, pool.width) for pool in selection.pools] == [(2, 6)]
    small, predicted, _, _ = excised(
        model, interface, block(Conv2d(pattern="depth"), take=Only(units=tuple(range(1, 12, 2))))
    )
    assert (small.depth.groups, small.depth.out_channels) == (6, 6)

    def silent(net: nn.Module) -> None:
        net.last.weight[:, list(range(1, 12, 2))] = 0

    assert_same(small, cut(model, silent), images(2, 8, 8))
    assert differences(predicted, traced(small, *IMAGE, **F64)) == ()


def test_a_residual_stream_is_cut_in_every_block() -> None:
    model = settled(Residual())
    interface = traced(model, "N", 5, **F64)
    small, predicted, _, _ = excised(model, interface, block(Linear(pattern="stem"), take=Only(units=(2, 3))))
    assert small.blocks[1].fc1.weight.shape == (7, 4)
    assert small.blocks[2].fc2.weight.shape == (4, 7)

    def silent(net: nn.Module) -> None:
        for one in net.blocks:
            one.fc1.weight[:, [2, 3]] = 0
        net.head.weight[:, [2, 3]] = 0

    assert_same(small, cut(model, silent), images(5))
    assert differences(predicted, traced(small, "N", 5, **F64)) == ()


@pytest.mark.parametrize(("pattern", "offset", "size"), [("left", 0, 4), ("right", 4, 5)])
def test_parts_of_a_concatenation_are_cut_where_they_lie(pattern: str, offset: int, size: int) -> None:
    model = settled(Dense())
    interface = traced(model, *SMALL, **F64)
    small, predicted, _, _ = excised(model, interface, block(Conv2d(pattern=pattern), take=Only(units=(1, 3))))
    keep = [i for i in range(9) if i not in (offset + 1, offset + 3)]
    assert torch.equal(small.norm.weight, model.norm.weight[keep])
    assert torch.equal(small.last.weight, model.last.weight[:, keep])
    assert small.norm.num_features == 7
    assert getattr(small, pattern).out_channels == size - 2

    def silent(net: nn.Module) -> None:
        net.last.weight[:, [offset + 1, offset + 3]] = 0

    assert_same(small, cut(model, silent), images(2, 6, 6))
    assert differences(predicted, traced(small, *SMALL, **F64)) == ()


def test_ties_follow_and_stay() -> None:
    model = settled(Language())
    interface = traced(model, "B", "T", dtype="i64", below=11)
    small, predicted, effect, _ = excised(model, interface, block(Embedding(pattern="embed"), take=Only(units=(0, 4))))
    assert small.head.weight is small.embed.weight
    assert small.embed.weight.shape == (11, 4)
    assert small.norm.normalized_shape == (4,)
    assert (small.embed.embedding_dim, small.head.in_features) == (4, 4)
    assert "head.weight" in effect.writes
    assert "1 norm then average" in effect.reason
    assert differences(predicted, traced(small, "B", "T", dtype="i64", below=11)) == ()
    keep = [1, 2, 3, 5]
    assert torch.equal(small.up.weight, model.up.weight[:, keep])
    assert torch.equal(small.down.weight, model.down.weight[keep])


def test_a_layer_that_runs_twice_is_cut_once() -> None:
    model = settled(Shared())
    interface = traced(model, "N", 5, **F64)
    small, predicted, _, _ = excised(model, interface, block(Linear(pattern="twice"), take=Only(units=(5,))))
    assert small.twice.weight.shape == (5, 5)
    assert torch.equal(small.twice.weight, model.twice.weight[:5, :5])

    def silent(net: nn.Module) -> None:
        net.twice.weight[:, 5] = 0
        net.head.weight[:, 5] = 0

    assert_same(small, cut(model, silent), images(5))
    assert differences(predicted, traced(small, "N", 5, **F64)) == ()


@pytest.mark.parametrize(
    "site",
    [
        Conv2d(pattern="features.0"),
        Norm(pattern="features.1"),
        Relu(pattern="features.2"),
        Module(pattern="features.1"),
        Param(pattern="features.0.weight", dim=0),
        Param(pattern="features.3.weight", dim=1),
        Param(pattern="features.1.bias"),
    ],
    ids=lambda site: f"{site.name}-{site.pattern}",
)
def test_any_site_that_carries_an_axis_names_it(site: SiteWord) -> None:
    model = settled(Cnn())
    interface = traced(model, *IMAGE, **F64)
    small, predicted, _, _ = excised(model, interface, block(site, take=Only(units=(2, 6))))
    reference, _, _, _ = excised(model, interface, block(Conv2d(pattern="features.0"), take=Only(units=(2, 6))))
    assert_same(small, reference, images(2, 8, 8))
    assert differences(predicted, traced(small, *IMAGE, **F64)) == ()


def test_every_outcome_of_a_threshold_is_covered() -> None:
    model = settled(Cnn())
    interface = traced(model, *IMAGE, **F64)
    selection = selected(interface, block(Conv2d(pattern="features.0"), by=Magnitude(), take=Below(bound=1.0), round=2))
    draft = Draft(interface)
    effect = Remove().transfer(selection, draft, static(interface))
    (pool,) = selection.pools
    size = draft.axes[pool.axis].size
    assert (size.least, size.most, size.step) == (2, 8, 2)
    assert effect.changed == 1


# ---- the contract, and what cannot be removed --------------------------------------------------------------------


def test_outputs_change_only_where_the_step_says_so() -> None:
    model = settled(Mlp())
    interface = traced(model, "N", 5, **F64)
    step = block(Linear(pattern="head"), take=Only(units=(1,)))
    (found,) = refusals(interface, step)
    assert (found.code.name, found.path) == ("output-contract", "head")
    assert found.facts == {"before": 3, "after": 2}
    small, predicted, _, _ = excised(model, interface, step, changes=frozenset({"outputs"}))
    assert small.head.weight.shape == (2, 6)
    assert differences(predicted, traced(small, "N", 5, **F64)) == ()


def test_inputs_change_only_where_the_step_says_so() -> None:
    interface = traced(Mlp(), "N", 5)
    step = block(Param(pattern="hidden.0.weight", dim=1), take=Only(units=(0,)))
    (found,) = refusals(interface, step)
    assert found.code.name == "input-contract"
    assert refusals(interface, step, changes=frozenset({"inputs"})) == ()


def test_a_fixed_axis_says_why() -> None:
    interface = traced(Language(), "B", "T", dtype="i64", below=11)
    (found,) = refusals(interface, block(Param(pattern="embed.weight", dim=0), take=Only(units=(0,))))
    assert found.code.name == "fixed-axis"
    assert interface.axes[interface.tensor_by_name["embed.weight"].dims[0][0]].frozen in found.message


@pytest.mark.parametrize("take", [All(), Only(units=tuple(range(8)))])
def test_a_layer_is_not_emptied(take: object) -> None:
    (found,) = refusals(traced(Cnn(), *IMAGE), block(Conv2d(pattern="features.0"), take=take))
    assert found.code.name == "emptied-site"
    assert found.facts == {"removed": 8, "channels": 8}


def test_single_weights_cannot_be_removed() -> None:
    step = block(Linear(pattern="**"), unit=Weights(), by=Magnitude(), take=Lowest(amount=percent(50)))
    (found,) = refusals(traced(Mlp(), "N", 5), step)
    assert found.code.name == "weights-stay"
    assert "mode = zero" in found.help


def test_nothing_picked_gives_no_edit() -> None:
    model = settled(Cnn())
    interface = traced(model, *IMAGE, **F64)
    step = block(Conv2d(pattern="features.0"), by=Magnitude(), take=Below(bound=-1.0))
    runtime = Bench(model, interface)
    picked = identify(step, selected(interface, step), runtime)
    assert picked.indices == ((),)
    assert list(Remove().execute(picked, runtime)) == []


# ---- modules -----------------------------------------------------------------------------------------------------


def test_blocks_leave_a_residual_stack_and_the_rest_moves_up() -> None:
    model = settled(Residual(count=4))
    interface = traced(model, "N", 5, **F64)
    step = block(Module(pattern="blocks.*"), unit=Modules(), take=Only(units=(0, 2)))
    small, predicted, effect, _ = excised(model, interface, step)
    assert len(small.blocks) == 2
    assert torch.equal(small.blocks[0].fc1.weight, model.blocks[1].fc1.weight)
    assert torch.equal(small.blocks[1].fc1.weight, model.blocks[3].fc1.weight)
    assert effect.renamed["blocks.3.fc2.bias"] == "blocks.1.fc2.bias"
    assert effect.renamed["blocks.1.fc1.weight"] == "blocks.0.fc1.weight"
    assert "blocks.0.fc1.weight" in effect.writes
    assert "blocks.1.fc1.weight" not in effect.writes
    assert "stem.weight" not in effect.renamed

    def silent(net: nn.Module) -> None:
        for at in (0, 2):
            net.blocks[at].fc2.weight.zero_()
            net.blocks[at].fc2.bias.zero_()

    assert_same(small, cut(model, silent), images(5))
    assert differences(predicted, traced(small, "N", 5, **F64)) == ()


def test_entries_of_a_sequential_leave_it() -> None:
    model = settled(Cnn())
    interface = traced(model, *IMAGE, **F64)
    step = block(Module(pattern="features.{1,2}"), unit=Modules(), take=All())
    selection = selected(interface, step)
    assert selection.pools[0].modules == ("features.1", "features.2")
    small, predicted, effect, _ = excised(
        model, interface, block(Module(pattern="features.{1,2,5}"), unit=Modules(), take=Only(units=(0, 1)))
    )
    assert [type(one).__name__ for one in small.features] == ["Conv2d", "Conv2d", "BatchNorm2d", "ReLU", "AvgPool2d"]
    assert effect.renamed["features.3.weight"] == "features.1.weight"
    assert differences(predicted, traced(small, *IMAGE, **F64)) == ()


def test_widths_that_are_equal_by_number_join() -> None:
    model = settled(nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3)))
    interface = traced(model, "N", 5, **F64)
    step = block(Module(pattern="{2,3}"), unit=Modules(), take=Only(units=(0, 1)))
    # all matched modules may go, as long as something of the list stays
    selection = selected(interface, step)
    context = static(interface)
    draft = Draft(interface)
    Remove().transfer(selection, draft, context)
    assert [found.code.name for found in context.sink.found] == ["emptied-site"]
    step = block(Module(pattern="*"), unit=Modules(), take=Only(units=(2, 3)))
    small, predicted, _, _ = excised(model, interface, step)
    assert_same(small, nn.Sequential(model[0], model[1], model[4]), images(5))
    assert differences(predicted, traced(small, "N", 5, **F64)) == ()


def test_the_lowest_block_goes_where_blocks_are_alike() -> None:
    model = settled(Residual(count=3))
    with torch.no_grad():
        for tensor in model.blocks[1].parameters():
            tensor.mul_(0.01)
    interface = traced(model, "N", 5, **F64)
    step = block(Module(pattern="blocks.*"), unit=Modules(), by=Magnitude(), take=Lowest(amount=1))
    selection = selected(interface, step)
    draft = Draft(interface)
    effect = Remove().transfer(selection, draft, static(interface))
    assert {name for name in interface.tensor_by_name if name.startswith("blocks.")} <= effect.writes
    small, predicted, _, taken = excised(model, interface, step)
    assert taken == ((1,),)
    assert differences(predicted, traced(small, "N", 5, **F64)) == ()
    # whatever goes, the network is built alike: the prediction for the open outcome holds too
    assert differences(draft.finish(), traced(small, "N", 5, **F64)) == ()


def test_blocks_that_differ_need_names() -> None:
    interface = traced(Residual(inners=(7, 9, 7)), "N", 5)
    step = block(Module(pattern="blocks.*"), unit=Modules(), by=Random(), take=Lowest(amount=1))
    (found,) = refusals(interface, step)
    assert (found.code.name, found.path) == ("open-structure", "blocks.1")
    step = block(Module(pattern="blocks.*"), unit=Modules(), by=Magnitude(), take=Below(bound=1.0))
    (found,) = refusals(interface, step)
    assert found.code.name == "open-structure"


def test_a_layer_between_unlike_widths_cannot_go() -> None:
    interface = traced(Mlp(), "N", 5)
    (found,) = refusals(interface, block(Module(pattern="hidden.*"), unit=Modules(), take=Only(units=(1,))))
    assert (found.code.name, found.path) == ("width-mismatch", "hidden.1")
    assert "[N, 8]" in found.message
    assert "[N, 6]" in found.message


def test_only_entries_of_lists_can_go() -> None:
    interface = traced(Residual(), "N", 5)
    (found,) = refusals(interface, block(Module(pattern="blocks.0.*"), unit=Modules(), take=Only(units=(0,))))
    assert (found.code.name, found.path) == ("not-a-list-entry", "blocks.0.fc1")


def test_a_module_that_stands_twice_cannot_go() -> None:
    one = nn.Linear(5, 5)
    interface = traced(nn.Sequential(one, nn.ReLU(), one, nn.Linear(5, 2)), "N", 5)
    (found,) = refusals(interface, block(Module(pattern="*"), unit=Modules(), take=Only(units=(2,))))
    assert (found.code.name, found.path) == ("not-a-list-entry", "2")


class Around(nn.Module):
    """The forward adds each block's result by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(5, 5) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for one in self.blocks:
            x = x + one(x)
        return x


def test_what_a_forward_does_around_each_block_goes_with_the_block() -> None:
    model = settled(Around())
    interface = traced(model, "N", 5, **F64)
    for gone in ((0,), (1,), (2,), (0, 2)):
        small, predicted, _, _ = excised(
            model, interface, block(Module(pattern="blocks.*"), unit=Modules(), take=Only(units=gone))
        )
        fresh = Around()
        fresh.blocks = nn.ModuleList(model.blocks[i] for i in range(3) if i not in gone)
        assert_same(small, fresh, torch.randn(4, 5, dtype=torch.float64))
        assert differences(predicted, traced(small, "N", 5, **F64)) == ()


class Uneven(nn.Module):
    """The forward does something else around each block."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Linear(5, 5) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for number, one in enumerate(self.blocks):
            x = x * 0.5 + one(x) if number == 1 else x + one(x)
        return x


def test_a_forward_that_treats_its_blocks_differently_is_refused() -> None:
    interface = traced(Uneven(), "N", 5)
    (found,) = refusals(interface, block(Module(pattern="blocks.*"), unit=Modules(), take=Only(units=(1,))))
    assert found.code.name == "not-a-list-entry"
    assert "`mul`" in found.message or "`add`" in found.message


def test_a_fused_projection_is_refused_with_its_parts() -> None:
    from tests.unit.selection.bench import refused

    found = refused(trace(Fused(), spec("N", 5)), block(Linear(pattern="both"), take=Only(units=(0,))))
    assert found.code.name == "summed-axis"
    assert "4 + 6" in found.message
