"""Heads and key/value groups of written-out attentions, in every layout that networks have.

The reference knows nothing of axes: the columns of the output projection that read a head become zero.
"""

import pytest
import torch
from torch import nn

from surgery_dsl.interface.attention import attentions
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.model import Interface
from surgery_dsl.vocabulary.criteria.magnitude import Magnitude
from surgery_dsl.vocabulary.kinds import SiteWord
from surgery_dsl.vocabulary.modes.zero import Zero
from surgery_dsl.vocabulary.sites.attention import Attention as AttentionSite
from surgery_dsl.vocabulary.sites.linear import Linear
from surgery_dsl.vocabulary.sites.module import Module
from surgery_dsl.vocabulary.takes.lowest import Lowest
from surgery_dsl.vocabulary.takes.only import Only
from surgery_dsl.vocabulary.units.channels import Channels
from surgery_dsl.vocabulary.units.heads import Heads
from surgery_dsl.vocabulary.units.kv_groups import KvGroups
from tests.unit.selection.bench import Bench, arrow, block, percent, refused, select, selected, traced
from tests.unit.units.bench import TRACED, assert_same, excised, sequences, with_zeros
from tests.unit.units.networks import SIZE, Attention, Layout, Stack, settled

EVERYWHERE = AttentionSite(pattern="**")


def trace(model: nn.Module) -> Interface:
    return traced(model, *TRACED, dtype="f64")


def silent(*heads: int, at: int = 0):  # type: ignore[no-untyped-def]
    """Return what silences heads of a block: their columns of the output projection become zero."""

    def silence(model: nn.Module) -> None:
        for head in heads:
            model.blocks[at].attn.out.weight[:, head * SIZE : (head + 1) * SIZE] = 0

    return silence


@pytest.mark.parametrize("layout", ["separate", "behind", "selected", "interleaved"])
def test_heads_with_keys_of_their_own_go_whole_in_every_layout(layout: Layout) -> None:
    model = settled(Stack(Attention(layout=layout)))
    step = block(EVERYWHERE, unit=Heads(), take=Only(units=(1, 4)))
    small, taken, effect = excised(model, trace(model), step, trace)
    assert taken == ((1, 4),)
    assert small.blocks[0].attn.out.in_features == 4 * SIZE
    assert_same(small, with_zeros(model, silent(1, 4)), sequences())
    assert effect.changed == 1


def test_a_removal_that_took_other_rows_would_be_seen() -> None:
    model = settled(Stack(Attention(layout="interleaved")))
    small, _, _ = excised(model, trace(model), block(EVERYWHERE, unit=Heads(), take=Only(units=(1,))), trace)
    with torch.no_grad():
        assert not torch.allclose(small(sequences()), with_zeros(model, silent(2))(sequences()), atol=1e-3)


@pytest.mark.parametrize("layout", ["separate", "grouped"])
def test_a_key_value_group_goes_with_all_its_queries(layout: Layout) -> None:
    model = settled(Stack(Attention(heads=6, kv=3, layout=layout)))
    step = block(EVERYWHERE, unit=KvGroups(), take=Only(units=(1,)))
    small, taken, _ = excised(model, trace(model), step, trace)
    assert taken == ((1,),)
    assert_same(small, with_zeros(model, silent(2, 3)), sequences())


def test_query_heads_of_grouped_queries_leave_every_group_equally_large() -> None:
    model = settled(Stack(Attention(heads=6, kv=2)))
    step = block(EVERYWHERE, unit=Heads(), take=Only(units=(1, 4)))
    small, taken, _ = excised(model, trace(model), step, trace)
    assert taken == ((1,),)
    assert small.blocks[0].attn.k.out_features == 2 * SIZE
    assert_same(small, with_zeros(model, silent(1, 4)), sequences())


def test_with_one_key_value_head_query_heads_alone_go() -> None:
    model = settled(Stack(Attention(heads=4, kv=1)))
    small, _, _ = excised(model, trace(model), block(EVERYWHERE, unit=Heads(), take=Only(units=(0, 3))), trace)
    assert small.blocks[0].attn.k.out_features == SIZE
    assert_same(small, with_zeros(model, silent(0, 3)), sequences())


def test_heads_of_blocks_are_pools_of_their_own_and_follow_a_global_ranking() -> None:
    model = settled(Stack(Attention(), Attention(layout="behind")))
    interface = trace(model)
    step = block(EVERYWHERE, unit=Heads(), by=Magnitude(), take=Lowest(amount=3), per="global")
    assert [pool.size for pool in selected(interface, step).pools] == [6, 6]
    small, taken, _ = excised(model, interface, step, trace)
    assert sum(map(len, taken)) == 3

    def both(net: nn.Module) -> None:
        for at, heads in enumerate(taken):
            silent(*heads, at=at)(net)

    assert_same(small, with_zeros(model, both), sequences())


@pytest.mark.parametrize("layout", ["behind", "selected", "interleaved"])
def test_a_fused_projection_scores_its_heads_as_separate_ones_do(layout: Layout) -> None:
    apart, fused = settled(Stack(Attention())), settled(Stack(Attention(layout=layout)))
    rows = torch.arange(3 * 6 * SIZE)
    order = {
        "behind": rows,
        "selected": rows,
        "interleaved": rows.view(3, 6, SIZE).transpose(0, 1).flatten(),
    }[layout]
    one, other = apart.blocks[0].attn, fused.blocks[0].attn
    with torch.no_grad():
        other.qkv.weight.copy_(torch.cat([one.q.weight, one.k.weight, one.v.weight])[order])
    scores = []
    for model in (apart, fused):
        interface = trace(model)
        pools = selected(interface, block(EVERYWHERE, unit=Heads(), by=Magnitude(), take=Lowest(amount=1))).pools
        (score,) = Magnitude().scores("heads", pools, Bench(model, interface)).values()
        scores.append(score)
    rows_of = one.q.weight.abs() + one.k.weight.abs() + one.v.weight.abs()
    torch.testing.assert_close(scores[0], rows_of.detach().view(6, -1).sum(1), rtol=1e-12, atol=0)
    torch.testing.assert_close(scores[0], scores[1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("layout", ["separate", "behind", "interleaved"])
def test_heads_that_become_zero_keep_every_shape(layout: Layout) -> None:
    model = settled(Stack(Attention(layout=layout)))
    interface = trace(model)
    step = block(EVERYWHERE, unit=Heads(), take=Only(units=(2,)))
    runtime = Bench(model, interface)
    from surgery_dsl.run.identify import identify

    (change,) = Zero().execute(identify(step, selected(interface, step), runtime), runtime)
    zeros = sum(int(mask.sum()) for mask in change.zero.values())
    assert zeros == 3 * SIZE * (12 + 1)


@pytest.mark.parametrize(
    "site",
    [
        EVERYWHERE,
        AttentionSite(pattern="blocks.0.attn"),
        AttentionSite(pattern="blocks.*"),
        Module(pattern="blocks.0"),
        Linear(pattern="blocks.0.attn.q"),
        Linear(pattern="blocks.0.attn.{k,v}"),
    ],
)
def test_sites_are_names_for_the_axis(site: SiteWord) -> None:
    interface = trace(settled(Stack(Attention())))
    (pool,) = selected(interface, block(site, unit=Heads(), take=Only(units=(0,)))).pools
    (found,) = attentions(Flow(interface))
    assert pool.axis == found.heads[0]


# ---- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["separate", "behind", "selected", "interleaved"])
def test_channels_of_head_projections_are_refused_with_the_unit_that_fits(layout: Layout) -> None:
    interface = trace(settled(Stack(Attention(layout=layout))))
    name = "q" if layout == "separate" else "qkv"
    finding = refused(interface, block(Linear(pattern=f"blocks.0.attn.{name}"), unit=Channels(), take=Only(units=(0,))))
    assert finding.code.id == "SD127"
    assert "unit = heads" in finding.help
    assert finding.facts["heads"] == 6


def test_fourteen_queries_on_two_keys_keep_seven_or_fourteen() -> None:
    interface = trace(settled(Stack(Attention(heads=14, kv=2))))
    finding = refused(interface, block(EVERYWHERE, unit=KvGroups(), by=Magnitude(), take=Lowest(amount=percent(20))))
    assert finding.code.id == "SD222"
    assert finding.notes == ("14 query / 2 KV heads: legal keep counts are 7 and 14 query heads",)
    assert finding.help == "take at least 25%"


def test_a_count_that_breaks_groups_is_refused_with_the_legal_ones() -> None:
    interface = trace(settled(Stack(Attention(heads=6, kv=2))))
    finding = refused(interface, block(EVERYWHERE, unit=Heads(), by=Magnitude(), take=Lowest(amount=3)))
    assert finding.code.id == "SD224"
    assert "2, 4 and 6 query heads" in finding.notes[0]
    finding = refused(interface, block(EVERYWHERE, unit=Heads(), take=Only(units=(0, 4))))
    assert finding.help == "the smallest completion is only([0, 1, 3, 4])"


def test_the_only_key_value_head_stays() -> None:
    interface = trace(settled(Stack(Attention(heads=4, kv=1))))
    finding = refused(interface, block(EVERYWHERE, unit=KvGroups(), take=Only(units=(0,))))
    assert finding.code.id == "SD127"
    assert "unit = heads" in finding.help


def test_what_is_no_attention_has_no_heads() -> None:
    interface = trace(settled(Stack(Attention())))
    finding = refused(interface, block(Module(pattern="blocks.0.mlp"), unit=Heads(), take=Only(units=(0,))))
    assert (finding.code.id, finding.path) == ("SD127", "blocks.0.mlp")


def test_an_arrow_that_is_untrue_says_how_many_heads_there_are() -> None:
    interface = trace(settled(Stack(Attention())))
    finding = refused(interface, block(EVERYWHERE, unit=Heads(), by=Magnitude(), take=Lowest(amount=arrow(8, 4))))
    assert finding.code.id == "SD220"
    assert "6" in finding.message


def test_a_misspelled_attention_names_the_closest_with_counts() -> None:
    interface = trace(settled(Stack(Attention(), Attention())))
    selection, (finding,) = select(
        interface, block(AttentionSite(pattern="block.*.attn"), unit=Heads(), take=Only(units=(0,)))
    )
    assert selection is None
    assert finding.code.id == "SD120"
    assert "`blocks.*.attn` (2 attention sites)" in finding.notes[-1]


def test_attentions_are_counted_whatever_path_names_them() -> None:
    interface = trace(settled(Stack(Attention(), Attention())))
    for pattern in ("**", "blocks.*", "blocks.*.attn"):
        step = block(AttentionSite(pattern=pattern), unit=Heads(), take=Only(units=(0,)), expect=2)
        assert [site.path for site in selected(interface, step).sites] == ["blocks.0.attn", "blocks.1.attn"]
    excepted = AttentionSite(pattern="**", except_=("blocks.0",))
    step = block(excepted, unit=Heads(), take=Only(units=(0,)))
    assert [site.path for site in selected(interface, step).sites] == ["blocks.1.attn"]
