"""Units of real architectures at tiny sizes: removal equals zeros in what reads the units, and traces as predicted."""

import copy

import pytest
import torch
from torch import nn

from surgery_dsl.interface.attention import attentions
from surgery_dsl.interface.experts import mixtures
from surgery_dsl.interface.feedforward import feedforwards
from surgery_dsl.interface.flow import Flow
from surgery_dsl.vocabulary.criteria.magnitude import Magnitude
from surgery_dsl.vocabulary.kinds import SiteWord, Unit
from surgery_dsl.vocabulary.sites.attention import Attention
from surgery_dsl.vocabulary.sites.embedding import Embedding
from surgery_dsl.vocabulary.sites.experts import Experts as ExpertSites
from surgery_dsl.vocabulary.sites.linear import Linear
from surgery_dsl.vocabulary.sites.mlp import Mlp
from surgery_dsl.vocabulary.takes.lowest import Lowest
from surgery_dsl.vocabulary.takes.only import Only
from surgery_dsl.vocabulary.units._axes import owners
from surgery_dsl.vocabulary.units.channels import Channels
from surgery_dsl.vocabulary.units.experts import Experts
from surgery_dsl.vocabulary.units.heads import Heads
from surgery_dsl.vocabulary.units.kv_groups import KvGroups
from tests.unit.selection.bench import block, refused, selected
from tests.unit.units import real
from tests.unit.units.bench import excised

EVERYWHERE = Attention(pattern="**")


def silenced(model: nn.Module, interface, axes: dict[int, tuple[int, ...]], readers: dict[int, str]) -> nn.Module:  # type: ignore[no-untyped-def]
    """Return a copy whose readers of the units read nothing; ``readers`` names the weight that reads each axis."""
    other = copy.deepcopy(model)
    with torch.no_grad():
        for axis, taken in axes.items():
            tensor = other.get_parameter(readers[axis])
            for position, dim in enumerate(interface.tensor_by_name[readers[axis]].dims):
                gone = [entry for entry, owner in enumerate(owners(dim, axis, interface)) if owner in taken]
                if gone:
                    tensor.index_fill_(position, torch.tensor(gone), 0)
    return other


@pytest.mark.parametrize(
    ("name", "unit", "indices"),
    [
        ("llama", Heads(), (1, 4)),
        ("llama", KvGroups(), (0,)),
        ("gpt2", Heads(), (0, 2)),
        ("bert", Heads(), (1, 2, 3)),
        ("vit", Heads(), (3,)),
        ("neox", Heads(), (1,)),
        ("mixtral", KvGroups(), (1,)),
    ],
)
def test_heads_leave_real_attentions(name: str, unit: Unit, indices: tuple[int, ...]) -> None:
    model = real.BUILDERS[name]()
    interface = real.traced(model)
    step = block(EVERYWHERE, unit=unit, take=Only(units=indices), expect=2)
    small, taken, _ = excised(model, interface, step, real.traced)
    pools = selected(interface, step).pools
    axes = {pool.axis: units for pool, units in zip(pools, taken, strict=True)}
    readers = {
        pool.axis: interface.operators[one.output].tensors["weight"]
        for one in attentions(Flow(interface))
        for pool in pools
        if pool.axis in one.heads
    }
    want = real.outputs(silenced(model, interface, axes, readers))
    torch.testing.assert_close(real.outputs(small), want, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(real.outputs(model), want, atol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gpt2", "bert", "vit", "neox"])
def test_the_width_of_multilayer_perceptrons_shrinks(name: str) -> None:
    model = real.BUILDERS[name]()
    interface = real.traced(model)
    step = block(Mlp(pattern="**"), unit=Channels(), by=Magnitude(), take=Lowest(amount=5), expect=2)
    small, taken, _ = excised(model, interface, step, real.traced)
    pools = selected(interface, step).pools
    readers = {one.width[0]: interface.operators[one.down].tensors["weight"] for one in feedforwards(Flow(interface))}
    axes = {pool.axis: units for pool, units in zip(pools, taken, strict=True)}
    want = real.outputs(silenced(model, interface, axes, readers))
    torch.testing.assert_close(real.outputs(small), want, rtol=1e-9, atol=1e-9)


def test_experts_leave_with_their_rows_of_the_router() -> None:
    model = real.mixtral()
    interface = real.traced(model)
    step = block(ExpertSites(pattern="**"), unit=Experts(), take=Only(units=(1, 3)), expect=2)
    small, taken, effect = excised(model, interface, step, real.traced)
    assert taken == ((1, 3), (1, 3))
    assert small.model.layers[0].mlp.experts.down_proj.shape[0] == 2
    assert "softmaxes then run over fewer" in effect.reason
    unreachable = copy.deepcopy(model)
    # A router that never chooses the experts: two are always chosen, and two are left.
    from torch.nn import functional

    for layer in unreachable.model.layers:
        gate, plain = layer.mlp.gate, functional.linear

        def forward(x, gate=gate, plain=plain):  # type: ignore[no-untyped-def]
            logits = plain(x.reshape(-1, x.shape[-1]), gate.weight).clone()
            logits[:, [1, 3]] = -torch.inf
            values, which = logits.float().softmax(-1).topk(2, dim=-1)
            return logits, values / values.sum(-1, keepdim=True), which

        gate.forward = forward
    torch.testing.assert_close(real.outputs(small), real.outputs(unreachable), rtol=1e-9, atol=1e-9)


def test_as_many_experts_stay_as_are_chosen() -> None:
    from surgery_dsl.interface.draft import Draft
    from surgery_dsl.vocabulary.modes.remove import Remove
    from tests.unit.selection.bench import static

    interface = real.traced(real.mixtral())
    selection = selected(interface, block(ExpertSites(pattern="**"), unit=Experts(), take=Only(units=(0, 1, 2))))
    context = static(interface)
    Remove().transfer(selection, Draft(interface), context)
    assert [finding.code.id for finding in context.sink.found] == ["SD223", "SD223"]
    assert context.sink.found[0].facts == {"kept": 1, "chosen": 2}
    assert context.sink.found[0].help == "name at most 2 of them, so that 2 stay"


def test_the_residual_stream_of_a_decoder_shrinks_everywhere() -> None:
    model = real.llama()
    interface = real.traced(model)
    step = block(Embedding(pattern="**"), unit=Channels(), by=Magnitude(), take=Lowest(amount=6))
    small, _, effect = excised(model, interface, step, real.traced)
    assert small.lm_head.weight.shape == (61, 18)
    assert small.model.layers[1].mlp.down_proj.weight.shape == (18, 20)
    assert "5 norms then average over fewer channels" in effect.reason
    assert real.outputs(small).isfinite().all()


@pytest.mark.parametrize(
    ("site", "count"),
    [
        (EVERYWHERE, 2),
        (Mlp(pattern="**"), 2),
        (Attention(pattern="encoder.layer.*.attention"), 2),
        (Attention(pattern="encoder.layer.*.attention.self"), 2),
        (Mlp(pattern="encoder.layer.*.intermediate"), 2),
        (Linear(pattern="**"), 13),
    ],
)
def test_sites_of_an_encoder_are_found_by_role_and_path(site: SiteWord, count: int) -> None:
    interface = real.traced(real.bert())
    from tests.unit.selection.bench import static

    context = static(interface)
    assert len(site.resolve(interface, context)) == count
    assert context.sink.found == ()


def test_conv1d_counts_as_a_linear_layer() -> None:
    interface = real.traced(real.gpt2())
    from tests.unit.selection.bench import static

    sites = Linear(pattern="transformer.h.*.attn.c_attn").resolve(interface, static(interface))
    assert [site.path for site in sites] == ["transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_attn"]


def test_fused_rows_are_no_channels_and_the_finding_says_what_to_write() -> None:
    interface = real.traced(real.gpt2())
    step = block(Linear(pattern="transformer.h.0.attn.c_attn"), unit=Channels(), take=Only(units=(0,)))
    assert refused(interface, step).help == "write unit = heads, or unit = kv_groups"


def test_every_mixture_is_found_once() -> None:
    found = mixtures(Flow(real.traced(real.mixtral())))
    assert [(one.holder, one.chosen) for one in found] == [("model.layers.0.mlp", 2), ("model.layers.1.mlp", 2)]
