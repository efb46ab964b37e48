"""Low-rank adapters: exact when they come, exact when they go, and nothing else moves."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.modules.insertion import detach, insert
from surgery_dsl.modules.low_rank_adapter import LowRankAdapter
from surgery_dsl.vocabulary.transforms.bottleneck import Bottleneck
from surgery_dsl.vocabulary.transforms.int8 import Int8
from surgery_dsl.vocabulary.transforms.lora import Lora
from surgery_dsl.vocabulary.transforms.merge import Merge
from tests.unit.transforms.bench import Bench, linear, module, spec
from tests.unit.transforms.networks import NETWORKS, Mlp, drawn, inputs_of


class Transposed(nn.Module):
    """A layer that stores its weight as (in, out), as Hugging Face's Conv1D does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = _Conv1D(6, 8), _Conv1D(5, 6)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(F.relu(self.first(x)))
        return y


class _Conv1D(nn.Module):
    def __init__(self, out: int, read: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(read, out)), nn.Parameter(torch.empty(out))
        self.out = out

    def forward(self, x: Tensor) -> Tensor:
        shape = (*x.shape[:-1], self.out)
        return torch.addmm(self.bias, x.view(-1, x.shape[-1]), self.weight).view(shape)


class TiedHead(nn.Module):
    """Token numbers to logits through one matrix, read twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.body = nn.Linear(6, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        y: Tensor = self.head(torch.tanh(self.body(self.embed(tokens))))
        return y


def awake(bench: Bench, seed: int = 3) -> None:
    """Give every update something to say."""
    generator = torch.Generator().manual_seed(seed)
    for one in bench.model.modules():
        if isinstance(one, LowRankAdapter):
            with torch.no_grad():
                one.up.weight.copy_(torch.randn(one.up.weight.shape, generator=generator).to(one.up.weight.dtype))


def bench_of(name: str, dtype: torch.dtype = torch.float64) -> tuple[Bench, Tensor]:
    factory, inputs = NETWORKS[name]
    inputs = tuple(one.replaced(dtype={torch.float64: "f64", torch.float32: "f32"}[dtype]) for one in inputs)
    return Bench(drawn(factory(), dtype=dtype), inputs), inputs_of(inputs, dtype)


def outputs(bench: Bench, x: Tensor) -> Tensor:
    with torch.no_grad():
        y: Tensor = bench.model(x)
    return y


LINEAR = ["mlp", "residual", "sequence", "normed", "concatenated"]


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_an_adapter_starts_exact_and_merges_exact(name: str, dropout: float) -> None:
    bench, x = bench_of(name)
    classes = {path: type(one) for path, one in bench.model.named_modules()}
    names = set(bench.model.state_dict())
    before = outputs(bench, x)
    put = bench.step(Lora(rank=2, alpha=4, dropout=dropout), "at", linear("**"), name="adapters")
    assert (put.codes, put.differences, put.effect.function) == ([], (), "exact")
    assert torch.equal(outputs(bench, x), before)
    assert {name for name in bench.model.state_dict() if name not in names} == put.effect.creates
    awake(bench)
    tuned = outputs(bench, x)
    assert not torch.allclose(tuned, before)
    folded = bench.step(Merge(), "at", module("**.adapters"), name="merged")
    assert (folded.codes, folded.differences, folded.effect.function) == ([], (), "exact")
    torch.testing.assert_close(outputs(bench, x), tuned, rtol=1e-12, atol=1e-12)
    assert {path: type(one) for path, one in bench.model.named_modules()} == classes
    assert set(bench.model.state_dict()) == names


@pytest.mark.parametrize("name", LINEAR)
def test_a_reload_replays_adapters_and_merges(name: str) -> None:
    bench, x = bench_of(name)
    bench.step(Lora(rank=2), "at", linear("**"), name="adapters")
    awake(bench)
    factory = NETWORKS[name][0]
    assert torch.equal(bench.replayed(factory)(x), bench.model(x))
    bench.step(Merge(), "at", module("**.adapters"), name="merged")
    assert torch.equal(bench.replayed(factory)(x), bench.model(x))


def test_the_update_is_the_papers() -> None:
    bench, x = bench_of("mlp")
    layer = bench.model.get_submodule("hidden.0")
    assert isinstance(layer, nn.Linear)
    weight, bias = layer.weight.detach().clone(), layer.bias.detach().clone()
    bench.step(Lora(rank=3, alpha=6), "at", linear("hidden.0"), name="adapters")
    awake(bench)
    adapter = layer.get_submodule("adapters")
    assert isinstance(adapter, LowRankAdapter)
    delta = 6 / 3 * adapter.up.weight.detach() @ adapter.down.weight.detach()
    torch.testing.assert_close(layer(x), x @ (weight + delta).T + bias, rtol=1e-12, atol=1e-12)
    bench.step(Merge(), "at", module("hidden.0.adapters"), name="merged")
    torch.testing.assert_close(layer.weight.detach(), weight + delta, rtol=1e-12, atol=1e-12)


def test_weights_that_are_stored_transposed() -> None:
    bench = Bench(drawn(Transposed()), spec("N", 4, 8, dtype="f64"))
    x = torch.randn(3, 4, 8, dtype=torch.float64)
    before = outputs(bench, x)
    put = bench.step(Lora(rank=2), "at", linear("**"), name="adapters")
    assert (put.codes, put.differences) == ([], ())
    assert torch.equal(outputs(bench, x), before)
    awake(bench)
    tuned = outputs(bench, x)
    folded = bench.step(Merge(), "at", module("**.adapters"), name="merged")
    assert (folded.codes, folded.differences) == ([], ())
    torch.testing.assert_close(outputs(bench, x), tuned, rtol=1e-12, atol=1e-12)


def test_two_adapters_on_one_layer_merge_in_any_order() -> None:
    for order in (("one", "two"), ("two", "one")):
        bench, x = bench_of("mlp")
        bench.step(Lora(rank=2, seed=1), "at", linear("hidden.*"), name="one")
        bench.step(Lora(rank=3, seed=2), "at", linear("hidden.*"), name="two")
        awake(bench)
        tuned = outputs(bench, x)
        for name in order:
            folded = bench.step(Merge(), "at", module(f"**.{name}"), name=f"merge_{name}")
            assert (folded.codes, folded.differences) == ([], ())
            torch.testing.assert_close(outputs(bench, x), tuned, rtol=1e-12, atol=1e-12)
        assert not any(isinstance(one, LowRankAdapter) for one in bench.model.modules())


def test_merging_in_half_precision_rounds_each_entry_once() -> None:
    bench = Bench(drawn(Mlp(), dtype=torch.bfloat16), spec("N", *NETWORKS["mlp"][1][0].dims[1:], dtype="bf16"))
    layer = bench.model.get_submodule("hidden.0")
    bench.step(Lora(rank=2), "at", linear("hidden.0"), name="adapters")
    awake(bench)
    adapter = layer.get_submodule("adapters")
    assert isinstance(adapter, LowRankAdapter)
    assert isinstance(layer, nn.Linear)
    exact = layer.weight.detach().double() + adapter.up.weight.detach().double() @ adapter.down.weight.detach().double()
    bench.step(Merge(), "at", module("hidden.0.adapters"), name="merged")
    assert layer.weight.dtype is torch.bfloat16
    assert bool(((layer.weight.detach().double() - exact).abs() <= 2**-8 * exact.abs() + 1e-6).all())


# ---- ties --------------------------------------------------------------------------------------------------------


def tied_bench() -> tuple[Bench, Tensor]:
    model = drawn(TiedHead())
    model.head.weight = model.embed.weight  # type: ignore[union-attr]
    return Bench(model, spec("N", 5, dtype="i64", name="tokens")), torch.arange(10).view(2, 5)


def test_a_tied_weight_needs_a_word() -> None:
    bench, _ = tied_bench()
    refused = bench.step(Lora(rank=2), "at", linear("head"), name="adapters")
    assert refused.codes == ["tied-tensor"]


def test_a_tie_that_is_kept_is_cut_or_shared_by_the_merge() -> None:
    results: dict[str, Callable[[Tensor], Tensor]] = {}
    for tie, function in (("untie", "exact"), ("keep", "changing")):
        bench, tokens = tied_bench()
        put = bench.step(Lora(rank=2), "at", linear("head"), name="adapters", tie="keep")
        assert (put.codes, put.differences) == ([], ())
        awake(bench)
        tuned = outputs(bench, tokens)
        assert bench.step(Merge(), "at", module("head.adapters"), name="merged").codes == ["tied-tensor"]
        folded = bench.step(Merge(), "at", module("head.adapters"), name="merged", tie=tie)
        assert (folded.codes, folded.differences, folded.effect.function) == ([], (), function)
        assert torch.allclose(outputs(bench, tokens), tuned) == (function == "exact")
        shared = bench.model.get_parameter("head.weight") is bench.model.get_parameter("embed.weight")
        assert shared == (tie == "keep")
        results[tie] = bench.model
    assert len(results) == 2


def test_a_tie_that_is_cut_when_the_adapter_comes_stays_cut() -> None:
    bench, tokens = tied_bench()
    before = outputs(bench, tokens)
    put = bench.step(Lora(rank=2), "at", linear("head"), name="adapters", tie="untie")
    assert (put.codes, put.differences) == ([], ())
    assert torch.equal(outputs(bench, tokens), before)
    awake(bench)
    tuned = outputs(bench, tokens)
    assert bench.step(Merge(), "at", module("head.adapters"), name="merged").codes == []
    torch.testing.assert_close(outputs(bench, tokens), tuned, rtol=1e-12, atol=1e-12)


# ---- what is refused ---------------------------------------------------------------------------------------------


def test_a_rank_above_the_narrower_side_is_refused_with_the_most() -> None:
    bench, _ = bench_of("mlp")
    narrow = min(bench.model.get_parameter("hidden.0.weight").shape)
    refused = bench.step(Lora(rank=narrow + 1), "at", linear("hidden.0"), name="adapters")
    assert refused.codes == ["rank-too-high"]
    assert str(narrow) in refused.found[0].help
    assert bench.step(Lora(rank=narrow), "at", linear("hidden.0"), name="adapters").codes == []


def test_a_layer_with_something_else_inside_is_refused() -> None:
    bench, _ = bench_of("residual")
    assert bench.step(Bottleneck(width=2), "after", linear("stem"), name="branch").codes == []
    assert bench.step(Lora(rank=2), "at", linear("stem"), name="adapters").codes == ["site-does-not-fit"]


def test_only_adapters_are_merged() -> None:
    bench, _ = bench_of("mlp")
    assert bench.step(Merge(), "at", module("hidden.0"), name="merged").codes == ["site-does-not-fit"]


def test_nothing_is_merged_into_integers() -> None:
    """The update would be rounded to steps of the integers' scale: merge first, quantize then."""
    bench, x = bench_of("mlp", torch.float32)
    bench.step(Lora(rank=2), "at", linear("hidden.0"), name="adapters")
    awake(bench)
    merged_first = bench_of("mlp", torch.float32)[0]
    merged_first.step(Lora(rank=2), "at", linear("hidden.0"), name="adapters")
    awake(merged_first)
    assert bench.step(Int8(), "at", linear("hidden.0"), name="small").codes == []
    refused = bench.step(Merge(), "at", module("hidden.0.adapters"), name="merged")
    assert refused.codes == ["site-does-not-fit"]
    assert "then quantize" in refused.found[0].help
    wanted = outputs(merged_first, x)
    for word, place in ((Merge(), module("hidden.0.adapters")), (Int8(), linear("hidden.0"))):
        assert merged_first.step(word, "at", place, name=type(word).__name__.lower()).codes == []
    assert float((outputs(merged_first, x) - wanted).abs().max() / wanted.abs().max()) < 0.05


# ---- the module itself -------------------------------------------------------------------------------------------


def test_dropout_acts_in_training_alone_and_on_the_update_alone() -> None:
    torch.manual_seed(0)
    adapter = LowRankAdapter(8, 6, 4, scale=2.0, dropout=0.5)
    x, result = torch.randn(64, 8), torch.randn(64, 6)
    adapter.eval()
    with torch.no_grad():
        still = adapter(result, x)
        torch.testing.assert_close(still, result + 2.0 * adapter.up(adapter.down(x)))
        adapter.train()
        assert not torch.equal(adapter(result, x), still)
        adapter.up.weight.zero_()
        assert torch.equal(adapter(result, x), result)


def test_a_host_without_children_is_of_its_own_class_again() -> None:
    host = nn.Linear(3, 3)
    insert(host, "one", "after", nn.Identity())
    insert(host, "two", "after", nn.Identity())
    detach(host, "one")
    assert type(host) is not nn.Linear
    detach(host, "two")
    assert type(host) is nn.Linear
    with pytest.raises(ValueError, match="no child named 'two'"):
        detach(host, "two")
