"""``peak_memory`` against the live tensors of real forwards, seen by a dispatch mode, and against brute force."""

import random
import weakref
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter

from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import Extent, Interface
from surgery_dsl.proof.bookkeeping import extremes
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.quantities._liveness import held
from surgery_dsl.vocabulary.quantities.peak_memory import PeakMemory
from tests.unit.proof.builders import chain, checked, finding
from tests.unit.quantities.bench import Bench, static

T = pytest.importorskip("transformers")

LEAST, MOST = 0.65, 1.02
"""The estimate lies between these shares of what is measured on the CPU."""

SIZES: dict[str, Any] = {"vocab_size": 61, "hidden_size": 64, "num_hidden_layers": 3, "intermediate_size": 128}
NONE: dict[str, Any] = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None, "use_cache": False}
HEADS: dict[str, Any] = {"num_attention_heads": 8, "num_key_value_heads": 2}
TOKENS = InputSpec(name="input_ids", dtype="i64", dims=("B", "T"), below=61)
PIXELS = InputSpec(name="pixel_values", dtype="f32", dims=("N", 3, 32, 32))


class Live(TorchDispatchMode):
    """Adds up the bytes of all storages that operators brought in and that are still there."""

    def __init__(self, known: set[int]) -> None:
        super().__init__()
        self.known, self.sizes, self.peak = known, dict[int, int](), 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_iter(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.sizes and storage._cdata not in self.known:
                    self.sizes[storage._cdata] = storage.nbytes()
                    weakref.finalize(storage, self.sizes.pop, storage._cdata, 0)
        self.peak = max(self.peak, sum(self.sizes.values()))
        return result


def measured(model: nn.Module, inputs: Tensor) -> int:
    storages = {
        t.untyped_storage()._cdata: t.untyped_storage() for t in (*model.parameters(), *model.buffers(), inputs)
    }
    mode = Live(set(storages))
    with torch.no_grad(), mode:
        model(inputs)
    return sum(storage.nbytes() for storage in storages.values()) + mode.peak


def estimate(interface: Interface, **fields: Any) -> int:
    low, high = PeakMemory(**fields).bounds(interface, static(interface))
    assert low == high
    assert low.value is not None
    return low.value


class Perceptron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 256), nn.Linear(256, 256), nn.Linear(256, 10)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)


def resnet() -> nn.Module:
    sizes: dict[str, Any] = {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [2, 2], "layer_type": "basic"}
    return T.ResNetForImageClassification(T.ResNetConfig(**sizes))


def vit() -> nn.Module:
    sizes: dict[str, Any] = {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128}
    return T.ViTModel(T.ViTConfig(**sizes, num_attention_heads=4, image_size=32, patch_size=8))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], InputSpec]] = {
    "perceptron": (Perceptron, InputSpec(name="x", dtype="f32", dims=("N", 64))),
    "chain": (
        lambda: nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 10)),
        InputSpec(name="x", dtype="f32", dims=("N", 64)),
    ),
    "llama": (lambda: T.LlamaForCausalLM(T.LlamaConfig(**SIZES, **NONE, **HEADS)), TOKENS),
    "llama, written out": (
        lambda: T.LlamaForCausalLM(T.LlamaConfig(**SIZES, **NONE, **HEADS, attn_implementation="eager")),
        TOKENS,
    ),
    "gpt2": (
        lambda: T.GPT2LMHeadModel(T.GPT2Config(vocab_size=61, n_positions=64, n_embd=64, n_layer=3, n_head=4, **NONE)),
        TOKENS,
    ),
    "bert": (lambda: T.BertModel(T.BertConfig(**SIZES, num_attention_heads=4)), TOKENS),
    "mixtral": (lambda: T.MixtralForCausalLM(T.MixtralConfig(**SIZES, **NONE, **HEADS, num_local_experts=4)), TOKENS),
    "vit": (vit, PIXELS),
    "resnet": (resnet, PIXELS),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_estimate_is_near_what_a_forward_holds(name: str) -> None:
    build, spec = NETWORKS[name]
    model = build().eval()
    interface = trace(model, (spec,))
    for first, second in ((1, 32), (4, 64)):
        sizes = {str(d): n for d, n in zip([d for d in spec.dims if isinstance(d, str)], (first, second), strict=False)}
        shape = [sizes[d] if isinstance(d, str) else d for d in spec.dims]
        inputs = torch.zeros(shape, dtype=torch.int64 if spec.dtype == "i64" else torch.float32)
        ratio = estimate(interface, sizes=sizes) / measured(model, inputs)
        assert LEAST <= ratio <= MOST, ratio


def test_a_chain_is_counted_to_the_byte() -> None:
    build, spec = NETWORKS["chain"]
    model = build().eval()
    interface = trace(model, (spec,))
    for n in (1, 7, 64):
        assert estimate(interface, sizes={"N": n}) == measured(model, torch.zeros(n, 64))


def test_another_dtype_halves_what_is_real() -> None:
    interface = trace(NETWORKS["chain"][0]().eval(), (NETWORKS["chain"][1],))
    assert 2 * estimate(interface, sizes={"N": 5}, dtype="bf16") == estimate(interface, sizes={"N": 5})


def test_tied_tensors_and_buffers_count_once_and_whole() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
            self.second.weight = self.first.weight
            self.register_buffer("table", torch.ones(8), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x) * self.table)

    interface = trace(Tied().eval(), (InputSpec(name="x", dtype="f32", dims=("N", 8)),))
    assert estimate(interface, sizes={"N": 1}) == 4 * (64 + 8 + 3 * 8)


def test_lives_are_those_of_looking_at_every_operator() -> None:
    """Brute force: what is written by then and read from then on is held."""
    interface = chain((8, 16, 12, 4))
    end = len(interface.operators)
    found = {one.value: (one.first, one.last) for one in held(interface)}
    for value in range(len(interface.values)):
        written = next((at for at, op in enumerate(interface.operators) if value in op.outputs), -1)
        reads = [at for at, op in enumerate(interface.operators) if value in op.inputs]
        contract = value in {port.value for port in (*interface.inputs, *interface.outputs)}
        assert found[value] == (written, end if contract else max(reads))


# ---- proofs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_every_outcome_lies_between_the_bounds(seed: int) -> None:
    draw = random.Random(seed)
    widths = [8, *(draw.randint(2, 6) for _ in range(3)), 4]
    whole = chain(widths)
    opened = whole.replaced(
        axes=tuple(a.replaced(size=Extent(least=1, most=a.size)) if 2 <= a.id <= 4 else a for a in whole.axes)
    )
    low, high = PeakMemory(sizes={"N": 3}).bounds(opened, static(opened))
    least, most = extremes(opened, low)[0], extremes(opened, high)[1]
    seen = [estimate(chain([8, *kept, 4]), sizes={"N": 3}) for kept in product(*(range(1, n + 1) for n in widths[1:4]))]
    assert (least, most) == (min(seen), max(seen))


SLIM = """
identify weak {
  in = linear("hidden.*")
  unit = channels
  by = magnitude(p = 1)
  take = lowest(50%)
  per = PER
  floor = 3
}
excise weak { mode = remove }
control c {
  prove peak_memory(N = 4) <= LIMIT
}
"""


@pytest.mark.parametrize(("per", "over", "status"), [("site", 0, "proved"), ("site", -1, "refuted")])
def test_an_exact_outcome_is_decided_to_the_byte(per: str, over: int, status: str) -> None:
    limit = estimate(chain((8, 8, 6, 4)), sizes={"N": 4}) + over
    report = checked(SLIM.replace("PER", per).replace("LIMIT", f"{limit / 1024}KiB"))
    assert [v.status for v in report.verdicts if v.verb == "prove"] == [status]


def test_an_open_outcome_is_never_proved_below_one_that_exists() -> None:
    outcomes = [estimate(chain((8, a, 14 - a, 4)), sizes={"N": 4}) for a in range(3, 12)]
    for limit in range(min(outcomes) - 40, max(outcomes) + 400, 16):
        report = checked(SLIM.replace("PER", "global").replace("LIMIT", f"{limit / 1024}KiB"))
        (verdict,) = [v for v in report.verdicts if v.verb == "prove"]
        assert verdict.status != "proved" or limit >= max(outcomes)
        assert verdict.status != "refuted" or limit < max(outcomes)
    assert verdict.status == "proved"


def test_sizes_that_are_not_stated_are_asked_for_with_a_form_that_checks() -> None:
    found = finding(checked("control c {\n  prove peak_memory <= 1GiB\n}\n"), "missing-argument")
    assert found.help == "state it: `peak_memory(N = 1)`"
    fixed = checked("control c {\n  prove peak_memory(N = 1) <= 1GiB\n}\n")
    assert [v.status for v in fixed.verdicts if v.verb == "prove"] == ["proved"]


def test_it_is_measured_as_it_is_proved() -> None:
    build, spec = NETWORKS["chain"]
    model = build().eval()
    interface = trace(model, (spec,))
    word = PeakMemory(sizes={"N": 2})
    assert word.measure(model, interface, Bench(model)) == estimate(interface, sizes={"N": 2})
