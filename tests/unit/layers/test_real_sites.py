"""Modules exchanged inside real architectures: predicted as traced, at every kind of site that they have."""

from typing import Any

import pytest
import torch

from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.interface.canonical import differences
from surgery_dsl.interface.draft import Draft
from surgery_dsl.run.changes import carry_out
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.context import Place
from surgery_dsl.vocabulary.sites.gelu import Gelu as GeluSites
from surgery_dsl.vocabulary.sites.linear import Linear
from surgery_dsl.vocabulary.sites.module import Module
from surgery_dsl.vocabulary.sites.norm import Norm
from surgery_dsl.vocabulary.sites.relu import Relu as ReluSites
from surgery_dsl.vocabulary.sites.silu import Silu as SiluSites
from surgery_dsl.vocabulary.transforms.bottleneck import Bottleneck
from surgery_dsl.vocabulary.transforms.gelu import Gelu
from surgery_dsl.vocabulary.transforms.identity import Identity
from surgery_dsl.vocabulary.transforms.int8 import Int8
from surgery_dsl.vocabulary.transforms.relu import Relu
from surgery_dsl.vocabulary.transforms.svd import Svd
from tests.unit.layers.families import FAMILIES, FREE
from tests.unit.selection.bench import Bench, static

pytest.importorskip("transformers")
torch.set_num_threads(1)

CASES: list[tuple[str, Any, str, Any, int]] = [
    # family, transform, where, sites; how many are changed
    ("gpt2", Svd(rank=2), "at", Linear(pattern="transformer.h.*.attn.c_attn"), 4),
    ("gpt2", Int8(), "at", Linear(pattern="transformer.h.*.mlp.c_fc"), 4),
    ("gpt2", Relu(), "at", Module(pattern="transformer.h.*.mlp.act"), 4),
    ("bert", Relu(), "at", GeluSites(pattern="**"), 4),
    ("bert", Svd(rank=2), "at", Linear(pattern="encoder.**.query"), 4),
    ("bert", Identity(), "at", Norm(pattern="embeddings.LayerNorm"), 1),
    ("llama", Gelu(), "at", SiluSites(pattern="**"), 4),
    ("llama", Svd(rank=2), "at", Linear(pattern="model.layers.*.mlp.*_proj"), 12),
    ("llama", Identity(), "at", Norm(pattern="model.norm"), 1),
    ("llama", Bottleneck(width=4), "after", Module(pattern="model.layers.*.mlp"), 4),
    ("t5 encoder", Gelu(), "at", ReluSites(pattern="**"), 8),
    ("bart decoder", Relu(), "at", GeluSites(pattern="**"), 8),
    ("vit", Relu(), "at", GeluSites(pattern="**"), 4),
    ("gemma2", Relu(), "at", GeluSites(pattern="**"), 4),
]


@pytest.mark.parametrize(("name", "word", "where", "sites", "count"), CASES, ids=lambda case: str(case)[:40])
def test_a_module_of_a_real_architecture_is_exchanged(name: str, word: Any, where: Any, sites: Any, count: int) -> None:
    family = FAMILIES[name]
    model = family.build()
    interface = trace(model, family.inputs, None, FREE)
    context, draft = static(interface), Draft(interface)
    place = Place(where, tuple(sites.resolve(interface, context)), name="swap", scope="all")
    effect = word.transfer(place, draft, context)
    assert context.sink.found == ()
    assert effect.changed == count
    runtime = Bench(model, interface)
    runtime.sink = Sink()
    for change in word.execute(place, runtime):
        carry_out(model, change)
    assert differences(draft.finish(), trace(model, family.inputs, None, FREE)) == ()
