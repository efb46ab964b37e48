"""Layers of real architectures dropped, kept and repeated: predicted as traced, equal to what the host builds."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.draft import Draft
from surgery_dsl.interface.model import Interface
from surgery_dsl.run.changes import carry_out, replay
from surgery_dsl.run.transaction import Transaction
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.context import Change, Effect, Place
from surgery_dsl.vocabulary.modes.remove import Remove
from surgery_dsl.vocabulary.selection import Picked, Selection
from surgery_dsl.vocabulary.sites.module import Module
from surgery_dsl.vocabulary.takes.only import Only
from surgery_dsl.vocabulary.transforms.repeat import Repeat
from surgery_dsl.vocabulary.units.modules import Modules
from tests.unit.layers.families import FAMILIES, FREE, Family
from tests.unit.selection.bench import Bench, block, selected, static

pytest.importorskip("transformers")
torch.set_num_threads(1)


def traced(family: Family, model: nn.Module) -> Interface:
    return trace(model, family.inputs, None, FREE)


def dropped(family: Family, interface: Interface, *gone: int) -> tuple[Selection, Effect, Interface, Sink]:
    step = block(Module(pattern=f"{family.path}.*"), unit=Modules(), take=Only(units=gone))
    selection = selected(interface, step).replaced(indices=(gone,))
    context, draft = static(interface), Draft(interface)
    effect = Remove().transfer(selection, draft, context)
    return selection, effect, draft.finish(), context.sink


def carried_out(model: nn.Module, interface: Interface, word: Any, on: Any) -> list[Change]:
    changes = list(word.execute(on, Bench(model, interface)))
    for change in changes:
        carry_out(model, change)
    return changes


def outputs(family: Family, model: nn.Module) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    if family.inputs[0].dtype == "f32":
        given: dict[str, torch.Tensor] = {"pixel_values": torch.randn(2, 3, 16, 16, generator=generator)}
    else:
        given = {spec.name: torch.randint(3, 101, (2, 7), generator=generator) for spec in family.inputs}
    with torch.no_grad():
        result: torch.Tensor = model(**given)[0]
    return result


def assert_caches(model: Any) -> None:
    """Generation with a cache gives what generation without one gives."""
    ids = torch.randint(3, 101, (2, 9), generator=torch.Generator().manual_seed(2))
    settings = {"max_new_tokens": 8, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    mask = torch.ones_like(ids)
    with torch.no_grad():
        one, two = (model.generate(ids, attention_mask=mask, use_cache=on, **settings) for on in (True, False))
    assert torch.equal(one.sequences, two.sequences)
    for mine, theirs in zip(one.logits, two.logits, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def assert_is(family: Family, model: nn.Module, original: nn.Module, order: tuple[int, ...]) -> None:
    """A network is what its host builds at that depth, and its config says so."""
    fresh = family.rebuilt(original, order)
    assert torch.equal(outputs(family, model), outputs(family, fresh))
    assert {n: p.shape for n, p in model.named_parameters()} == {n: p.shape for n, p in fresh.named_parameters()}
    assert getattr(model.config, family.depth) == len(order)
    for name, items in family.each.items():
        assert getattr(model.config, name) == [items[number] for number in order]
    for path, module in fresh.named_modules():
        if hasattr(module, "layer_idx"):
            assert model.get_submodule(path).layer_idx == module.layer_idx, path
    if family.generates:
        assert_caches(model)


@pytest.mark.parametrize("gone", [(1,), (1, 2)])
@pytest.mark.parametrize("name", FAMILIES)
def test_dropped_layers(name: str, gone: tuple[int, ...]) -> None:
    family = FAMILIES[name]
    model = family.build()
    original = copy.deepcopy(model)
    interface = traced(family, model)
    selection, effect, predicted, sink = dropped(family, interface, *gone)
    assert sink.found == ()
    assert effect.changed == len(gone)
    picked = Picked(selection, (gone,))
    changes = carried_out(model, interface, Remove(), picked)
    assert differences(predicted, traced(family, model)) == ()
    order = tuple(number for number in range(4) if number not in gone)
    assert_is(family, model, original, order)
    # the host's config was anybody's: it stays as it was
    assert getattr(original.config, family.depth) == 4
    skeleton = family.build()
    replay(skeleton, [change.edit for change in changes if change.edit])
    skeleton.load_state_dict(model.state_dict())
    assert torch.equal(outputs(family, skeleton), outputs(family, model))


@pytest.mark.parametrize("order", ["each", "block"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2", "bart decoder", "bert"])
def test_repeated_layers(name: str, order: str) -> None:
    family = FAMILIES[name]
    model = family.build()
    original = copy.deepcopy(model)
    interface = traced(family, model)
    word = Repeat(order=order)  # type: ignore[arg-type]
    sites = Module(pattern=f"{family.path}.{{1,2}}").resolve(interface, static(interface))
    place = Place("after", tuple(sites), name="again")
    context, draft = static(interface), Draft(interface)
    effect = word.transfer(place, draft, context)
    assert context.sink.found == ()
    carried_out(model, interface, word, place)
    after = traced(family, model)
    assert differences(draft.finish(), after) == ()
    assert set(effect.brings) <= set(after.module_by_path)
    assert_is(family, model, original, {"each": (0, 1, 1, 2, 2, 3), "block": (0, 1, 2, 1, 2, 3)}[order])


def test_copies_may_share_their_parameters() -> None:
    family = FAMILIES["llama"]
    model = family.build()
    interface = traced(family, model)
    sites = Module(pattern="model.layers.2").resolve(interface, static(interface))
    place = Place("after", tuple(sites), name="again", tie="keep")
    draft = Draft(interface)
    Repeat().transfer(place, draft, static(interface))
    before = sum(p.numel() for p in model.parameters())
    carried_out(model, interface, Repeat(), place)
    assert differences(draft.finish(), traced(family, model)) == ()
    assert sum(p.numel() for p in model.parameters()) == before
    assert [model.get_submodule(f"model.layers.{i}.self_attn").layer_idx for i in range(5)] == [0, 1, 2, 3, 4]
    assert_caches(model)


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_the_block_that_holds_the_relative_bias_of_all_stays(side: str) -> None:
    family = FAMILIES[f"t5 {side}"]
    interface = traced(family, family.build())
    _, _, _, sink = dropped(family, interface, 0)
    (found,) = sink.found
    assert found.code.name == "read-elsewhere"
    assert found.path == f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"


def test_a_rollback_brings_back_layers_and_config() -> None:
    family = FAMILIES["gemma2"]
    model = family.build()
    interface = traced(family, model)
    selection, *_ = dropped(family, interface, 1)
    before, config, kinds = outputs(family, model), model.config, list(model.config.layer_types)
    with Transaction(model) as transaction:
        for change in Remove().execute(Picked(selection, ((1,),)), Bench(model, interface)):
            carry_out(model, change, transaction)
        assert len(model.config.layer_types) == 3
        transaction.rollback()
    assert model.config is config
    assert (config.num_hidden_layers, config.layer_types) == (4, kinds)
    assert torch.equal(outputs(family, model), before)
    assert_caches(model)
