"""More heads, key/value groups and MLP width, and the same function."""

import copy

import pytest
import torch
from torch import nn

from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.model import Interface
from surgery_dsl.run.changes import carry_out
from surgery_dsl.vocabulary.context import Effect, Place
from surgery_dsl.vocabulary.kinds import SiteWord, Unit
from surgery_dsl.vocabulary.sites.attention import Attention as AttentionSite
from surgery_dsl.vocabulary.sites.experts import Experts as ExpertSites
from surgery_dsl.vocabulary.sites.mlp import Mlp
from surgery_dsl.vocabulary.transforms.widen import Widen
from surgery_dsl.vocabulary.units.experts import Experts
from surgery_dsl.vocabulary.units.heads import Heads
from surgery_dsl.vocabulary.units.kv_groups import KvGroups
from surgery_dsl.vocabulary.values import NumberArrow
from tests.unit.selection.bench import Bench, static, traced
from tests.unit.units import real
from tests.unit.units.bench import TRACED, assert_same, sequences
from tests.unit.units.networks import Attention, Layout, Stack, settled

EVERYWHERE = AttentionSite(pattern="**")


def trace(model: nn.Module) -> Interface:
    return traced(model, *TRACED, dtype="f64")


def planned(interface: Interface, site: SiteWord, word: Widen) -> tuple[Effect, Draft, Place, tuple[Diagnostic, ...]]:
    context = static(interface)
    place = Place(where="at", sites=site.resolve(interface, context), name="wider")
    draft = Draft(interface)
    return word.transfer(place, draft, context), draft, place, context.sink.found


def widened(model: nn.Module, interface: Interface, site: SiteWord, word: Widen) -> tuple[nn.Module, Interface, Effect]:
    effect, draft, place, found = planned(interface, site, word)
    assert found == (), [finding.message for finding in found]
    runtime = Bench(copy.deepcopy(model), interface)
    for change in word.execute(place, runtime):
        carry_out(runtime.model, change)
        with torch.no_grad():
            for name, values in change.tensors.items():
                runtime.tensor(name).copy_(values)
    return runtime.model, draft.finish(), effect


def more(left: int, right: int, unit: Unit | None = None) -> Widen:
    return Widen(width=NumberArrow(left=left, right=right), unit=unit)


@pytest.mark.parametrize("layout", ["separate", "behind", "selected", "interleaved"])
def test_heads_are_copied_in_every_layout(layout: Layout) -> None:
    model = settled(Stack(Attention(layout=layout)))
    wide, predicted, effect = widened(model, trace(model), EVERYWHERE, more(6, 9, Heads()))
    assert wide.blocks[0].attn.out.in_features == 27
    assert effect.function == "exact"
    assert_same(wide, model, sequences())
    assert differences(predicted, trace(wide)) == ()


@pytest.mark.parametrize(("unit", "left", "right", "rows"), [(KvGroups(), 2, 3, 27), (Heads(), 6, 8, 24)])
def test_grouped_queries_grow_by_groups_or_within_them(unit: Unit, left: int, right: int, rows: int) -> None:
    model = settled(Stack(Attention(heads=6, kv=2)))
    wide, predicted, _ = widened(model, trace(model), EVERYWHERE, more(left, right, unit))
    assert wide.blocks[0].attn.q.out_features == rows
    assert_same(wide, model, sequences())
    assert differences(predicted, trace(wide)) == ()


def test_the_width_of_a_fused_gate_grows_on_both_sides() -> None:
    model = settled(Stack(Attention(), gated=True))
    wide, predicted, _ = widened(model, trace(model), Mlp(pattern="**"), more(20, 26))
    assert wide.blocks[0].mlp.down.in_features == 13
    assert_same(wide, model, sequences())
    assert differences(predicted, trace(wide)) == ()


@pytest.mark.parametrize(("name", "unit", "left", "right"), [("llama", KvGroups(), 2, 3), ("gpt2", Heads(), 4, 5)])
def test_real_attentions_grow(name: str, unit: Unit, left: int, right: int) -> None:
    model = real.BUILDERS[name]()
    wide, predicted, _ = widened(model, real.traced(model), EVERYWHERE, more(left, right, unit))
    torch.testing.assert_close(real.outputs(wide), real.outputs(model), rtol=1e-9, atol=1e-9)
    assert differences(predicted, real.traced(wide)) == ()


def test_queries_that_do_not_share_out_are_refused() -> None:
    *_, found = planned(trace(settled(Stack(Attention(heads=6, kv=2)))), EVERYWHERE, more(6, 7, Heads()))
    assert [finding.code.id for finding in found] == ["SD224"]
    assert found[0].help == "write widen(6 -> 8)"


def test_a_choice_among_experts_would_notice_copies() -> None:
    *_, found = planned(real.traced(real.mixtral()), ExpertSites(pattern="**"), more(4, 6, Experts()))
    assert [finding.code.id for finding in found] == ["SD246"]
    assert "would be noticed" in found[0].message
