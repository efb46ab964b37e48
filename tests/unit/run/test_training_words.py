"""The words of training against torch, hand-made numbers and float64 formulas."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.layers import layers, parameters_below
from surgery_dsl.interface.lock import DataFacts
from surgery_dsl.interface.model import Interface
from surgery_dsl.trace.capture import trace
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.losses.cross_entropy import CrossEntropy
from surgery_dsl.vocabulary.losses.distill import Distill
from surgery_dsl.vocabulary.losses.mse import Mse
from surgery_dsl.vocabulary.optimizers.adamw import Adamw
from surgery_dsl.vocabulary.optimizers.sgd import Sgd
from surgery_dsl.vocabulary.rates.layerwise import Layerwise
from surgery_dsl.vocabulary.trainables.all import All
from surgery_dsl.vocabulary.trainables.gradual import Gradual
from surgery_dsl.vocabulary.trainables.only import Only
from surgery_dsl.vocabulary.trainables.statistics import Statistics


class Net(nn.Module):
    """Declared in another order than it runs; the head is tied to the stem."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 4, bias=False)
        self.last = nn.Linear(4, 3)
        self.body = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 4))
        self.stem = nn.Linear(4, 4, bias=False)
        self.stem.weight = self.head.weight

    def forward(self, x):
        return self.last(self.head(self.body(self.stem(x))))


@pytest.fixture(scope="module")
def interface() -> Interface:
    return trace(Net(), (InputSpec(name="x", dtype="f32", dims=("N", 4)),))


def facts(**changes: object) -> DataFacts:
    fields = {
        "name": "d",
        "count": 10,
        "input_shape": (4,),
        "input_dtype": "f32",
        "target_shape": (),
        "target_dtype": "i64",
        "label_range": (0, 2),
        "digest": "0",
        "batch": 5,
    }
    return DataFacts(**(fields | changes))


def context(interface: Interface, **changes: object) -> Static:
    return Static(
        interface=interface,
        base=interface,
        data={},
        weights=None,
        selections={},
        effects={},
        step="tune",
        file="plan.surg",
        sink=Sink(),
        **changes,
    )


# ---- losses --------------------------------------------------------------------------------------------------------


@given(st.integers(0, 2**31), st.floats(0.5, 20.0))
def test_distillation_is_hintons_formula(seed: int, temperature: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    student = torch.randn(5, 7, generator=generator, dtype=torch.float64) * 3
    taught = torch.randn(5, 7, generator=generator, dtype=torch.float64) * 3
    runtime = SimpleNamespace(point=lambda _: (lambda _x: taught, None), outputs=lambda network, x: network(x))
    found = Distill(teacher="base", temperature=temperature).value(student, student, student, runtime)
    total = 0.0
    for row in range(5):
        p = [math.exp(v / temperature) for v in taught[row].tolist()]
        q = [math.exp(v / temperature) for v in student[row].tolist()]
        p, q = [v / sum(p) for v in p], [v / sum(q) for v in q]
        total += temperature**2 * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert found.item() == pytest.approx(total / 5, rel=1e-9, abs=1e-12)


def test_distillation_sends_no_gradient_to_the_teacher() -> None:
    teacher = nn.Linear(4, 3)
    student = torch.randn(5, 3, requires_grad=True)
    runtime = SimpleNamespace(point=lambda _: (teacher, None), outputs=lambda network, x: network(x))
    Distill(teacher="base").value(student, torch.randn(5, 4), torch.zeros(5), runtime).backward()
    assert student.grad is not None
    assert teacher.weight.grad is None


def test_the_gradient_of_distillation_keeps_its_size_over_temperatures() -> None:
    """At high temperatures T² · KL has the gradient (z − v)/N of its limit (Hinton et al. 2015, section 2.1)."""
    taught = torch.randn(4, 6, dtype=torch.float64)
    taught -= taught.mean(1, keepdim=True)
    student = (torch.randn(4, 6, dtype=torch.float64)).requires_grad_()
    runtime = SimpleNamespace(point=lambda _: (lambda _x: taught, None), outputs=lambda network, x: network(x))
    Distill(teacher="base", temperature=1e4).value(student, student, student, runtime).backward()
    centred = student.detach() - student.detach().mean(1, keepdim=True)
    assert torch.allclose(student.grad, (centred - taught) / 6 / 4, atol=1e-4)


def test_cross_entropy_and_mse_are_torchs() -> None:
    logits, labels = torch.randn(6, 4, 3), torch.randint(0, 4, (6, 3))
    found = CrossEntropy(smoothing=0.1).value(logits, logits, labels, SimpleNamespace())
    assert torch.equal(found, nn.CrossEntropyLoss(label_smoothing=0.1)(logits, labels))
    outputs, targets = torch.randn(6, 2), torch.randn(6, 2, dtype=torch.float64)
    found = Mse().value(outputs, outputs, targets, SimpleNamespace())
    assert found.item() == pytest.approx(((outputs - targets) ** 2).mean().item(), rel=1e-6)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"label_range": (0, 3)}, runs.LABELS_DO_NOT_FIT),
        ({"label_range": (-1, 2)}, runs.LABELS_DO_NOT_FIT),
        ({"label_range": None, "target_dtype": "f32"}, runs.TARGETS_DO_NOT_FIT),
        ({"label_range": (0, 2)}, None),
    ],
)
def test_labels_must_fit_the_classes(interface: Interface, changes: dict, code: object) -> None:
    seen = context(interface)
    CrossEntropy().check(interface, facts(**changes), seen)
    assert [d.code for d in seen.sink.found] == ([code] if code else [])
    if code is runs.LABELS_DO_NOT_FIT:
        assert seen.sink.found[0].facts["classes"] == 3


@pytest.mark.parametrize(("shape", "fits"), [((3,), True), ((), False), ((4,), False), ((3, 1), False)])
def test_targets_of_mse_must_have_the_outputs_shape(interface: Interface, shape: tuple[int, ...], fits: bool) -> None:
    seen = context(interface)
    Mse().check(interface, facts(target_shape=shape, target_dtype="f32", label_range=None), seen)
    assert seen.sink.failed is not fits


def test_a_teacher_with_other_classes_is_refused(interface: Interface) -> None:
    class Other(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Linear(4, 5)

        def forward(self, x):
            return self.last(x)

    other = trace(Other(), (InputSpec(name="x", dtype="f32", dims=("N", 4)),))
    seen = context(interface)
    Distill(teacher="base").check(other, facts(), seen)
    assert seen.sink.found[0].facts == {"teacher": 3, "student": 5}


# ---- optimizers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "reference"),
    [
        (
            Adamw(lr=0.1, betas=(0.8, 0.9), decay=0.3, eps=1e-6),
            lambda p: torch.optim.AdamW(p, 0.1, (0.8, 0.9), 1e-6, 0.3),
        ),
        (
            Sgd(lr=0.1, momentum=0.7, decay=0.2, nesterov=True),
            lambda p: torch.optim.SGD(p, 0.1, momentum=0.7, weight_decay=0.2, nesterov=True),
        ),
    ],
)
def test_optimizers_step_as_torchs_do(word: object, reference: object) -> None:
    torch.manual_seed(0)
    mine = nn.Parameter(torch.randn(5))
    theirs = nn.Parameter(mine.detach().clone())
    one, two = word.build([{"params": [mine], "lr": 0.1}]), reference([theirs])
    for _ in range(4):
        for parameter, optimizer in ((mine, one), (theirs, two)):
            optimizer.zero_grad()
            (parameter**3).sum().backward()
            optimizer.step()
    assert torch.equal(mine, theirs)


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(ValueError, match="momentum"):
        Sgd(lr=0.1, nesterov=True)


# ---- layers, rates, what is trained --------------------------------------------------------------------------------


def test_layers_stand_in_the_order_of_the_forward(interface: Interface) -> None:
    assert [layer.path for layer in layers(interface)] == ["head", "body.0", "body.1", "body.3", "last"]
    assert layers(interface)[0].parameters == ("head.weight",)  # tied to the stem, which runs first


def test_layerwise_rates_fall_towards_the_input(interface: Interface) -> None:
    everything = sorted(All().tensors(0, interface, {}))
    groups = Layerwise(rate=1.0, decay=0.5).groups(everything, interface)
    assert [rate for rate, _ in groups] == [0.5**4, 0.5**3, 0.5**2, 0.5, 1.0]
    assert sorted(name for _, names in groups for name in names) == everything
    some = Layerwise(rate=1.0, decay=0.5).groups(["body.3.weight"], interface)
    assert some == ((0.5, ("body.3.weight",)),)


def test_gradual_thawing_goes_from_the_top_down(interface: Interface) -> None:
    brought = {"step": ("body.3",)}
    thaw = Gradual(from_="step", every=2)
    first = thaw.tensors(0, interface, brought)
    assert first == {"body.3.weight", "body.3.bias", "last.weight", "last.bias"}
    assert thaw.tensors(1, interface, brought) == first
    assert thaw.tensors(2, interface, brought) == first | {"body.1.weight", "body.1.bias"}
    assert thaw.tensors(100, interface, brought) == All().tensors(0, interface, {})
    assert thaw.tensors(0, interface, {}) == frozenset()


def test_only_trains_below_the_modules_of_a_step(interface: Interface) -> None:
    assert Only(step="s").tensors(0, interface, {"s": ("body",)}) == {
        "body.0.weight",
        "body.0.bias",
        "body.1.weight",
        "body.1.bias",
        "body.3.weight",
        "body.3.bias",
    }
    assert Only(step="s").tensors(3, interface, {"s": ("stem",)}) == {"head.weight"}
    assert parameters_below(interface, ("bod",)) == frozenset()


def test_a_choice_that_freezes_everything_is_reported(interface: Interface) -> None:
    for word in (Only(step="s"), Gradual(from_="s")):
        seen = context(interface, brought={"s": ("body.2",)})
        word.check(seen)
        assert [d.code for d in seen.sink.found] == [runs.EVERYTHING_FROZEN]
        fine = context(interface, brought={"s": ("body.3",)})
        word.check(fine)
        assert fine.sink.found == ()


def test_statistics_need_a_norm_that_keeps_them(interface: Interface) -> None:
    seen = context(interface)
    Statistics().check(seen)
    assert not seen.sink.failed
    plain = trace(nn.Sequential(nn.Linear(4, 4)), (InputSpec(name="x", dtype="f32", dims=("N", 4)),))
    bare = context(plain)
    Statistics().check(bare)
    assert [d.code for d in bare.sink.found] == [runs.EVERYTHING_FROZEN]
