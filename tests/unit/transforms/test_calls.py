"""Functional calls in a forward: each goes to a child of the module that makes it, and only that one."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.interface.edits import ModuleSpec, SetCall
from surgery_dsl.modules.call_sites import CallsDiffer, replace_call
from surgery_dsl.modules.insertion import detach, insert, own_class
from surgery_dsl.run.changes import EditMisfit, carry_out
from surgery_dsl.run.transaction import Transaction
from surgery_dsl.vocabulary.context import Change
from surgery_dsl.vocabulary.sites.relu import Relu as ReluSites
from surgery_dsl.vocabulary.transforms.gelu import Gelu
from surgery_dsl.vocabulary.transforms.silu import Silu
from tests.unit.transforms.bench import Bench, spec


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.fc(x))


class Net(nn.Module):
    """Calls ReLU in all the ways there are; ``acts`` says what runs in their places."""

    def __init__(self, **acts: Any) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 6), Inner(), nn.Linear(6, 3)
        self.acts = acts

    def forward(self, x: Tensor) -> Tensor:
        x = self.acts.get("first", F.relu)(self.a(x))
        x = self.b(x)
        x = self.acts["second"](x) if "second" in self.acts else x.relu()
        return self.acts.get("third", torch.relu)(self.c(F.silu(x)))


def bench() -> Bench:
    torch.manual_seed(0)
    return Bench(Net(), spec("N", 6))


def alike(model: nn.Module, **acts: Any) -> nn.Module:
    other = Net(**acts)
    other.load_state_dict({k: v for k, v in model.state_dict().items() if k in other.state_dict()})
    return other


X = torch.linspace(-2, 2, 30).reshape(5, 6)


@pytest.mark.parametrize(("pattern", "place"), [("/relu#0", "first"), ("/relu#1", "second"), ("/relu#2", "third")])
def test_one_call_of_several(pattern: str, place: str) -> None:
    on = bench()
    wanted = alike(on.model, **{place: F.gelu})(X)
    outcome = on.step(Gelu(), "at", ReluSites(pattern=pattern), name="swap")
    assert (outcome.found, outcome.differences) == ((), ())
    assert outcome.effect.brings == ("swap",)
    assert torch.equal(on.model(X), wanted)
    assert torch.equal(on.replayed(Net)(X), wanted)
    assert torch.equal(copy.deepcopy(on.model)(X), wanted)


def test_calls_one_after_the_other_and_several_at_once() -> None:
    on = bench()
    assert on.step(Gelu(), "at", ReluSites(pattern="/relu#1"), name="swap").differences == ()
    # what was the third call is the second of those that are left
    outcome = on.step(Silu(), "at", ReluSites(pattern="/relu#*"), name="rest")
    assert (outcome.found, outcome.differences) == ((), ())
    assert set(outcome.effect.brings) == {"rest_0", "rest_1"}
    wanted = alike(on.model, first=F.silu, second=F.gelu, third=F.silu)(X)
    assert torch.equal(on.model(X), wanted)
    assert torch.equal(on.replayed(Net)(X), wanted)


def test_calls_of_children_are_not_counted() -> None:
    on = bench()
    outcome = on.step(Gelu(), "at", ReluSites(pattern="b/relu#0"), name="swap")
    assert outcome.differences == ()
    assert outcome.effect.brings == ("b.swap",)
    inner = on.model.get_submodule("b")
    assert torch.equal(inner(X), F.gelu(inner.get_submodule("fc")(X)))


def test_a_result_exports() -> None:
    on = bench()
    on.step(Gelu(), "at", ReluSites(pattern="/relu#1"), name="swap")
    exported = torch.export.export(on.model, (X,), strict=False).module()
    torch.testing.assert_close(exported(X), on.model(X))


class Sometimes(nn.Module):
    """Makes one more call where it is told so."""

    more = False

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        return F.relu(x - 1) if self.more else x


def test_a_forward_that_makes_other_calls_is_refused_as_it_runs() -> None:
    host = Sometimes()
    replace_call(host, "relu", 0, 1, "swap", nn.GELU())
    assert torch.equal(host(X), F.gelu(X))
    host.more = True
    with pytest.raises(CallsDiffer, match="made 2 calls of relu"):
        host(X)


class InPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = x + 1
        F.relu(x, inplace=True)
        return x


def test_a_call_that_writes_in_place_is_refused_as_it_runs() -> None:
    host = InPlace()
    replace_call(host, "relu", 0, 1, "swap", nn.GELU())
    with pytest.raises(CallsDiffer, match="in place"):
        host(X)


def test_calls_and_insertions_on_one_host() -> None:
    host = Inner()
    insert(host, "later", "after", nn.Tanh())
    replace_call(host, "relu", 0, 1, "swap", nn.GELU())
    wanted = torch.tanh(F.gelu(host.fc(X)))
    assert torch.equal(host(X), wanted)
    assert own_class(host) is Inner
    detach(host, "later")
    assert torch.equal(host(X), F.gelu(host.fc(X)))
    insert(host, "later", "after", nn.Tanh())
    assert torch.equal(host(X), wanted)


SPEC = ModuleSpec(type="torch.nn.GELU", arguments={})


@pytest.mark.parametrize(
    "edit",
    [
        SetCall(host="", kind="relu", number=3, count=3, name="swap", spec=SPEC),
        SetCall(host="", kind="__class__", number=0, count=1, name="swap", spec=SPEC),
        SetCall(host="", kind="relu", number=0, count=3, name="a", spec=SPEC),
        SetCall(host="nowhere", kind="relu", number=0, count=3, name="swap", spec=SPEC),
    ],
)
def test_edits_that_do_not_fit(edit: SetCall) -> None:
    with pytest.raises(EditMisfit):
        carry_out(Net(), Change(edit=edit))


def test_a_rollback_takes_the_child_away() -> None:
    model = Net()
    before, kind = model(X), type(model)
    with Transaction(model) as transaction:
        edit = SetCall(host="", kind="relu", number=0, count=3, name="swap", spec=SPEC)
        carry_out(model, Change(edit=edit), transaction)
        assert not torch.equal(model(X), before)
        transaction.rollback()
    assert type(model) is kind
    assert torch.equal(model(X), before)
    assert "swap" not in dict(model.named_children())
