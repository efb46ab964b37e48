"""Transforms over drawn networks and drawn sequences of steps: prediction, exactness, declared writes, reload."""

from typing import Any

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.vocabulary.transforms.bottleneck import Bottleneck
from surgery_dsl.vocabulary.transforms.deepen import Deepen
from surgery_dsl.vocabulary.transforms.gelu import Gelu
from surgery_dsl.vocabulary.transforms.identity import Identity
from surgery_dsl.vocabulary.transforms.int8 import Int8
from surgery_dsl.vocabulary.transforms.leaky_relu import LeakyRelu
from surgery_dsl.vocabulary.transforms.linear import Linear as NewLinear
from surgery_dsl.vocabulary.transforms.reinit import Reinit
from surgery_dsl.vocabulary.transforms.residual import Residual
from surgery_dsl.vocabulary.transforms.svd import Svd
from surgery_dsl.vocabulary.transforms.widen import Widen
from surgery_dsl.vocabulary.values import NumberArrow
from tests.unit.transforms.bench import Bench, module
from tests.unit.transforms.networks import drawn

WIDTHS = st.integers(1, 7)


class Net(nn.Module):
    """Layers with activations; some take a second way around, some share an activation, some are concatenated."""

    def __init__(
        self, widths: list[int], skips: list[bool], joins: list[bool], shared: bool, norms: list[bool]
    ) -> None:
        super().__init__()
        act = nn.ReLU()
        sizes = [widths[0]]
        layers = []
        for width, join in zip(widths[1:], joins, strict=True):
            layers.append(nn.Linear(sizes[-1], width))
            sizes.append(width + sizes[-1] if join else width)
        self.layers = nn.ModuleList(layers)
        self.acts = nn.ModuleList(act if shared else nn.ReLU() for _ in layers)
        self.norms = nn.ModuleList(
            nn.LayerNorm(layer.out_features) if norm else nn.Identity()
            for layer, norm in zip(layers, norms, strict=True)
        )
        self.head = nn.Linear(sizes[-1], 3)
        # Decided once: a forward that compares sizes freezes them.
        self.skips = [
            skip and layer.in_features == layer.out_features for skip, layer in zip(skips, layers, strict=True)
        ]
        self.joins = joins

    def forward(self, x: Tensor) -> Tensor:
        for i, layer in enumerate(self.layers):
            y = self.acts[i](self.norms[i](layer(x)))
            if self.joins[i]:
                y = torch.cat([x, y], dim=-1)
            elif self.skips[i]:
                y = x + y
            x = y
        return self.head(x)


@st.composite
def networks(draw: st.DrawFn) -> tuple[Any, tuple[InputSpec, ...]]:
    depth = draw(st.integers(1, 4))
    equal = draw(st.booleans())
    width = draw(WIDTHS)
    widths = [width if equal else draw(WIDTHS) for _ in range(depth + 1)]
    flags = [draw(st.lists(st.booleans(), min_size=depth, max_size=depth)) for _ in range(3)]
    shared = draw(st.booleans())
    dims = draw(st.sampled_from([("N", widths[0]), ("N", "T", widths[0]), (3, widths[0])]))
    inputs = (InputSpec(name="x", dtype="f64", dims=dims),)
    return lambda: Net(widths, flags[0], flags[1], shared, flags[2]), inputs


@st.composite
def steps(draw: st.DrawFn, bench: Bench, number: int) -> tuple[Any, ...]:
    kind = draw(st.sampled_from(["layers", "acts", "norms", "head"]))
    paths = [p for p, m in bench.model.named_modules() if p.startswith(kind) and not isinstance(m, nn.ModuleList)]
    path = draw(st.sampled_from(sorted(paths)))
    dims = (
        bench.interface.values[bench.interface.calls_of(path)[0].outputs[0]].dims
        if bench.interface.calls_of(path)
        else ()
    )
    now = (bench.interface.exact(dims[-1]) if dims else None) or 1
    chosen = draw(
        st.sampled_from(
            [
                (Deepen(), "after"),
                (Deepen(act="identity"), "after"),
                (Bottleneck(width=draw(WIDTHS)), draw(st.sampled_from(["after", "before"]))),
                (Residual(gate=draw(st.sampled_from([0.0, 1.0, 0.5])), learned=draw(st.booleans())), "around"),
                (Widen(width=NumberArrow(left=now, right=now + draw(WIDTHS)), seed=number), "at"),
                (Svd(rank=draw(st.integers(1, 3))), "at"),
                (Int8(symmetric=draw(st.booleans())), "at"),
                (Gelu(), "at"),
                (LeakyRelu(slope=0.1), "at"),
                (Identity(), "at"),
                (Reinit(seed=number), "at"),
                (NewLinear(out=draw(st.one_of(st.just(now), WIDTHS))), "at"),
            ]
        )
    )
    return (*chosen, module(path), f"step{number}")


@st.composite
def pictures(draw: st.DrawFn) -> tuple[Any, tuple[InputSpec, ...]]:
    """Convolutions, plain, grouped and depthwise, with norms and pooling, flattened or averaged for the head."""
    groups = draw(st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=3))
    widths = [4 * draw(st.integers(1, 2)) for _ in groups]
    norms = draw(st.lists(st.sampled_from(["batch", "group", ""]), min_size=len(groups), max_size=len(groups)))
    pooled, averaged = draw(st.booleans()), draw(st.booleans())

    def build() -> nn.Module:
        layers: list[nn.Module] = []
        channels = 4
        for width, group, norm in zip(widths, groups, norms, strict=True):
            layers.append(nn.Conv2d(channels, width, 3, padding=1, groups=group))
            layers += [nn.BatchNorm2d(width)] if norm == "batch" else [nn.GroupNorm(2, width)] if norm else []
            layers.append(nn.ReLU())
            channels = width
        layers += [nn.MaxPool2d(2)] if pooled else []
        layers += [nn.AdaptiveAvgPool2d(1)] if averaged else []
        side = 1 if averaged else 2 if pooled else 4
        network = nn.Sequential()
        network.add_module("layers", nn.Sequential(*layers))
        network.add_module("flat", nn.Flatten())
        network.add_module("head", nn.Linear(channels * side * side, 3))
        return network

    return build, (InputSpec(name="x", dtype="f64", dims=("N", 4, 4, 4)),)


@st.composite
def picture_steps(draw: st.DrawFn, bench: Bench, number: int) -> tuple[Any, ...]:
    paths = [p for p, m in bench.model.named_modules() if p.startswith("layers.") or p == "head"]
    path = draw(st.sampled_from(sorted(p for p in paths if bench.interface.calls_of(p))))
    dims = bench.interface.values[bench.interface.calls_of(path)[0].outputs[0]].dims
    now = bench.interface.exact(dims[1]) or 1
    chosen = draw(
        st.sampled_from(
            [
                (Deepen(), "after"),
                (Deepen(act="identity"), "after"),
                (Residual(gate=0.0), "around"),
                (Residual(gate=0.5, learned=False), "around"),
                (Widen(width=NumberArrow(left=now, right=now + 4 * draw(st.integers(1, 2))), seed=number), "at"),
                (Int8(per="tensor"), "at"),
                (Gelu(), "at"),
                (Identity(), "at"),
                (Reinit(seed=number), "at"),
            ]
        )
    )
    return (*chosen, module(path), f"step{number}")


def follow(data: st.DataObject, drawn_network: tuple[Any, tuple[InputSpec, ...]], draw_step: Any) -> None:
    """Carry out drawn steps, and hold each to what it said."""
    factory, inputs = drawn_network
    on = Bench(drawn(factory()), inputs)
    sizes = {"N": 4, "T": 5}
    x = torch.randn([sizes[d] if isinstance(d, str) else d for d in inputs[0].dims], dtype=torch.float64)
    with torch.no_grad():
        for number in range(data.draw(st.integers(1, 5))):
            transform, where, site, name = data.draw(draw_step(on, number))
            before = on.model(x)
            old = {key: value.clone() for key, value in on.model.state_dict().items()}
            outcome = on.step(transform, where, site, name=name, scope="all", tie="untie", changes=["outputs"])
            if outcome.found or not outcome.effect.changed:
                assert all(torch.equal(value, old[key]) for key, value in on.model.state_dict().items())
                continue
            assert outcome.differences == (), (transform, site, outcome.differences)
            after = on.model(x)
            if outcome.effect.function == "exact":
                torch.testing.assert_close(after, before, rtol=1e-9, atol=1e-9)
            now = on.model.state_dict()
            for key, value in old.items():
                if key not in outcome.effect.writes:
                    assert torch.equal(now[outcome.effect.renamed.get(key, key)], value), (transform, key)
        assert torch.equal(on.replayed(factory)(x), on.model(x))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_every_sequence_of_steps_on_rows_is_what_it_says(data: st.DataObject) -> None:
    follow(data, data.draw(networks()), steps)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_every_sequence_of_steps_on_images_is_what_it_says(data: st.DataObject) -> None:
    follow(data, data.draw(pictures()), picture_steps)
