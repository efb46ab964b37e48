"""Experts in lists of modules: they leave with their rows of the router, and only where that is shown."""

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.indexed import list_edit
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.paths import list_holder
from surgery_dsl.modules.arranging import rearrange
from surgery_dsl.run.changes import carry_out
from surgery_dsl.run.identify import identify
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.criteria.magnitude import Magnitude
from surgery_dsl.vocabulary.modes.remove import Remove
from surgery_dsl.vocabulary.modes.zero import Zero
from surgery_dsl.vocabulary.sites.experts import Experts as ExpertSites
from surgery_dsl.vocabulary.sites.linear import Linear
from surgery_dsl.vocabulary.sites.module import Module
from surgery_dsl.vocabulary.takes.lowest import Lowest
from surgery_dsl.vocabulary.takes.only import Only
from surgery_dsl.vocabulary.units.channels import Channels
from surgery_dsl.vocabulary.units.experts import Experts
from surgery_dsl.vocabulary.units.modules import Modules
from tests.unit.selection.bench import Bench, block, refused, selected, static
from tests.unit.units import mixtures
from tests.unit.units.bench import excised

EVERYWHERE = ExpertSites(pattern="**")
NEVER = -1e4
"""A score that no softmax, sigmoid or choice of the greatest sees."""


def traced(model: nn.Module) -> Interface:
    return trace(model, (InputSpec(name="tokens", dtype="i64", dims=("N", "T"), below=mixtures.WORDS),))


def never_chosen(model: mixtures.Decoder, gone: Sequence[Sequence[int]]) -> nn.Module:
    """Return a copy whose routers never choose some experts."""
    other = copy.deepcopy(model)
    for layer, experts in zip(other.blocks, gone, strict=True):
        moe, indices = layer["moe"], list(experts)  # type: ignore[index]
        with torch.no_grad():
            if moe.gate.bias is None:
                moe.gate.bias = nn.Parameter(torch.zeros(mixtures.EXPERTS, dtype=torch.float64))
            moe.gate.weight[indices] = 0
            moe.gate.bias[indices] = NEVER
            if hasattr(moe, "correction"):
                moe.correction[indices] = NEVER
    return other


@pytest.mark.parametrize("kind", mixtures.FOLLOWED, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("named", [True, False], ids=["named", "ranked"])
def test_what_is_never_chosen_may_go(kind: type[nn.Module], named: bool) -> None:
    model = mixtures.build(kind)
    take = {"take": Only(units=(1,))} if named else {"take": Lowest(amount=2), "by": Magnitude()}
    small, taken, effect = excised(model, traced(model), block(EVERYWHERE, unit=Experts(), expect=2, **take), traced)
    want = mixtures.outputs(never_chosen(model, taken))
    torch.testing.assert_close(mixtures.outputs(small), want, rtol=1e-9, atol=1e-9)
    left = mixtures.EXPERTS - len(taken[0])
    for layer in small.blocks:
        assert len(layer["moe"].experts) == layer["moe"].gate.out_features == left
        assert [name.removeprefix("expert_") for name in layer["moe"].experts._modules] == [str(i) for i in range(left)]
        assert getattr(layer["moe"], "num_experts", getattr(layer["moe"], "n_experts", left)) == left
    assert "blocks.0.moe.experts" in effect.reason
    # The test can fail: rows of other experts in the router, and the network as it was.
    crossed = copy.deepcopy(small)
    with torch.no_grad():
        for layer in crossed.blocks:
            layer["moe"].gate.weight.copy_(layer["moe"].gate.weight.roll(1, 0))
    assert not torch.allclose(mixtures.outputs(crossed), want, atol=1e-3)
    assert not torch.allclose(mixtures.outputs(model), want, atol=1e-3)


@pytest.mark.parametrize("kind", mixtures.FOLLOWED, ids=lambda kind: kind.__name__)
def test_another_order_of_experts_with_their_rows_changes_nothing(kind: type[nn.Module]) -> None:
    model = mixtures.build(kind)
    interface = traced(model)
    order = [2, 0, 3, 1]
    edit = list_edit({one.dim[0]: order for one in interface.indexed}, interface)
    assert edit is not None
    moved = copy.deepcopy(model)
    for path, entries in edit.lists.items():
        holder, stem = list_holder(path)
        rearrange(moved.get_submodule(holder), entries, False, moved, stem)
    assert not torch.allclose(mixtures.outputs(moved), mixtures.outputs(model), atol=1e-3)  # the lists alone
    with torch.no_grad():
        for axis in (one.dim[0] for one in interface.indexed):
            for name, dim in interface.carriers[axis]:
                tensor = moved.state_dict()[name]
                tensor.copy_(tensor.index_select(dim, torch.tensor(order)))
    torch.testing.assert_close(mixtures.outputs(moved), mixtures.outputs(model), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", mixtures.NOT_FOLLOWED, ids=lambda kind: kind.__name__)
def test_a_loop_that_pairs_them_otherwise_keeps_its_experts(kind: type[nn.Module]) -> None:
    interface = traced(mixtures.build(kind))
    assert interface.indexed == ()
    (axis,) = interface.tensor_by_name["blocks.0.moe.gate.weight"].dims[0]
    why = interface.axes[axis].frozen
    assert "mixtures.py:" in why or "`blocks.0.moe.experts` has more or fewer entries" in why


@pytest.mark.parametrize("kind", mixtures.NOT_FOLLOWED, ids=lambda kind: kind.__name__)
def test_what_is_not_followed_is_refused_with_its_reason(kind: type[nn.Module]) -> None:
    interface = traced(mixtures.build(kind))
    context = static(interface)
    step = block(EVERYWHERE, unit=Experts(), take=Only(units=(1,)), expect=2)
    Remove().transfer(selected(interface, step), Draft(interface), context)
    assert {finding.code.id for finding in context.sink.found} == {"SD226"}
    (axis,) = interface.tensor_by_name["blocks.0.moe.gate.weight"].dims[0]
    found = context.sink.found[0]
    assert found.message == f"`blocks.0.moe` cannot lose experts: {interface.axes[axis].frozen}"
    assert "unit = channels" in found.help
    narrower = block(Linear(pattern="blocks.*.moe.experts.*.w1"), take=Lowest(amount=2), by=Magnitude())
    small, _, _ = excised(mixtures.build(kind), interface, narrower, traced)
    assert small.blocks[0]["moe"].experts[3].w2.weight.shape == (mixtures.WIDTH, 8)


def test_parameters_and_multiplications_scale_with_the_list() -> None:
    model = mixtures.build(mixtures.Weighted)
    step = block(EVERYWHERE, unit=Experts(), take=Only(units=(0,)))
    small, _, _ = excised(model, traced(model), step, traced)
    gone = 2 * (sum(p.numel() for p in mixtures.Expert().parameters()) + mixtures.WIDTH + 1)
    assert sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in small.parameters()) == gone


def removed(interface: Interface, step) -> list[tuple[str, str]]:  # type: ignore[no-untyped-def]
    context = static(interface)
    Remove().transfer(selected(interface, step), Draft(interface), context)
    return [(finding.code.id, finding.message) for finding in context.sink.found]


def test_as_many_experts_stay_as_are_chosen_and_a_loop_is_known_by() -> None:
    step = block(ExpertSites(pattern="blocks.1.**"), unit=Experts(), take=Only(units=(0, 1, 2)))
    sparse, stacked = traced(mixtures.build(mixtures.Sparse)), traced(mixtures.build(mixtures.Stacked))
    assert "SD223" in {code for code, _ in removed(sparse, step)}
    (pool,) = selected(sparse, step).pools
    assert (pool.least, pool.about) == (2, "each token goes through 2 of 4 experts, so at least 2 must stay")
    (pool,) = selected(stacked, step).pools  # all are taken, so none is chosen
    assert (pool.least, pool.about[:54]) == (2, "the forward goes through `blocks.1.moe.experts` in a l")
    router = block(Linear(pattern="blocks.1.moe.gate"), unit=Channels(), take=Only(units=(0, 1, 2)))
    ((code, text),) = removed(stacked, router)
    assert (code, "1 channel of `blocks.1.moe.gate` would stay" in text) == ("SD223", True)


def test_an_expert_that_is_not_there_is_refused() -> None:
    interface = traced(mixtures.build(mixtures.Sparse))
    step = block(ExpertSites(pattern="blocks.1.**"), unit=Experts(), take=Only(units=(1, 4)))
    assert "4 experts, numbered 0 to 3; there is no 4" in refused(interface, step).message


def test_entries_do_not_leave_without_their_rows() -> None:
    interface = traced(mixtures.build(mixtures.Weighted))
    step = block(Module(pattern="blocks.0.moe.experts.*"), unit=Modules(), take=Only(units=(1,)))
    ((code, text),) = removed(interface, step)
    assert code == "SD232"
    assert "belongs to index i of `blocks.0.moe.gate.weight[0]`" in text


def test_rows_of_the_router_take_the_entries_along() -> None:
    model = mixtures.build(mixtures.Weighted)
    step = block(Linear(pattern="blocks.0.moe.gate"), unit=Channels(), take=Only(units=(2,)))
    small, _, _ = excised(model, traced(model), step, traced, changes=frozenset({"values"}))
    assert len(small.blocks[0]["moe"].experts) == 3
    assert len(small.blocks[1]["moe"].experts) == 4


def test_ranked_experts_must_be_built_alike() -> None:
    model = mixtures.build(mixtures.Weighted)
    expert = model.blocks[0]["moe"].experts[1]  # type: ignore[index]
    expert.w1, expert.w2 = nn.Linear(6, 7, bias=False).double(), nn.Linear(7, 6, bias=False).double()
    expert.w3 = nn.Linear(6, 7).double()
    interface = traced(model)
    ((code, text),) = removed(interface, block(EVERYWHERE, unit=Experts(), by=Magnitude(), take=Lowest(amount=1)))
    assert code == "SD233"
    assert "`blocks.0.moe.experts.0` and `blocks.0.moe.experts.1` are built differently" in text
    named = block(EVERYWHERE, unit=Experts(), take=Only(units=(1,)))
    small, _, _ = excised(model, interface, named, traced)
    torch.testing.assert_close(
        mixtures.outputs(small), mixtures.outputs(never_chosen(model, [[1], [1]])), rtol=1e-9, atol=1e-9
    )


def test_experts_score_by_their_modules_and_become_zero_with_them() -> None:
    model = mixtures.build(mixtures.Weighted)
    with torch.no_grad():
        for parameter in model.blocks[0]["moe"].experts[2].parameters():  # type: ignore[index]
            parameter.mul_(1e-3)  # its row of the router is as large as the others
    interface = traced(model)
    step = block(ExpertSites(pattern="blocks.0.**"), unit=Experts(), by=Magnitude(), take=Lowest(amount=1))
    _, taken, _ = excised(model, interface, step, traced)
    assert taken == ((2,),)
    runtime = Bench(copy.deepcopy(model), interface)
    picked = identify(step, selected(interface, step), runtime)
    exact = picked.selection.replaced(indices=picked.indices)
    effect = Zero().transfer(exact, Draft(interface), static(interface))
    for change in Zero().execute(picked, runtime):
        carry_out(runtime.model, change)
    expert = {name for name in interface.tensor_by_name if name.startswith("blocks.0.moe.experts.2.")}
    assert all(not runtime.model.get_parameter(name).any() for name in expert)
    assert effect.writes == expert | {"blocks.0.moe.gate.weight", "blocks.0.moe.gate.bias"}
    zeros = {name: int((p == 0).sum()) for name, p in runtime.model.named_parameters() if (p == 0).any()}
    assert {name: (count, count) for name, count in zeros.items()} == dict(effect.zeros)
