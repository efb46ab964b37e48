"""For every transform and several networks: what it predicts is what the tracer sees, and a reload gives the same."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from surgery_dsl.interface.frozen import OUTPUT
from surgery_dsl.vocabulary.initializers.orthogonal import Orthogonal
from surgery_dsl.vocabulary.kinds import SiteWord, Transform
from surgery_dsl.vocabulary.sites.conv2d import Conv2d
from surgery_dsl.vocabulary.sites.gelu import Gelu as GeluSites
from surgery_dsl.vocabulary.sites.relu import Relu as ReluSites
from surgery_dsl.vocabulary.transforms.bottleneck import Bottleneck
from surgery_dsl.vocabulary.transforms.deepen import Deepen
from surgery_dsl.vocabulary.transforms.gelu import Gelu
from surgery_dsl.vocabulary.transforms.identity import Identity
from surgery_dsl.vocabulary.transforms.int8 import Int8
from surgery_dsl.vocabulary.transforms.leaky_relu import LeakyRelu
from surgery_dsl.vocabulary.transforms.linear import Linear as NewLinear
from surgery_dsl.vocabulary.transforms.reinit import Reinit
from surgery_dsl.vocabulary.transforms.relu import Relu
from surgery_dsl.vocabulary.transforms.residual import Residual
from surgery_dsl.vocabulary.transforms.silu import Silu
from surgery_dsl.vocabulary.transforms.svd import Svd
from surgery_dsl.vocabulary.transforms.widen import Widen
from surgery_dsl.vocabulary.values import NumberArrow
from tests.unit.transforms.bench import Bench, Where, linear, module
from tests.unit.transforms.networks import NETWORKS, drawn, inputs_of

Case = tuple[str, Transform, Where, SiteWord, dict[str, Any]]


def widen(left: int, right: int, **options: Any) -> Widen:
    return Widen(width=NumberArrow(left=left, right=right), **options)


def relus(pattern: str = "**") -> SiteWord:
    return ReluSites(pattern=pattern)


def convs(pattern: str) -> SiteWord:
    return Conv2d(pattern=pattern)


def cases() -> list[Case]:
    found: list[Case] = []
    for name in NETWORKS:
        found += [
            (name, Gelu(approximate="tanh"), "at", relus(), {"scope": "all"}),
            (name, LeakyRelu(slope=0.2), "at", relus(), {"scope": "all"}),
            (name, Silu(), "at", relus(), {"scope": "all"}),
            (name, Deepen(), "after", relus(), {"scope": "all"}),
            (name, Deepen(act="identity"), "after", linear("**"), {}),
            (name, Deepen(act="gelu"), "after", module("head"), {}),
            (name, Bottleneck(width=3), "before", linear("head"), {}),
            (name, Bottleneck(width=3, act="silu", init="small"), "after", linear("**"), {}),
            (name, Svd(rank=2), "at", linear("**"), {"tie": "untie"}),
            (name, Int8(), "at", linear("**"), {"tie": "untie"}),
            (name, Int8(per="tensor", symmetric=False), "at", linear("**"), {"tie": "untie"}),
            (name, NewLinear(out=3), "at", linear("head"), {"changes": ["outputs"]}),
            (name, NewLinear(out=7, init=Orthogonal()), "at", linear("head"), {"changes": ["outputs"]}),
            (name, Reinit(), "at", linear("**"), {"tie": "keep"}),
        ]
    for gate, learned in ((0.0, True), (0.5, True), (0.5, False), (1.0, False)):
        for name, site in (
            ("mlp", linear("hidden.{1,2}")),
            ("mlp", relus()),
            ("cnn", relus()),
            ("sequence", linear("hidden.1")),
            ("tied", linear("{first,second}")),
            ("residual", module("blocks.*")),
            ("normed", module("norm")),
            ("grouped", convs("features.{2,5}")),
        ):
            scope = {"scope": "all"} if name == "residual" else {}
            found.append((name, Residual(gate=gate, learned=learned), "around", site, scope))
    for name, where in (("mlp", "hidden.{1,2}"), ("sequence", "hidden.1"), ("tied", "first"), ("normed", "norm")):
        found.append((name, Identity(), "at", module(where), {"tie": "untie"}))
    found += [
        ("tied", Identity(), "at", module("{first,second}"), {"tie": "untie"}),
        ("residual", Identity(), "at", module("blocks.0"), {}),
        ("grouped", Identity(), "at", convs("features.5"), {}),
        ("cnn", Identity(), "at", module("features.1"), {}),
        ("mlp", NewLinear(out=8), "at", linear("hidden.1"), {}),
        ("tied", NewLinear(out=8), "at", linear("first"), {"tie": "untie"}),
        ("tied", NewLinear(out=8), "at", linear("second"), {"tie": "untie"}),
        ("residual", NewLinear(out=8), "at", module("blocks.0"), {}),
        ("residual", NewLinear(out=8), "at", module("blocks.*"), {}),
        ("concatenated", NewLinear(out=8), "at", linear("left"), {}),
        ("sequence", Relu(), "at", GeluSites(pattern="**"), {}),
        ("mlp", widen(8, 13), "at", linear("hidden.0"), {}),
        ("mlp", widen(8, 13), "at", linear("hidden.*"), {}),
        ("mlp", widen(8, 9), "at", relus("act.0"), {}),
        ("cnn", widen(4, 7), "at", convs("features.0"), {}),
        ("cnn", widen(6, 9), "at", convs("features.3"), {}),
        ("residual", widen(8, 11), "at", linear("stem"), {}),
        ("residual", widen(10, 11), "at", linear("blocks.*.fc1"), {}),
        ("sequence", widen(8, 11), "at", linear("hidden.*"), {}),
        ("concatenated", widen(8, 9), "at", linear("{left,joint}"), {}),
        ("normed", widen(8, 9), "at", linear("body"), {}),
        ("grouped", widen(8, 12), "at", convs("features.0"), {}),
        ("grouped", widen(8, 12), "at", convs("features.2"), {}),
        ("grouped", widen(8, 12), "at", convs("features.5"), {}),
        ("grouped", widen(6, 12), "at", convs("features.7"), {}),
        ("tied", widen(8, 9), "at", linear("first"), {}),
        ("tied", Reinit(), "at", linear("first"), {"tie": "untie"}),
        ("tied", Reinit(), "at", linear("second"), {"tie": "untie"}),
        ("tied", Reinit(), "at", linear("{first,second}"), {"tie": "untie"}),
    ]
    return found


def label(case: Case) -> str:
    name, transform, where, site, _ = case
    return f"{name}-{transform.name}-{where}-{site.pattern}"  # type: ignore[attr-defined]


# Where features are not the last dimension, an adapter is refused; that is tested elsewhere.
CASES = [c for c in cases() if not (isinstance(c[1], Bottleneck) and c[0] in ("cnn", "grouped") and c[2] == "nowhere")]


@pytest.mark.parametrize("case", CASES, ids=label)
@pytest.mark.parametrize("dtype", ["f64"])
def test_prediction_equals_trace_and_reload_equals_result(case: Case, dtype: str) -> None:
    name, transform, where, site, options = case
    factory, inputs = NETWORKS[name]
    inputs = tuple(spec.replaced(dtype=dtype) for spec in inputs)
    bench = Bench(drawn(factory()), inputs)
    x = inputs_of(inputs)
    before = bench.model(x)
    tensors = {n: t.clone() for n, t in bench.model.state_dict().items()}
    outcome = bench.step(transform, where, site, **options)
    assert outcome.codes == [], [d.message for d in outcome.found]
    assert outcome.effect.changed == outcome.effect.matched > 0
    assert outcome.differences == ()
    after = bench.model(x)
    if outcome.effect.function == "exact":
        torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12)
    assert_only_declared_writes(outcome.effect, tensors, bench)
    reloaded = bench.replayed(factory)
    assert torch.equal(reloaded(x), after)


def assert_only_declared_writes(effect: Any, tensors: dict[str, torch.Tensor], bench: Bench) -> None:
    now = bench.model.state_dict()
    for name, old in tensors.items():
        new = now.get(effect.renamed.get(name, name))
        if name not in effect.writes:
            assert new is not None, f"{name} is gone and not declared"
            assert torch.equal(new, old), f"{name} has changed and is not declared"
    fresh = set(now) - {effect.renamed.get(name, name) for name in tensors}
    assert fresh <= effect.creates, fresh - effect.creates
    assert all(path in dict(bench.model.named_modules(remove_duplicate=False)) for path in effect.brings)


def test_new_axes_are_free_and_outputs_are_not() -> None:
    factory, inputs = NETWORKS["mlp"]
    bench = Bench(drawn(factory(), dtype=torch.float32), inputs)
    bench.step(Deepen(act="identity"), "after", module("head"))
    outcome = bench.step(Deepen(act="identity"), "after", module("act.2"), name="other")
    assert outcome.differences == ()
    weight = bench.interface.tensor_by_name["head.step.layer.weight"]
    (out,), (read,) = weight.dims
    assert bench.interface.axes[out].frozen == OUTPUT
    assert bench.interface.axes[read].frozen == ""
    other = bench.interface.tensor_by_name["act.2.other.layer.weight"]
    assert other.dims[0] != other.dims[1]


BUILDERS: list[Callable[[], tuple[Transform, Where, SiteWord, dict[str, Any]]]] = [
    lambda: (Deepen(), "after", module("act.0"), {"name": "deeper"}),
    lambda: (Gelu(), "at", module("act.0"), {"name": "acts"}),
    lambda: (Residual(gate=0.5), "around", module("hidden.1"), {"name": "skip"}),
    lambda: (Svd(rank=2), "at", linear("hidden.1"), {"name": "thin"}),
    lambda: (Bottleneck(width=2), "before", module("hidden.1"), {"name": "first"}),
    lambda: (Bottleneck(width=2), "after", module("hidden.1"), {"name": "second"}),
    lambda: (widen(8, 10), "at", linear("hidden.0"), {"name": "wide"}),
    lambda: (Int8(), "at", linear("hidden.2"), {"name": "q"}),
    lambda: (NewLinear(out=5), "at", linear("head"), {"name": "new", "changes": ["outputs"]}),
    lambda: (Identity(), "at", module("act.2"), {"name": "gone"}),
]


@pytest.mark.parametrize("order", [[*range(10)], [*reversed(range(10))], [4, 2, 5, 0, 3, 1, 9, 8, 7, 6]], ids=str)
def test_steps_follow_each_other(order: Any) -> None:
    factory, inputs = NETWORKS["mlp"]
    inputs = tuple(spec.replaced(dtype="f64") for spec in inputs)
    bench = Bench(drawn(factory()), inputs)
    for number in order:
        transform, where, site, options = BUILDERS[number]()
        outcome = bench.step(transform, where, site, **options)
        assert outcome.differences == (), (options["name"], outcome.differences)
    x = inputs_of(inputs)
    reloaded = bench.replayed(factory)
    assert torch.equal(reloaded(x), bench.model(x))
