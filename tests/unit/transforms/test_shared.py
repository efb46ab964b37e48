"""Modules that run at several places, tied tensors, and children that stay where their host is exchanged."""

import pytest
import torch
from torch import Tensor, nn

from surgery_dsl.modules.insertion import inserted
from surgery_dsl.vocabulary.sites.relu import Relu as ReluSites
from surgery_dsl.vocabulary.transforms.bottleneck import Bottleneck
from surgery_dsl.vocabulary.transforms.deepen import Deepen
from surgery_dsl.vocabulary.transforms.gelu import Gelu
from surgery_dsl.vocabulary.transforms.identity import Identity
from surgery_dsl.vocabulary.transforms.int8 import Int8
from surgery_dsl.vocabulary.transforms.linear import Linear as NewLinear
from surgery_dsl.vocabulary.transforms.reinit import Reinit
from surgery_dsl.vocabulary.transforms.residual import Residual
from surgery_dsl.vocabulary.transforms.svd import Svd
from tests.unit.transforms.bench import Bench, linear, module, spec
from tests.unit.transforms.networks import Mlp, ResidualMlp, Tied, drawn, inputs_of

F64 = spec("N", 6, dtype="f64")


class Sharing(nn.Module):
    """Two blocks hold the same linear layer and the same activation."""

    def __init__(self) -> None:
        super().__init__()
        layer, act = nn.Linear(8, 8), nn.ReLU()
        self.stem, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        self.blocks = nn.ModuleList(nn.ModuleDict({"layer": layer, "act": act}) for _ in range(2))
        self.runs = nn.ModuleList(Runner(block) for block in self.blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for run in self.runs:
            x = run(x)
        return self.head(x)


class Runner(nn.Module):
    def __init__(self, parts: nn.ModuleDict) -> None:
        super().__init__()
        self.layer, self.act = parts["layer"], parts["act"]

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.layer(x))


class Apart(nn.Module):
    """Two runners, and nothing else that holds their shared parts."""

    def __init__(self) -> None:
        super().__init__()
        parts = nn.ModuleDict({"layer": nn.Linear(8, 8), "act": nn.ReLU()})
        self.stem, self.head = nn.Linear(6, 8), nn.Linear(8, 3)
        self.runs = nn.ModuleList([Runner(parts), Runner(parts), Runner(parts)])

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for run in self.runs:
            x = run(x)
        return self.head(x)


def test_all_places_of_a_shared_activation_get_one_new_object() -> None:
    on = Bench(drawn(ResidualMlp()), F64)
    outcome = on.step(Gelu(), "at", ReluSites(pattern="**"), scope="all")
    assert outcome.differences == ()
    assert on.model.blocks[0].act is on.model.blocks[1].act
    assert isinstance(on.model.blocks[0].act, nn.GELU)
    assert set(outcome.effect.brings) == {"blocks.0.act", "blocks.1.act"}
    on = Bench(drawn(ResidualMlp()), F64)
    assert on.step(Gelu(), "at", ReluSites(pattern="blocks.1.act"), scope="all").differences == ()
    assert isinstance(on.model.blocks[0].act, nn.GELU)


@pytest.mark.parametrize("path", ["blocks.0.act", "blocks.1.act"])
def test_one_place_of_a_shared_activation_parts_from_the_others(path: str) -> None:
    on = Bench(drawn(ResidualMlp()), F64)
    outcome = on.step(Gelu(), "at", ReluSites(pattern=path), scope="site")
    assert outcome.differences == ()
    assert isinstance(on.model.get_submodule(path), nn.GELU)
    other = "blocks.1.act" if path == "blocks.0.act" else "blocks.0.act"
    assert isinstance(on.model.get_submodule(other), nn.ReLU)
    x = inputs_of(F64)
    assert torch.equal(on.replayed(ResidualMlp)(x), on.model(x))


@pytest.mark.parametrize("scope", ["site", "all"])
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("transform", [Svd(rank=2), Int8(), NewLinear(out=8), Identity()])
def test_places_of_a_shared_layer(scope: str, number: int, transform: Svd | Int8 | NewLinear | Identity) -> None:
    on = Bench(drawn(Apart()), F64)
    weight = on.model.runs[0].layer.weight.detach().clone()
    outcome = on.step(transform, "at", linear(f"runs.{number}.layer"), scope=scope)
    assert outcome.codes == [], outcome.found[0].message
    assert outcome.differences == (), outcome.differences
    kept = [i for i in range(3) if isinstance(on.model.runs[i].layer, nn.Linear) and scope == "site" and i != number]
    assert len(kept) == (2 if scope == "site" else 0)
    for i in kept:
        assert torch.equal(on.model.runs[i].layer.weight, weight)
    x = inputs_of(F64)
    assert torch.equal(on.replayed(Apart)(x), on.model(x))


def test_a_shared_host_gets_one_child_for_all_its_runs() -> None:
    for transform, where in ((Deepen(), "after"), (Bottleneck(width=2), "after"), (Residual(), "around")):
        on = Bench(drawn(Sharing()), F64)
        x = inputs_of(F64)
        before = on.model(x)
        outcome = on.step(transform, where, module("runs.0.act"), scope="all")  # type: ignore[arg-type]
        assert outcome.differences == (), outcome.differences
        assert on.model.runs[0].act.step is on.model.blocks[1]["act"].step
        torch.testing.assert_close(on.model(x), before, rtol=1e-12, atol=1e-12)
        assert torch.equal(on.replayed(Sharing)(x), on.model(x))


def test_a_layer_that_reads_several_widths_at_once_is_refused() -> None:
    class TwoWidths(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act, self.narrow, self.wide = nn.ReLU(), nn.Linear(6, 4), nn.Linear(4, 8)

        def forward(self, x: Tensor) -> Tensor:
            return self.act(self.wide(self.act(self.narrow(x))))

    on = Bench(TwoWidths(), spec("N", 6))
    for transform in (Deepen(), Bottleneck(width=2)):
        outcome, _ = on.predict(transform, "after", module("act"), scope="all")
        assert outcome.codes == ["width-mismatch"]
        assert outcome.found[0].facts == {"first": "4", "other": "8"}
    assert on.step(Residual(), "around", module("act"), scope="all").differences == ()


def test_untying_leaves_the_other_name_alone() -> None:
    for site, other in (("first", "second"), ("second", "first")):
        for transform in (Reinit(), Svd(rank=2), Int8()):
            on = Bench(drawn(Tied()), F64)
            weight = on.model.first.weight.detach().clone()
            outcome = on.step(transform, "at", linear(site), tie="untie")
            assert outcome.differences == (), outcome.differences
            assert torch.equal(on.model.get_submodule(other).weight, weight)
            x = inputs_of(F64)
            assert torch.equal(on.replayed(Tied)(x), on.model(x))


def test_keeping_a_tie_changes_both_names() -> None:
    on = Bench(drawn(Tied()), F64)
    effect = on.step(Reinit(), "at", linear("second"), tie="keep").effect
    assert on.model.first.weight is on.model.second.weight
    assert effect.writes == {"first.weight", "second.weight", "second.bias"}


def test_untied_layers_may_be_resized_apart() -> None:
    on = Bench(drawn(Tied()), F64)
    tied = on.interface.tensor_by_name["first.weight"].dims
    assert tied[0] == tied[1]
    on.step(Reinit(), "at", linear("first"), tie="untie")
    own = on.interface.tensor_by_name["first.weight"].dims
    assert own[0] != own[1]


@pytest.mark.parametrize("where", ["after", "before", "around"])
def test_children_stay_where_their_host_is_exchanged(where: str) -> None:
    on = Bench(drawn(Mlp()), F64)
    child = Residual(gate=0.5) if where == "around" else Bottleneck(width=2, init="small")
    host, act = "hidden.1", "act.0"
    for transform, at, name in ((child, (where, host), "child"), (Deepen(), ("after", act), "deeper")):
        outcome = on.step(transform, at[0], module(at[1]), name=name)  # type: ignore[arg-type]
        assert outcome.codes == []
        assert outcome.differences == (), outcome.differences
    kept = on.model.hidden[1].child
    for transform, site, name in (
        (Svd(rank=2), linear(host), "thin"),
        (Gelu(), ReluSites(pattern=act), "acts"),
        (Residual(), module(host), "skip"),
    ):
        way = "around" if name == "skip" else "at"
        outcome = on.step(transform, way, site, name=name)  # type: ignore[arg-type]
        assert outcome.codes == [], outcome.found[0].message
        assert outcome.differences == (), outcome.differences
    assert on.model.hidden[1].child is kept
    assert dict(inserted(on.model.hidden[1])) == {"child": where, "skip": "around"}
    assert dict(inserted(on.model.act[0])) == {"deeper": "after"}
    x = inputs_of(F64)
    assert torch.equal(on.replayed(Mlp)(x), on.model(x))


def test_an_inserted_child_may_be_exchanged_itself() -> None:
    on = Bench(drawn(Tied()), F64)
    on.step(Bottleneck(width=2, init="small"), "after", module("stem"), name="child")
    for transform, site, name in (
        (Gelu(), module("stem.child.act"), "acts"),
        (Svd(rank=1), linear("stem.child.down"), "thin"),
        (Identity(), module("stem.child"), "gone"),
    ):
        outcome = on.step(transform, "at", site, name=name)  # type: ignore[arg-type]
        assert outcome.codes in ([], ["changes-nothing"]), outcome.found
        assert outcome.differences == (), outcome.differences
    assert isinstance(on.model.stem.child, nn.Identity)
    assert dict(inserted(on.model.stem)) == {"child": "after"}


def test_the_network_itself_can_be_a_host() -> None:
    on = Bench(drawn(nn.Sequential(nn.Linear(6, 6), nn.ReLU())), F64)
    x = inputs_of(F64)
    before = on.model(x)
    for number, (transform, where) in enumerate(((Deepen(), "after"), (Residual(), "around"), (Deepen(), "after"))):
        outcome = on.step(transform, where, module("."), name=f"child{number}")  # type: ignore[arg-type]
        assert outcome.differences == (), outcome.differences
        torch.testing.assert_close(on.model(x), before, rtol=1e-12, atol=1e-12)
    assert len(on.model) == 2


def test_a_pattern_over_shared_parts_counts_their_places() -> None:
    on = Bench(drawn(ResidualMlp()), F64)
    outcome, _ = on.predict(Gelu(), "at", ReluSites(pattern="**"), scope="all")
    assert (outcome.effect.matched, outcome.effect.changed) == (2, 2)
