"""Rules of users: believed where torch agrees, refused by name where it does not."""

from collections.abc import Iterator
from importlib.metadata import EntryPoint

import pytest
import torch
from torch import Tensor, library, nn

import surgery_dsl
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.model import Interface
from surgery_dsl.trace import declared
from surgery_dsl.trace.capture import trace
from surgery_dsl.trace.registry import Outcome
from surgery_dsl.trace.signature import Signature, SignatureError
from surgery_dsl.trace.step import Step
from tests.unit.trace.oracle import assert_permutable, assert_removable, assert_retraceable, inputs_for, shaken, spec


@library.custom_op("rules_test::gate", mutates_args=())
def gate(x: Tensor, scale: Tensor) -> Tensor:
    return x * torch.sigmoid(x.mean(1, keepdim=True) * scale)


@gate.register_fake
def _(x: Tensor, scale: Tensor) -> Tensor:
    return torch.empty_like(x)


@library.custom_op("rules_test::glue", mutates_args=())
def glue(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return torch.cat([a, b], -1), a.sum(-1)


@glue.register_fake
def _(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return a.new_empty(*a.shape[:-1], a.shape[-1] + b.shape[-1]), a.new_empty(a.shape[:-1])


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 3)
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(gate(self.a(x), self.scale))


class Glued(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(4, 5), nn.Linear(11, 3)

    def forward(self, x: Tensor) -> Tensor:
        both, total = glue(self.a(x), self.b(x))
        return self.c(both) + total[..., None]


class Mixer(nn.Module):
    """A kernel of one's own: a loop over time that a tracer would see in a thousand pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.width = 6
        self.decay = nn.Parameter(torch.rand(6))
        self.proj = nn.Linear(6, 6, bias=False)

    def forward(self, x: Tensor, *, back: bool = False) -> Tensor:
        assert x.shape[-1] == self.width
        state, out = torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            state = state * torch.sigmoid(self.decay) + self.proj(x[:, t])
            out.append(state)
        return torch.stack(out, 1)


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.mix, self.b = nn.Linear(4, 6), Mixer(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.mix(torch.relu(self.a(x)), back=False))


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    before = dict(declared._DECLARED)
    yield
    for name in declared._DECLARED.keys() - before.keys():
        declared.forget(name)


X = spec(3, 5, 4)


def frozen_of(interface: Interface, tensor: str, dim: int) -> list[str]:
    return [interface.axes[a].frozen for a in interface.leaves(interface.tensor_by_name[tensor].dims[dim])]


def hold(build: type[nn.Module]) -> Interface:
    torch.manual_seed(0)
    model = build()
    interface = trace(model, X)
    model = shaken(model)
    given = inputs_for(X, {})
    assert_permutable(model, interface, given)
    assert_removable(model, interface, given)
    assert_retraceable(build(), interface, X)
    return interface


def test_without_a_rule_the_operator_is_named_with_the_line_and_the_way_out() -> None:
    (reason,) = frozen_of(trace(Gated(), X), "a.weight", 0)
    assert "rules_test::gate" in reason
    assert "test_declared.py:" in reason
    assert "docs/operators.md" in reason


def test_a_signature_frees_what_it_names() -> None:
    surgery_dsl.operator_signature("rules_test::gate", "x[b, time, c], scale[c] -> [b, time, c]", fixed=["time"])
    interface = hold(Gated)
    assert frozen_of(interface, "a.weight", 0) == [""]
    (operator,) = [one for one in interface.operators if one.kind == "gate"]
    assert operator.tensors == {"scale": "scale"}


def test_what_a_signature_does_not_name_keeps_its_size() -> None:
    surgery_dsl.operator_signature("rules_test::gate", "x[..., c] -> [..., c]")
    interface = trace(Gated(), X)
    assert "rules_test::gate" in frozen_of(interface, "scale", 0)[0]
    assert "rules_test::gate" in frozen_of(interface, "a.weight", 0)[0], "the operator objects to another size"


def test_sums_and_several_outputs() -> None:
    surgery_dsl.operator_signature("rules_test::glue", "a[..., p], b[..., q] -> [..., p + q], [...]")
    interface = hold(Glued)
    assert frozen_of(interface, "c.weight", 1) == ["", ""]


def test_a_decorated_rule_is_asked() -> None:
    @surgery_dsl.operator_rule("rules_test::gate")
    def rule(step: Step) -> Outcome:
        dims = step.of("x").dims
        step.axes.unify(dims[-1], step.of("scale").dims[0])
        return Outcome([dims])

    assert frozen_of(hold(Gated), "a.weight", 0) == [""]


@pytest.mark.parametrize(
    ("signature", "says"),
    [
        ("x[b, time, c], scale[c] -> [b, c]", "an output has 3 dimensions, not 2"),
        ("x[b, time, c], scale[c] -> [b, c, time]", "it says that output 0 is [3, 6, 5], torch computed [3, 5, 6]"),
        ("x[b, c, time], scale[c] -> [b, c, time]", "a dimension of `scale` has size 6, the signature says 5"),
        ("x[c], scale[c] -> [c]", "`x` has 3 dimensions, not 1"),
        ("x[..., h + h + h + h], scale[c] -> [..., c]", "has size 6, which `h + h + h + h` is not"),
        ("x[..., h * s], scale[c] -> [..., c]", "do not follow"),
    ],
)
def test_a_signature_that_lies_is_refused_by_name(signature: str, says: str) -> None:
    surgery_dsl.operator_signature("rules_test::gate", signature)
    with pytest.raises(Refused) as refused:
        trace(Gated(), X)
    (found,) = refused.value.diagnostics
    assert found.code.id == "SD206"
    assert "rules_test::gate" in found.message
    assert says in found.message
    assert any("test_declared.py:" in note for note in found.notes)


def test_a_rule_that_fails_is_refused_by_name() -> None:
    @surgery_dsl.operator_rule("rules_test::gate")
    def rule(step: Step) -> Outcome:
        return Outcome([step.of("y").dims])

    with pytest.raises(Refused) as refused:
        trace(Gated(), X)
    assert "rules_test::gate" in refused.value.diagnostics[0].message
    assert "has no tensor y" in refused.value.diagnostics[0].message


def test_a_module_counts_as_one_operator() -> None:
    surgery_dsl.module_signature(
        Mixer,
        "x[b, time, c], decay[c], proj.weight[c, c] -> [b, time, c]",
        fixed=["time"],
        integers={"width": "c"},
    )
    interface = hold(Mixed)
    assert frozen_of(interface, "a.weight", 0) == [""]
    assert [(one.kind, one.path) for one in interface.operators if one.module == "mix"] == [("Mixer", "mix")]
    assert set(interface.module_by_path["mix"].integers) == {"width"}


def test_tensors_of_a_module_that_are_not_named_keep_their_sizes() -> None:
    surgery_dsl.module_signature(Mixer, "x[b, time, c], decay[c] -> [b, time, c]", integers={"width": "c"})
    interface = trace(Mixed(), X)
    assert all("Mixer" in reason for reason in frozen_of(interface, "mix.proj.weight", 0))


@pytest.mark.parametrize(
    "text",
    ["x[a]", "x[a] -> ", "[a] -> [a]", "x[a], x[a] -> [a]", "x[a, ...] -> [a]", "x[a*...] -> [a]", "x(a) -> [a]"],
)
def test_signatures_that_cannot_be_read(text: str) -> None:
    with pytest.raises(SignatureError):
        Signature.read(text)
    with pytest.raises(SignatureError):
        Signature.read("x[a] -> [a]", fixed=["b"])


def test_rules_of_this_program_stand() -> None:
    with pytest.raises(ValueError, match="has a rule already"):
        surgery_dsl.operator_signature("aten::mm", "self[a, b], mat2[b, c] -> [a, c]")


def test_installed_packages_register_when_something_is_first_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("ours", "tests.unit.trace.test_declared:register_installed", declared.GROUP)
    monkeypatch.setattr(declared, "entry_points", lambda group: [point] if group == declared.GROUP else [])
    declared.load_installed.cache_clear()
    assert frozen_of(trace(Gated(), X), "a.weight", 0) == [""]
    broken = EntryPoint("theirs", "tests.unit.trace.no_such_module", declared.GROUP)
    monkeypatch.setattr(declared, "entry_points", lambda group: [broken])
    declared.load_installed.cache_clear()
    with pytest.raises(Refused, match="theirs"):
        trace(Gated(), X)
    monkeypatch.undo()
    declared.load_installed.cache_clear()


def register_installed() -> None:
    surgery_dsl.operator_signature("rules_test::gate", "x[..., c], scale[c] -> [..., c]")
