"""What transforms refuse, and what they say: a code, the path, the numbers, one fix."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.model import Extent
from surgery_dsl.vocabulary.kinds import SiteWord, Transform
from surgery_dsl.vocabulary.selection import Site
from surgery_dsl.vocabulary.sites.conv2d import Conv2d
from surgery_dsl.vocabulary.sites.param import Param
from surgery_dsl.vocabulary.sites.relu import Relu as ReluSites
from surgery_dsl.vocabulary.transforms._values import RESERVED
from surgery_dsl.vocabulary.transforms.bottleneck import Bottleneck
from surgery_dsl.vocabulary.transforms.deepen import Deepen
from surgery_dsl.vocabulary.transforms.gelu import Gelu
from surgery_dsl.vocabulary.transforms.identity import Identity
from surgery_dsl.vocabulary.transforms.int8 import Int8
from surgery_dsl.vocabulary.transforms.linear import Linear as NewLinear
from surgery_dsl.vocabulary.transforms.reinit import Reinit
from surgery_dsl.vocabulary.transforms.residual import Residual
from surgery_dsl.vocabulary.transforms.svd import Svd
from surgery_dsl.vocabulary.transforms.widen import Widen
from surgery_dsl.vocabulary.values import NumberArrow
from tests.unit.transforms.bench import Bench, Where, linear, module, spec
from tests.unit.transforms.networks import NETWORKS, drawn


def widen(left: int, right: int) -> Widen:
    return Widen(width=NumberArrow(left=left, right=right))


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.linear(F.relu(self.body(x)), self.body.weight))


class Pairs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.split, self.head = nn.GRU(6, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.split(x)[0])


def bench(name: str) -> Bench:
    extra = {"functional": (Functional, spec("N", 6)), "pairs": (Pairs, spec(2, 4, 6))}
    factory, inputs = NETWORKS.get(name) or extra[name]
    return Bench(drawn(factory(), dtype=torch.float32), inputs)


CASES: list[tuple[str, Transform, Where, SiteWord, dict[str, Any], str, str, dict[str, Any]]] = [
    # network, transform, where, sites, options; code, path, facts
    ("functional", Identity(), "at", ReluSites(pattern="**"), {}, "functional-site", "/relu#0", {}),
    ("functional", Svd(rank=1), "at", linear("body"), {}, "read-elsewhere", "body.weight", {"readers": 1}),
    ("mlp", Gelu(), "at", Param(pattern="head.weight"), {}, "place-does-not-fit", "head.weight", {}),
    ("mlp", Gelu(), "at", linear("head"), {}, "site-does-not-fit", "head", {}),
    ("mlp", Svd(rank=1), "at", ReluSites(pattern="act.0"), {}, "site-does-not-fit", "act.0", {}),
    ("mlp", Identity(), "at", module("."), {}, "place-does-not-fit", "", {}),
    ("mlp", Deepen(), "after", module("hidden"), {}, "never-runs", "hidden", {}),
    ("mlp", NewLinear(out=8), "at", module("{hidden,hidden.0}"), {}, "never-runs", "hidden", {}),
    ("cnn", Identity(), "at", module("{features,features.2}"), {}, "place-does-not-fit", "features.2", {}),
    ("pairs", Residual(), "around", module("split"), {}, "not-one-tensor", "split", {"outputs": 2}),
    ("tied", Svd(rank=1), "at", linear("first"), {}, "tied-tensor", "first.weight", {"tied": 2}),
    ("tied", Svd(rank=1), "at", linear("first"), {"tie": "keep"}, "tied-tensor", "first.weight", {"tied": 2}),
    ("tied", Reinit(), "at", linear("second"), {}, "tied-tensor", "first.weight", {"tied": 2}),
    ("residual", Gelu(), "at", ReluSites(pattern="blocks.0.act"), {"scope": "site"}, "", "", {}),
    (
        "residual",
        Deepen(),
        "after",
        ReluSites(pattern="blocks.0.act"),
        {"scope": "site"},
        "shared-module",
        "blocks.0.act",
        {"runs": 2},
    ),
    (
        "mlp",
        Svd(rank=4),
        "at",
        linear("hidden.1"),
        {},
        "rank-too-high",
        "hidden.1.weight",
        {"rank": 4, "break_even": 4},
    ),
    ("mlp", Svd(rank=99), "at", linear("head"), {}, "rank-too-high", "head.weight", {"rows": 3, "columns": 8}),
    ("mlp", NewLinear(out=3), "at", linear("head"), {}, "output-contract", "head", {"before": "[N, 3]"}),
    ("mlp", NewLinear(out=5), "at", linear("head"), {}, "output-contract", "head", {"after": "[N, 5]"}),
    ("mlp", NewLinear(out=5), "at", linear("hidden.0"), {}, "width-mismatch", "hidden.0", {"new": 5, "needed": "8"}),
    ("residual", NewLinear(out=5), "at", linear("blocks.0.fc2"), {}, "width-mismatch", "blocks.0.fc2", {"new": 5}),
    ("cnn", NewLinear(out=5), "at", module("features.3"), {}, "site-does-not-fit", "features.3", {}),
    ("mlp", Residual(), "around", linear("hidden.0"), {}, "width-mismatch", "hidden.0", {"in": "6", "out": "8"}),
    ("cnn", Residual(), "around", Conv2d(pattern="features.3"), {}, "width-mismatch", "features.3", {}),
    ("mlp", Identity(), "at", linear("head"), {}, "width-mismatch", "head", {"in": "8", "out": "3"}),
    ("cnn", Bottleneck(width=2), "after", module("features.2"), {}, "site-does-not-fit", "features.2", {}),
    ("mlp", Bottleneck(width=2), "after", module("act.0"), {"name": "inplace"}, "", "", {}),
    ("mlp", Bottleneck(width=2), "after", linear("head"), {"name": "weight"}, "name-taken", "head.weight", {}),
    ("residual", Bottleneck(width=2), "after", module("blocks.0"), {"name": "fc1"}, "name-taken", "blocks.0.fc1", {}),
    ("mlp", Bottleneck(width=2), "after", module("act.0"), {"name": "forward"}, "name-taken", "act.0.forward", {}),
    ("mlp", widen(7, 9), "at", linear("hidden.1"), {}, "untrue-arrow", "hidden.1", {"written": 7, "found": "8"}),
    ("mlp", widen(8, 5), "at", linear("hidden.1"), {}, "argument-out-of-range", "", {"from": 8, "to": 5}),
    ("mlp", widen(3, 5), "at", linear("head"), {}, "fixed-axis", "head", {"units": "3"}),
    ("normed", widen(8, 9), "at", linear("stem"), {}, "units-are-mixed", "norm", {}),
    ("mlp", widen(8, 9), "at", module("."), {}, "untrue-arrow", ".", {}),
    ("grouped", widen(8, 13), "at", Conv2d(pattern="features.2"), {}, "group-indivisible", "features.2", {"groups": 4}),
    ("mlp", Reinit(out="zero"), "at", linear("hidden.0"), {}, "place-does-not-fit", "", {}),
    ("mlp", Reinit(), "at", ReluSites(pattern="**"), {}, "site-does-not-fit", "act.0", {}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[1].name}-{case[5] or 'allowed'}")
def test_refusals(case: Any) -> None:
    name, transform, where, sites, options, code, path, facts = case
    on = bench(name)
    outcome, _ = on.predict(transform, where, sites, **options)
    if not code:
        assert outcome.codes == []
        return
    first = outcome.found[0]
    assert first.code.name == code, first.message
    assert first.help, "a refusal names one fix"
    assert first.file == "plan.surg"
    if path != ".":
        assert first.path == path
    for fact, number in facts.items():
        assert first.facts[fact] == number, first.facts
    assert first.message[0].islower() or first.message[0] == "`"
    assert not first.message.endswith(".")


def test_a_step_that_changes_nothing_says_so_by_its_count() -> None:
    for transform, where, sites in (
        (Residual(gate=0, learned=False), "around", linear("hidden.1")),
        (widen(8, 8), "at", linear("hidden.1")),
    ):
        outcome, _ = bench("mlp").predict(transform, where, sites)  # type: ignore[arg-type]
        assert (outcome.effect.changed, outcome.effect.matched) == (0, 1)
        assert outcome.effect.reason


def test_dropout_is_no_site_for_an_identity() -> None:
    on = Bench(nn.Sequential(nn.Linear(6, 6), nn.Dropout(), nn.Linear(6, 3)), spec("N", 6))
    assert on.predict(Identity(), "at", module("1"))[0].effect.changed == 0
    assert on.predict(Residual(gate=0.5), "around", module("1"))[0].codes == []


def test_a_second_quantization_is_refused() -> None:
    on = bench("mlp")
    on.step(Int8(), "at", linear("hidden.*"))
    for transform in (Int8(), Svd(rank=1)):
        outcome, _ = on.predict(transform, "at", linear("hidden.0"))
        assert outcome.codes == ["site-does-not-fit"]
        assert "i8" in outcome.found[0].message
    outcome, _ = on.predict(widen(8, 9), "at", linear("hidden.0"))
    assert outcome.codes == ["units-are-mixed"]


def test_a_rank_must_save_for_every_outcome_of_earlier_steps() -> None:
    on = bench("mlp")
    (axis,) = on.interface.tensor_by_name["hidden.1.weight"].dims[0]
    open_axis = on.interface.axes[axis].replaced(size=Extent(least=2, most=8))
    axes = tuple(open_axis if entry.id == axis else entry for entry in on.interface.axes)
    on.interface = on.interface.replaced(axes=axes)
    assert on.predict(Svd(rank=1), "at", linear("hidden.1"))[0].codes == []
    outcome, _ = on.predict(Svd(rank=2), "at", linear("hidden.1"))
    assert outcome.codes == ["rank-too-high"]
    assert outcome.found[0].facts["rows"] == 2
    outcome, _ = on.predict(widen(8, 9), "at", linear("hidden.1"))
    assert outcome.codes == ["untrue-arrow"]
    assert outcome.found[0].facts["found"] == "2..8"
    outcome, _ = on.predict(Residual(), "around", linear("hidden.1"))
    assert outcome.codes == ["width-mismatch"]


def test_a_free_size_cannot_be_that_of_a_layer() -> None:
    on = Bench(nn.Sequential(nn.ReLU()), spec("N", "T"))
    for transform in (Bottleneck(width=2), Deepen()):
        outcome, _ = on.predict(transform, "after", module("0"))
        assert outcome.codes == ["size-is-free"]


def test_what_no_network_shows_statically_is_refused_before_anything_is_touched() -> None:
    network = drawn(nn.Sequential(nn.Linear(6, 6), nn.ReLU()), dtype=torch.float32)
    network[0].adapter = "a plain attribute"
    on = Bench(network, spec("N", 6))
    with pytest.raises(Refused) as refused:
        on.step(Bottleneck(width=2), "after", linear("0"), name="adapter")
    assert [d.code.name for d in refused.value.diagnostics] == ["name-taken"]
    assert type(network[0]) is nn.Linear


def test_reserved_names_are_those_of_every_module() -> None:
    assert {name for name in dir(nn.Module()) if not name.startswith("_")} <= RESERVED


def test_integers_are_no_activations() -> None:
    on = Bench(nn.Sequential(nn.Embedding(5, 6), nn.Linear(6, 3)), spec("N", 4, dtype="i64"))
    outcome, _ = on.predict(Bottleneck(width=2), "before", module("0"))
    assert outcome.codes == ["site-does-not-fit"]
    assert "i64" in outcome.found[0].message


def test_calls_that_cannot_be_told_apart() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = self.b = nn.ReLU()
            self.layer = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(self.layer(self.a(x)))

    on = Bench(Twice(), spec("N", 6))
    outcome, _ = on.predict(Gelu(), "at", ReluSites(pattern="b"), scope="site")
    assert outcome.codes == ["shared-module"]
    assert "told apart" in outcome.found[0].message
    assert on.step(Gelu(), "at", ReluSites(pattern="b"), scope="all").differences == ()


def test_sites_that_were_never_resolved_to_a_module_are_reported_each() -> None:
    on = bench("functional")
    sites = on.sites(ReluSites(pattern="**"))
    assert sites == (Site(word="relu", path="/relu#0", module="", operators=sites[0].operators),)
