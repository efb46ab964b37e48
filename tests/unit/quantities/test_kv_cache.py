"""``kv_cache_bytes`` against the caches that transformers fill, and what cuts of heads prove of it."""

from typing import Any

import pytest
import torch
from torch import nn

from surgery_dsl.interface.attention import attentions
from surgery_dsl.interface.flow import Flow
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Extent, Interface
from surgery_dsl.proof.check import CheckReport, check
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.quantities.kv_cache_bytes import KvCacheBytes
from surgery_dsl.vocabulary.sites.attention import Attention
from tests.unit.proof.builders import finding, lock, plan
from tests.unit.quantities.bench import Bench, static

T = pytest.importorskip("transformers")

SIZES: dict[str, Any] = {"vocab_size": 61, "hidden_size": 56, "intermediate_size": 20, "num_hidden_layers": 2}
NONE: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}
GPT: dict[str, Any] = {"vocab_size": 61, "n_positions": 32, "n_embd": 24, "n_layer": 3, "n_head": 4}


def llama(kv: int = 2, **more: Any) -> nn.Module:
    config = T.LlamaConfig(**SIZES, **NONE, num_attention_heads=14, num_key_value_heads=kv, **more)
    return T.LlamaForCausalLM(config)


NETWORKS = {
    "grouped": llama,
    "written out": lambda: llama(attn_implementation="eager"),
    "multi-query": lambda: llama(1),
    "a key for every query": lambda: llama(14),
    "bfloat": lambda: llama().to(torch.bfloat16),
    "heads of their own width": lambda: llama(head_dim=6),
    "fused projections": lambda: T.GPT2LMHeadModel(T.GPT2Config(**GPT, **NONE)),
    "multi-query, fused": lambda: T.GPTBigCodeForCausalLM(T.GPTBigCodeConfig(**GPT, **NONE, multi_query=True)),
}


def interface_of(model: nn.Module) -> Interface:
    tokens = InputSpec(name="input_ids", dtype="i64", dims=("B", "T"), below=61)
    return trace(model.eval(), (tokens,))


def cached(model: nn.Module, sequences: int, tokens: int) -> int:
    """What a forward leaves in the cache, in bytes."""
    with torch.no_grad():
        cache = model(torch.zeros(sequences, tokens, dtype=torch.long), use_cache=True).past_key_values
    assert isinstance(cache, T.DynamicCache)
    return sum(one.numel() * one.element_size() for layer in cache.layers for one in (layer.keys, layer.values))


@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_what_a_dynamic_cache_holds(name: str) -> None:
    model = NETWORKS[name]()
    interface = interface_of(model)
    for sequences, tokens in ((1, 1), (3, 7)):
        word = KvCacheBytes(sequences=sequences, tokens=tokens)
        low, high = word.bounds(interface, static(interface))
        assert low == high
        assert low.value == word.measure(model, interface, Bench(model)) == cached(model, sequences, tokens)


def test_fewer_tokens_fit_a_window_and_other_bytes_a_dtype() -> None:
    model = llama()
    interface = interface_of(model)
    whole = cached(model, 1, 8)
    for word, expected in (
        (KvCacheBytes(tokens=100, window=8), whole),
        (KvCacheBytes(tokens=8, window=100), whole),
        (KvCacheBytes(tokens=8, dtype="bf16"), whole // 2),
        (KvCacheBytes(tokens=8, dtype="i8"), whole // 4),
        (KvCacheBytes(tokens=8, at=Attention(pattern="model.layers.1.self_attn")), whole // 2),
    ):
        assert word.bounds(interface, static(interface))[0].value == expected


def test_layers_that_read_the_same_keys_share_them() -> None:
    class Shared(nn.Module):
        """The second attention asks the keys and values of the first."""

        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v, self.r = (nn.Linear(8, 8) for _ in range(4))
            self.out, self.last = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            n, t, _ = x.shape
            k, v = (layer(x).view(n, t, 2, 4).transpose(1, 2) for layer in (self.k, self.v))
            for query, out in ((self.q, self.out), (self.r, self.last)):
                q = query(x).view(n, t, 2, 4).transpose(1, 2)
                x = x + out(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, 8))
            return x

    interface = trace(Shared().eval(), (InputSpec(name="x", dtype="f32", dims=("N", 5, 8)),))
    assert len(attentions(Flow(interface))) == 2
    assert KvCacheBytes().bounds(interface, static(interface))[0].value == 4 * (8 + 8)


# ---- proofs ------------------------------------------------------------------------------------------------------

HEAD = """surg 1

model net {
  load = python("llama:build")
  input = input_ids("i64", [B, T])
}
"""


def report(body: str, interface: Interface) -> CheckReport:
    return check(plan(body, HEAD), lock(interface))


CUT = """
identify weak {
  in = attention("**")
  unit = UNIT
  by = magnitude(p = 1)
  take = TAKE
}
excise weak { mode = remove }
control c {
  prove kv_cache_bytes(T = 4096, dtype = "bf16") LIMIT * base.kv_cache_bytes(T = 4096, dtype = "bf16")
}
"""


@pytest.mark.parametrize(
    ("unit", "take", "limit", "status"),
    [
        ("kv_groups", "lowest(50%)", "<= 0.5", "proved"),
        ("kv_groups", "lowest(50%)", "<= 0.49", "refuted"),
        ("heads", "lowest(50%)", "== 1", "proved"),
        ("kv_groups", "below(0.5)", "<= 1", "proved"),
        ("kv_groups", "below(0.5)", "<= 0.99", "refuted"),
        ("kv_groups", "below(0.5)", ">= 0.25", "proved"),
    ],
)
def test_groups_cut_the_cache_and_queries_do_not(unit: str, take: str, limit: str, status: str) -> None:
    interface = interface_of(llama(2))
    body = CUT.replace("UNIT", unit).replace("TAKE", take).replace("LIMIT", limit)
    found = report(body, interface)
    assert [v.status for v in found.verdicts if v.verb == "prove"] == [status], [d.message for d in found.diagnostics]


def test_an_open_count_of_groups_is_a_polynomial_with_the_cuts_as_values() -> None:
    model = llama(2)
    interface = interface_of(model)
    axes = {a for one in attentions(Flow(interface)) for a in one.shared}
    opened = interface.replaced(
        axes=tuple(a.replaced(size=Extent(least=1, most=2)) if a.id in axes else a for a in interface.axes)
    )
    low, _ = KvCacheBytes(tokens=5).bounds(opened, static(opened))
    assert low.axes == axes
    for kv in (1, 2):
        sizes = dict.fromkeys(axes, kv)
        assert low.substitute(sizes.get).value == cached(llama(kv, head_dim=4), 1, 5)


def test_a_network_without_attentions_keeps_nothing_and_is_told() -> None:
    from tests.unit.proof.builders import checked

    found = finding(checked("control c {\n  prove kv_cache_bytes(T = 8) <= 1GiB\n}\n"), "sites-do-not-fit")
    assert "this network has none" in found.message
