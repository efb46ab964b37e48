"""A module that one forward calls several times: each call can go to a child of its own, and only that one."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.interface.calling import turns
from surgery_dsl.interface.edits import ModuleSpec, SetModule, SetModuleCall
from surgery_dsl.modules.call_sites import CallsDiffer, replace_module_call
from surgery_dsl.modules.insertion import insert, own_class
from surgery_dsl.run.changes import EditMisfit, carry_out
from surgery_dsl.run.transaction import Transaction
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.context import Change
from surgery_dsl.vocabulary.sites.module import Module as ModuleSites
from surgery_dsl.vocabulary.sites.relu import Relu as ReluSites
from surgery_dsl.vocabulary.transforms.gelu import Gelu
from surgery_dsl.vocabulary.transforms.identity import Identity
from surgery_dsl.vocabulary.transforms.relu import Relu
from surgery_dsl.vocabulary.transforms.silu import Silu
from tests.unit.transforms.bench import Bench, spec


class BasicBlock(nn.Module):
    """A residual block as torchvision writes it: one ReLU object, in place, behind both sums."""

    def __init__(self, channels: int, hands: dict[str, Any]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.hands = hands

    def forward(self, x: Tensor) -> Tensor:
        out = self.hands.get("first", self.relu)(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.hands.get("second", self.relu)(out)


class ResNet(nn.Module):
    """Two such blocks; ``hands`` says what runs by hand in the places of which calls of which block."""

    def __init__(self, **hands: dict[str, Any]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.layer1 = nn.Sequential(*(BasicBlock(4, hands.get(f"block{i}", {})) for i in range(2)))
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.layer1(self.stem(x)).mean((2, 3)))


SHAPE = ("N", 1, 8, 8)
X = torch.linspace(-2, 2, 128).reshape(2, 1, 8, 8)


def bench(factory: Any = ResNet, shape: Any = SHAPE) -> Bench:
    torch.manual_seed(0)
    return Bench(factory(), spec(*shape))


def by_hand(model: nn.Module, **hands: dict[str, Any]) -> nn.Module:
    """Return the network as somebody would have edited its code."""
    other = ResNet(**hands)
    other.load_state_dict(model.state_dict())
    return other.eval()


# ---- sites -------------------------------------------------------------------------------------------------------


def test_each_call_has_a_name() -> None:
    on = bench()
    paths = [site.path for site in on.sites(ReluSites(pattern="layer1.*.relu#*"))]
    assert paths == [f"layer1.{block}.relu#{call}" for block in range(2) for call in range(2)]
    found = on.sites(ReluSites(pattern="layer1.0.relu#1"))[0]
    (operator,) = [on.interface.operators[at] for at in found.operators]
    second = [op for op in on.interface.operators if op.path == "layer1.0.relu"][1]
    assert operator is second


@pytest.mark.parametrize("pattern", ["**", "layer1.*.relu", "layer1.*.*", "layer1.{0,1}.relu"])
def test_a_path_still_means_all_calls(pattern: str) -> None:
    assert [site.path for site in bench().sites(ReluSites(pattern=pattern))] == ["layer1.0.relu", "layer1.1.relu"]


def test_calls_can_be_excepted() -> None:
    on = bench()
    sites = on.sites(ReluSites.model_validate({"pattern": "**", "except": ("layer1.0.relu#0",)}))
    assert [site.path for site in sites] == ["layer1.0.relu#1", "layer1.1.relu"]
    sites = on.sites(ReluSites.model_validate({"pattern": "**", "except": ("layer1.0.relu#*",)}))
    assert [site.path for site in sites] == ["layer1.1.relu"]


def test_modules_that_run_once_have_no_numbers() -> None:
    on = bench()
    sink = Sink()
    assert not ReluSites(pattern="layer1.0.relu#2").resolve(on.interface, on.static(sink, "", "", "", ()))
    assert not ModuleSites(pattern="stem#0").resolve(on.interface, on.static(sink, "", "", "", ()))
    assert [found.code.id for found in sink.found] == ["SD120", "SD120"]
    assert turns(on.interface).keys() == {"layer1.0.relu", "layer1.1.relu"}


# ---- what runs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "place"), [(0, "first"), (1, "second")])
@pytest.mark.parametrize("word", [ReluSites, ModuleSites])
def test_one_call_of_two(number: int, place: str, word: Any) -> None:
    on = bench()
    wanted = by_hand(on.model, block1={place: F.gelu})
    outcome = on.step(Gelu(), "at", word(pattern=f"layer1.1.relu#{number}"), name="swap", scope="site")
    assert (outcome.found, outcome.differences) == ((), ())
    assert outcome.effect.brings == ("layer1.1.swap",)
    assert outcome.effect.function == "bounded"
    (change,) = outcome.changes
    assert change.edit == SetModuleCall(
        host="layer1.1",
        called="relu",
        number=number,
        count=2,
        name="swap",
        spec=ModuleSpec(type="torch.nn.GELU", arguments={"approximate": "none"}),
    )
    replayed = on.replayed(ResNet)
    for training in (False, True):
        for model in (wanted, on.model, replayed):
            model.train(training)
        copied = copy.deepcopy(on.model)
        result = wanted(X)
        for model in (on.model, replayed, copied):
            assert torch.equal(model(X), result)
            assert torch.equal(model(X), wanted(X))  # counted anew in each forward
            wanted.load_state_dict(model.state_dict(), strict=False)


def test_gradients_are_those_of_the_network_edited_by_hand() -> None:
    on = bench()
    wanted = by_hand(on.model, block0={"second": F.silu})
    on.step(Silu(), "at", ReluSites(pattern="layer1.0.relu#1"), name="swap", scope="site")
    for model in (on.model, wanted):
        model.train()
        model(X).square().sum().backward()
    theirs = dict(wanted.named_parameters())
    for name, parameter in on.model.named_parameters():
        assert torch.equal(parameter.grad, theirs[name].grad), name  # type: ignore[arg-type]


def test_one_step_after_the_other() -> None:
    on = bench()
    assert on.step(Gelu(), "at", ReluSites(pattern="layer1.0.relu#0"), name="one", scope="site").differences == ()
    # one call is left to the module: it is the module's alone
    outcome = on.step(Silu(), "at", ReluSites(pattern="layer1.0.relu"), name="two")
    assert (outcome.found, outcome.differences) == ((), ())
    wanted = by_hand(on.model, block0={"first": F.gelu, "second": F.silu})
    assert torch.equal(on.model(X), wanted(X))
    assert torch.equal(on.replayed(ResNet)(X), wanted(X))


def test_the_same_call_in_every_block() -> None:
    on = bench()
    outcome = on.step(Gelu(), "at", ReluSites(pattern="**.relu#0"), name="swap", scope="site")
    assert (outcome.found, outcome.differences) == ((), ())
    assert (outcome.effect.matched, outcome.effect.changed) == (2, 2)
    wanted = by_hand(on.model, block0={"first": F.gelu}, block1={"first": F.gelu})
    assert torch.equal(on.model(X), wanted(X))


@pytest.mark.parametrize(("pattern", "scope"), [("#*", "site"), ("#0", "all"), ("", "site"), ("", "all")])
def test_all_calls_are_the_module(pattern: str, scope: str) -> None:
    on = bench()
    outcome = on.step(Gelu(), "at", ReluSites(pattern=f"layer1.0.relu{pattern}"), name="swap", scope=scope)
    assert (outcome.found, outcome.differences) == ((), ())
    (change,) = outcome.changes
    assert isinstance(change.edit, SetModule)
    wanted = by_hand(on.model, block0={"first": F.gelu, "second": F.gelu})
    assert torch.equal(on.model(X), wanted(X))


def test_a_call_that_is_the_same_function_is_left_alone() -> None:
    outcome = bench().step(Relu(), "at", ReluSites(pattern="layer1.0.relu#0"), scope="site")
    assert (outcome.found, outcome.effect.changed, outcome.effect.function) == ((), 0, "none")


def test_a_result_exports() -> None:
    on = bench()
    on.step(Gelu(), "at", ReluSites(pattern="**.relu#1"), name="swap", scope="site")
    exported = torch.export.export(on.model, (X,), strict=False).module()
    torch.testing.assert_close(exported(X), on.model(X))


# ---- objects at several places -----------------------------------------------------------------------------------


class Shared(nn.Module):
    """One activation object: the root calls it, and each of its blocks calls it twice, by a path of its own."""

    class Block(nn.Module):
        def __init__(self, act: nn.Module) -> None:
            super().__init__()
            self.fc, self.act = nn.Linear(6, 6), act

        def forward(self, x: Tensor) -> Tensor:
            return self.act(x - self.fc(self.act(x)))

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()
        self.blocks = nn.ModuleList(self.Block(self.act) for _ in range(2))
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.last(self.act(x))


Y = torch.linspace(-2, 2, 30).reshape(5, 6)


def test_an_object_at_many_paths_with_several_calls_at_some() -> None:
    on = bench(Shared, ("N", 6))
    fc = [block.fc for block in on.model.blocks]  # type: ignore[union-attr]
    outcome = on.step(Gelu(), "at", ReluSites(pattern="blocks.1.act#0"), name="swap", scope="site")
    assert (outcome.found, outcome.differences) == ((), ())
    x = F.relu(Y - fc[0](F.relu(Y)))
    x = F.relu(x - fc[1](F.gelu(x)))
    assert torch.equal(on.model(Y), on.model.last(F.relu(x)))  # type: ignore[operator]
    assert torch.equal(on.replayed(Shared)(Y), on.model(Y))
    # a new object takes the place of the old one, and its calls are counted as those of the old one were
    outcome = on.step(Silu(), "at", ReluSites(pattern="blocks.1.act"), name="rest", scope="all")
    assert (outcome.found, outcome.differences) == ((), ())
    x = F.silu(Y - fc[0](F.silu(Y)))
    x = F.silu(x - fc[1](F.gelu(x)))
    assert torch.equal(on.model(Y), on.model.last(F.silu(x)))  # type: ignore[operator]
    assert torch.equal(on.replayed(Shared)(Y), on.model(Y))


def chain() -> nn.Module:
    act = nn.ReLU()
    return nn.Sequential(nn.Linear(6, 6), act, nn.Linear(6, 6), act, nn.Linear(6, 3))


def test_the_entries_of_a_sequential_are_told_apart_by_their_place() -> None:
    on = bench(chain, ("N", 6))
    assert not turns(on.interface)
    outcome = on.step(Gelu(), "at", ReluSites(pattern="3"), name="swap", scope="site")
    assert (outcome.found, outcome.differences) == ((), ())
    assert [type(module) for module in on.model] == [nn.Linear, nn.ReLU, nn.Linear, nn.GELU, nn.Linear]  # type: ignore[attr-defined]


class TwoNames(nn.Module):
    """One object by two names, called by both."""

    def __init__(self) -> None:
        super().__init__()
        self.act1 = self.act2 = nn.ReLU()
        self.fc = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.act2(self.fc(self.act1(x)))


def test_one_object_by_two_names_of_one_caller() -> None:
    on = bench(TwoNames, ("N", 6))
    (found,) = on.predict(Gelu(), "at", ReluSites(pattern="act2"), scope="site")[0].found
    assert found.code.id == "SD310"
    assert "`act1#0`, `act1#1`" in found.notes[1]
    outcome = on.step(Gelu(), "at", ReluSites(pattern="{act1,act2}#1"), name="swap", scope="site")
    assert (outcome.found, outcome.differences) == ((), ())
    assert torch.equal(on.model(Y), F.gelu(on.model.fc(F.relu(Y))))  # type: ignore[operator]
    assert torch.equal(on.replayed(TwoNames)(Y), on.model(Y))


class Twice(nn.Module):
    """One block at two paths."""

    def __init__(self) -> None:
        super().__init__()
        self.one = self.two = Shared.Block(nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x))


def test_a_caller_at_two_paths_has_one_forward() -> None:
    on = bench(Twice, ("N", 6))
    (found,) = on.predict(Gelu(), "at", ReluSites(pattern="one.act#0"), scope="site")[0].found
    assert found.code.id == "SD310"
    assert "`two`" in found.message
    outcome = on.step(Gelu(), "at", ReluSites(pattern="*.act#0"), name="swap", scope="site")
    assert (outcome.found, outcome.differences) == ((), ())
    x, fc = Y, on.model.one.fc  # type: ignore[union-attr]
    for _ in range(2):
        x = F.relu(x - fc(F.gelu(x)))  # type: ignore[operator]
    assert torch.equal(on.model(Y), x)
    assert torch.equal(on.replayed(Twice)(Y), x)


# ---- refusals ----------------------------------------------------------------------------------------------------


def test_other_words_change_whole_modules() -> None:
    on = bench()
    (found,) = on.predict(Identity(), "at", ReluSites(pattern="layer1.0.relu#0"), scope="site")[0].found
    assert found.code.id == "SD240"
    assert "`scope = all`" in found.help
    assert not on.predict(Identity(), "at", ReluSites(pattern="layer1.0.relu#0"), scope="all")[0].found


class Sometimes(nn.Module):
    """Calls its activation once more where it is told so."""

    more = False

    def __init__(self) -> None:
        super().__init__()
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.act(x) - 1)
        return self.act(x - 1) if self.more else x


def test_a_forward_that_makes_other_calls_is_refused_as_it_runs() -> None:
    host = Sometimes()
    replace_module_call(host, "act", 1, 2, "swap", nn.GELU())
    assert torch.equal(host(Y), F.gelu(F.relu(Y) - 1))
    host.more = True
    with pytest.raises(CallsDiffer, match="made 3 calls of act"):
        host(Y)
    host.more = False
    assert torch.equal(host(Y), F.gelu(F.relu(Y) - 1))


class Outer(nn.Module):
    """Calls a module inside another one, which calls it too."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Sometimes()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner.act(self.inner(x) - 2)


def test_calls_of_other_forwards_are_not_counted() -> None:
    host = Outer()
    replace_module_call(host.inner, "act", 0, 2, "swap", nn.Tanh())
    inner = F.relu(torch.tanh(Y) - 1)
    assert torch.equal(host(Y), F.relu(inner - 2))
    replace_module_call(host, "inner.act", 0, 1, "later", nn.GELU())
    assert torch.equal(host(Y), F.gelu(inner - 2))
    # two forwards call it by one path, so that a number would not say which is meant
    assert not turns(trace(Outer().eval(), spec("N", 6)))


def test_calls_and_insertions_on_one_host() -> None:
    host = Sometimes()
    insert(host, "later", "after", nn.Tanh())
    replace_module_call(host, "act", 0, 2, "swap", nn.GELU())
    assert torch.equal(host(Y), torch.tanh(F.relu(F.gelu(Y) - 1)))
    assert own_class(host) is Sometimes
    assert own_class(host.act) is nn.ReLU


SPEC = ModuleSpec(type="torch.nn.GELU", arguments={})
BLOCK = "layer1.0"


@pytest.mark.parametrize(
    "edit",
    [
        SetModuleCall(host=BLOCK, called="relu", number=2, count=2, name="swap", spec=SPEC),
        SetModuleCall(host=BLOCK, called="nothing", number=0, count=2, name="swap", spec=SPEC),
        SetModuleCall(host=BLOCK, called="", number=0, count=2, name="swap", spec=SPEC),
        SetModuleCall(host=BLOCK, called="relu", number=0, count=2, name="conv1", spec=SPEC),
        SetModuleCall(host="layer1", called="0", number=0, count=1, name="swap", spec=SPEC),
        SetModuleCall(host="nowhere", called="relu", number=0, count=2, name="swap", spec=SPEC),
    ],
)
def test_edits_that_do_not_fit(edit: SetModuleCall) -> None:
    with pytest.raises(EditMisfit):
        carry_out(ResNet(), Change(edit=edit))


def test_a_rollback_takes_the_child_away() -> None:
    model = ResNet().eval()
    before, block = model(X), model.get_submodule(BLOCK)
    with Transaction(model) as transaction:
        edit = SetModuleCall(host=BLOCK, called="relu", number=0, count=2, name="swap", spec=SPEC)
        carry_out(model, Change(edit=edit), transaction)
        assert not torch.equal(model(X), before)
        transaction.rollback()
    assert type(block) is BasicBlock
    assert type(block.relu) is nn.ReLU
    assert "swap" not in dict(block.named_children())
    assert torch.equal(model(X), before)
