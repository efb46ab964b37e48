"""The static rule of each block, and what it leaves behind."""

from dataclasses import replace
from fractions import Fraction

import pytest

from surgery_dsl.diagnostics.diagnostic import Sink
from surgery_dsl.interface.model import Extent, Interface, Module
from surgery_dsl.proof import bookkeeping
from surgery_dsl.proof.check import check
from surgery_dsl.proof.sequence import sequence
from surgery_dsl.proof.state import State, start
from surgery_dsl.proof.steps import advance
from surgery_dsl.vocabulary.context import Effect
from tests.unit.proof.builders import chain, checked, codes, facts, finding, full, line_of, lock, plan

WEAK = """
identify weak {
  in = linear("hidden.*")
  unit = channels
  by = magnitude(p = 1)
  take = lowest(25%)
}
"""
SMALL = """
identify small {
  in = linear("hidden.*")
  unit = weights
  by = magnitude(p = 1)
  per = global
  floor = 5%
}
recover between_steps {
  data = train
  epochs = 1
  optimizer = sgd(lr = 0.05)
  loss = cross_entropy
}
excise small {
  mode = zero
  schedule = linear(0% -> 80%, steps = 4)
  between = between_steps
}
"""
TUNE = """
recover tune {
  data = train
  ATTRIBUTES
  optimizer = adamw(lr = 1e-3)
  loss = cross_entropy
}
"""


def followed(body: str, interface: Interface | None = None) -> tuple[State, Sink]:
    """Follow every run of a plan; return the last state and what was found."""
    network = interface or chain((8, 16, 12, 4))
    text = plan(body)
    sink = Sink("plan.surg")
    data = [facts(name, (8,), (0, 3)) for name in ("train", "test")]
    state = start(text, lock(network, *data, nonzero=full(network)), sink)
    for run in sequence(text):
        state = advance(state, run.step, text)
    return state, sink


# ---- order -------------------------------------------------------------------------------------------------------


def test_a_schedule_is_unrolled_with_what_stands_between() -> None:
    runs = sequence(plan(SMALL))
    assert [(run.step.block, run.stage) for run in runs] == [
        (block, stage) for stage in range(1, 5) for block in ("identify", "excise", "recover")
    ]
    assert [run.share for run in runs if run.step.block == "identify"] == [Fraction(n, 5) for n in (1, 2, 3, 4)]
    assert {run.stages for run in runs} == {4}
    amounts = [run.step.take.amount.value for run in runs if run.step.block == "identify"]  # type: ignore[union-attr]
    assert amounts == [20, 40, 60, 80], "zeros stay where they are, so that shares count all weights"


def test_stages_that_remove_count_what_is_left() -> None:
    body = SMALL.replace("unit = weights", "unit = channels").replace("mode = zero", "mode = remove")
    runs = sequence(plan(body.replace("linear(0% -> 80%, steps = 4)", "linear(0% -> 75%, steps = 3)")))
    amounts = [run.step.take.amount.value for run in runs if run.step.block == "identify"]  # type: ignore[union-attr]
    assert amounts == [25, Fraction(100, 3), 50]
    left = Fraction(1)
    for amount, share in zip(amounts, (25, 50, 75), strict=True):
        left *= 1 - amount / 100
        assert left == 1 - Fraction(share, 100)


def test_steps_without_a_schedule_keep_their_order() -> None:
    text = plan(WEAK + "excise weak\n" + TUNE.replace("ATTRIBUTES", "epochs = 1"))
    assert [(run.step.block, run.stage) for run in sequence(text)] == [("identify", 0), ("excise", 0), ("recover", 0)]


def test_a_schedule_without_stages_and_two_amounts_are_reported() -> None:
    network = chain((8, 16, 12, 4))
    body = SMALL.replace("linear(0% -> 80%, steps = 4)", "linear(0% -> 80%)")
    assert "missing-argument" in codes(check(plan(body), lock(network)))
    both = SMALL.replace("per = global", "per = global\n  take = lowest(3%)")
    assert "two-amounts" in codes(check(plan(both), lock(network)))


# ---- excise ------------------------------------------------------------------------------------------------------


def test_axes_shrink_and_the_sizes_follow() -> None:
    state, sink = followed(WEAK + "excise weak\n")
    assert not sink.found
    assert [axis.size for axis in state.interface.axes] == ["N", 8, 12, 9, 4]
    assert state.before["weak"].interface is state.base
    assert state.after["weak"].interface is state.interface
    assert state.coverage["weak"] == (Fraction(348, 400), Fraction(348, 400))


def test_what_was_picked_is_followed_exactly() -> None:
    text = plan(WEAK.replace("lowest(25%)", "below(0.5)") + "excise weak\n")
    sink = Sink("plan.surg")
    state = start(text, lock(chain((8, 16, 12, 4))), sink)
    identify, excise = text.steps
    open_state = advance(state, identify, text)
    possible = open_state.selections["weak"]
    assert any(taken.least < taken.most for taken in possible.taken)
    taken = tuple(Extent(least=n, most=n) for n in (5, 0))
    exact = advance(state, identify, text, picked=possible.replaced(taken=taken))
    after = advance(exact, excise, text)
    assert [after.interface.exact_size(axis) for axis in (2, 3)] == [11, 12]
    assert not sink.found


def test_advance_is_a_function_of_its_arguments() -> None:
    one, first = followed(WEAK + "excise weak\n")
    two, second = followed(WEAK + "excise weak\n")
    assert one.interface == two.interface
    assert one.effects == two.effects
    assert first.found == second.found


def test_a_selection_that_another_step_outran_is_stale() -> None:
    other = WEAK.replace("weak", "other")
    body = WEAK + other + "excise weak\nexcise other\n"
    report = checked(body)
    found = finding(report, "stale-selection")
    assert found.span is not None
    assert found.span.line == line_of(body, "excise other")
    assert "`weak`" in found.message
    moved = WEAK + "excise weak\n" + other + "excise other\n"
    assert codes(checked(moved)) == []


def test_a_module_that_runs_twice_needs_a_scope() -> None:
    network = chain((8, 16, 16, 4))
    modules = tuple(
        module.replaced(same_as="act.0") if module.path == "act.1" else module for module in network.modules
    )
    operators = tuple(
        op.replaced(path="act.0", module="act.0") if op.path == "act.1" else op for op in network.operators
    )
    calls = tuple(call.replaced(module="act.0") if call.module == "act.1" else call for call in network.calls)
    shared = network.replaced(modules=modules, operators=operators, calls=calls)
    body = 'replace acts {\n  at = relu("act.0")\n  with = gelu()\n}\n'
    state, sink = followed(body, shared)
    assert [found.code.name for found in sink.found] == ["shared-module"]
    assert "act.1" in sink.found[0].notes[0]
    assert state.broken == {"acts"}
    _, fine = followed(body.replace("with", "scope = all\n  with"), shared)
    assert not fine.found


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('replace r {\n  after = relu("**")\n  with = gelu()\n}\n', "place-does-not-fit"),
        ('replace r {\n  at = relu("**")\n  expect = 3\n  with = gelu()\n}\n', "expect-mismatch"),
        ('replace r {\n  at = relu("**")\n  with = relu()\n}\n', "changes-nothing"),
        ('replace r {\n  at = relu("nowhere")\n  with = gelu()\n}\n', "selector-unmatched"),
        (WEAK + "replace r {\n  at = weak\n  with = gelu()\n}\n", "place-does-not-fit"),
        ('replace r {\n  at = linear("head")\n  with = linear(3)\n}\n', "output-contract"),
    ],
)
def test_replacements_that_do_not_stand(body: str, code: str) -> None:
    assert codes(checked(body)) == [code]


def test_a_changed_contract_that_the_plan_names_is_fine() -> None:
    body = 'replace r {\n  at = linear("head")\n  with = linear(3)\n  changes = outputs\n}\n'
    report = checked(body)
    assert codes(report) == []
    (contract,) = [v for v in report.verdicts if v.kind == "contract"]
    assert "becomes f32[N, 3]" in contract.reason


def test_an_optional_step_may_match_nothing() -> None:
    body = 'replace r {\n  at = gelu("**")\n  with = relu()\n  optional = true\n}\n'
    report = checked(body)
    assert codes(report) == []
    assert report.end.interface is report.start.interface
    assert codes(checked(body.replace("  optional = true\n", ""))) == ["selector-unmatched"]


def test_a_step_that_brought_nothing_is_no_site() -> None:
    first = "replace first {\n  at = weak\n  with = reinit(kaiming())\n}\n"
    body = WEAK + first + "replace second {\n  at = first\n  with = gelu()\n}\n"
    assert codes(checked(body)) == ["sites-do-not-fit"]


# ---- recover -----------------------------------------------------------------------------------------------------


def test_training_writes_what_train_names_and_nothing_else() -> None:
    adapters = 'replace adapters {\n  after = relu("act.0")\n  with = bottleneck(width = 2)\n}\n'
    state, sink = followed(adapters + TUNE.replace("ATTRIBUTES", "epochs = 1\n  train = only(adapters)"))
    assert not sink.found
    effect = state.effects["tune"]
    assert effect.writes
    assert all(".adapters." in name for name in effect.writes)
    everything, _ = followed(TUNE.replace("ATTRIBUTES", "epochs = 1"))
    assert everything.effects["tune"].writes == set(full(chain((8, 16, 12, 4))))


@pytest.mark.parametrize(
    ("attributes", "code"),
    [
        ("", "no-length"),
        ("epochs = 1\n  steps = 10", "no-length"),
        ("epochs = 1\n  schedule = cosine(warmup = 11)", "schedule-too-long"),
        ("steps = 5\n  schedule = warmup(steps = 6)", "schedule-too-long"),
        ("epochs = 1\n  schedule = cosine(warmup = 10)", None),
        ("epochs = auto\n  schedule = cosine(warmup = 1000)", None),
    ],
)
def test_lengths_of_training(attributes: str, code: str | None) -> None:
    assert codes(checked(TUNE.replace("ATTRIBUTES", attributes))) == ([code] if code else [])


def test_labels_must_fit_the_outputs() -> None:
    report = check(
        plan(TUNE.replace("ATTRIBUTES", "epochs = 1")),
        lock(chain((8, 16, 12, 4)), facts("train", (8,), (0, 9))),
    )
    assert codes(report) == ["labels-do-not-fit"]


# ---- zeros that training holds -----------------------------------------------------------------------------------


def test_a_gradual_schedule_proves_the_count_of_zeros() -> None:
    report = checked(SMALL + "control final {\n  prove nonzero <= 0.40 * base.nonzero\n}\n")
    assert codes(report) == []
    weights = 8 * 16 + 16 * 12
    assert report.end.zeros_total[0] == weights * 80 // 100
    (verdict,) = [v for v in report.verdicts if v.verb == "prove"]
    assert verdict.value == str(400 - weights * 80 // 100)
    refuted = checked(SMALL + "control final {\n  prove nonzero <= 0.30 * base.nonzero\n}\n")
    assert "reached where training leaves no other entry at zero" in " ".join(finding(refuted, "refuted").notes)


def test_a_step_that_writes_a_tensor_anew_ends_the_hold() -> None:
    network = chain((8, 16, 12, 4))
    held = {"hidden.0.weight": (50, 60), "hidden.1.weight": (10, 10)}
    write = Effect(function="changing", writes=frozenset({"hidden.0.weight"}))
    after, total = bookkeeping.zeros(held, (60, 70), write, network, network, "written")
    assert after == {"hidden.1.weight": (10, 10)}
    assert total == (10, 10)
    trained, kept = bookkeeping.zeros(held, (60, 70), write, network, network, "trained")
    assert trained == held
    assert kept == (60, 70)


def test_slicing_a_tensor_may_remove_its_zeros() -> None:
    network = chain((8, 16, 12, 4))
    axes = tuple(axis.replaced(size=10) if axis.id == 2 else axis for axis in network.axes)
    smaller = network.replaced(axes=axes)
    held = {"hidden.0.weight": (50, 60), "head.weight": (5, 5)}
    slice_ = Effect(function="changing", writes=frozenset({"hidden.0.weight"}))
    after, total = bookkeeping.zeros(held, (60, 65), slice_, network, smaller, "sliced")
    assert after == {"hidden.0.weight": (2, 60), "head.weight": (5, 5)}
    assert total[0] == 12


def test_writes_name_what_a_step_cannot_have_left_alone() -> None:
    network = chain((8, 16, 12, 4))
    axes = tuple(axis.replaced(size=10) if axis.id == 3 else axis for axis in network.axes)
    forgetful = Effect(function="changing")
    found = bookkeeping.all_writes(forgetful, network, network.replaced(axes=axes))
    assert found == {"hidden.1.weight", "hidden.1.bias", "head.weight"}
    gone = network.replaced(tensors=network.tensors[1:])
    assert bookkeeping.all_writes(forgetful, network, gone) == {"hidden.0.weight"}


def test_moves_are_read_off_renamed_tensors() -> None:
    effect = Effect(
        function="changing", renamed={"blocks.3.fc.weight": "blocks.2.fc.weight", "blocks.3.b": "blocks.2.b"}
    )
    moves = bookkeeping.module_moves(effect)
    assert moves == {"blocks.3": "blocks.2"}
    assert bookkeeping.moved("blocks.3.fc", moves) == "blocks.2.fc"
    assert bookkeeping.moved("blocks.30.fc", moves) == "blocks.30.fc"
    assert bookkeeping.moved("other.blocks.3", moves) == "other.blocks.3"


def test_versions_count_what_a_choice_changed() -> None:
    state, _ = followed(WEAK + "excise weak\n")
    assert state.versions == {2: 1, 3: 1}
    assert replace(state, versions={}).versions == {}
    assert isinstance(state.interface.modules[0], Module)
