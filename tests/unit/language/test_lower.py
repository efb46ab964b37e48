"""The typed plan: round trips through JSON, what words and numbers become, params."""

from fractions import Fraction
from pathlib import Path

import pytest

from surgery_dsl.language import plan as ir
from surgery_dsl.language.numbers import fold
from surgery_dsl.language.plan import Plan
from surgery_dsl.language.read import read_plan
from surgery_dsl.vocabulary import catalogue
from surgery_dsl.vocabulary.values import Bytes, NumberArrow, Percent, PercentArrow, Plain, Point, Points, Seconds
from tests.unit.language.test_parse import attribute

PLANS = Path(__file__).parents[2] / "plans"
RUNNING = ["01", "02", "03", "04", "05", "06", "07", "08"]
HEAD = """surg 1

model net {
  load = python("digits:build_cnn", width = 8, names = ["a", "b"])
  input = x("f32", [N, 1, 8, 8])
}
data train { load = digits(split = "train") }
"""


def lower(text: str, **sets: str) -> Plan:
    plan, found = read_plan(HEAD + text, "plan.surg", sets)
    assert found == ()
    assert plan is not None
    return plan


def codes(text: str, **sets: str) -> list[str]:
    _, found = read_plan(HEAD + text, "plan.surg", sets)
    return [d.code.id for d in found]


@pytest.mark.parametrize("number", RUNNING)
def test_plans_survive_json(number: str) -> None:
    (path,) = PLANS.glob(f"{number}-*.surg")
    plan, found = read_plan(path.read_text(encoding="utf-8"), path.name)
    assert found == ()
    assert plan is not None
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_every_other_plan_is_refused_by_the_words_it_lacks() -> None:
    for path in sorted(PLANS.glob("*.surg")):
        if path.name[:2] in RUNNING:
            continue
        plan, found = read_plan(path.read_text(encoding="utf-8"), path.name)
        assert (plan is None) == bool(found)
        for d in found:
            assert d.help
            if d.code.id == "SD105" and "word" in d.facts:
                available = str(d.facts["available"])
                assert str(d.facts["word"]) not in available.split(", ")
                shown = " ".join((d.help, *d.notes))
                unsaid = [word for word in available.split(", ") if word not in shown]
                assert not unsaid or f"and {len(unsaid)} more" in shown


def test_lowering_is_the_same_for_another_layout() -> None:
    text = (PLANS / "01-slim-digits.surg").read_text(encoding="utf-8")
    one, _ = read_plan(text, "p")
    other, found = read_plan(text.replace("  ", "    ").replace("(train, batches = 8)", "(\ntrain,\nbatches=8,)"), "p")
    assert found == ()
    assert one is not None
    assert other is not None
    ignored = {"digest"}

    def bare(value: object) -> object:
        if isinstance(value, dict):
            return {key: bare(item) for key, item in value.items() if key not in ("span", "spans", "digest")}
        return [bare(item) for item in value] if isinstance(value, list) else value

    assert bare(one.model_dump(mode="json", exclude=ignored)) == bare(other.model_dump(mode="json", exclude=ignored))
    assert one.digest != other.digest


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("20k", Plain(value=Fraction(20_000))),
        ("2.4B", Plain(value=Fraction(2_400_000_000))),
        ("1e-4", Plain(value=Fraction(1, 10_000))),
        ("0.1 + 0.2", Plain(value=Fraction(3, 10))),
        ("1/255", Plain(value=Fraction(1, 255))),
        ("-2 * (3 - 1)", Plain(value=Fraction(-4))),
        ("40%", Percent(value=Fraction(40))),
        ("40% / 2 + 5%", Percent(value=Fraction(25))),
        ("1.5pp", Points(value=Fraction(3, 2))),
        ("7GiB", Bytes(value=Fraction(7 * 2**30))),
        ("2 * 3MB", Bytes(value=Fraction(6_000_000))),
        ("50ms", Seconds(value=Fraction(1, 20))),
        ("2min", Seconds(value=Fraction(120))),
        ("1 / 0", None),
        ("40% + 1", None),
        ("1GiB + 1s", None),
        ("40% * 40%", None),
        ("name", None),
        ('"3"', None),
    ],
)
def test_numbers_are_exact(text: str, value: object) -> None:
    assert fold(attribute(text)) == value


def test_words_and_their_arguments() -> None:
    plan = lower(
        """identify weak {
  in = [conv2d("features.**", except = ["features.0"]), linear("head")]
  unit = channels
  by = taylor(train, batches = 8)
  take = lowest(8 -> 4)
  floor = 5%
  cap = 3
}
excise weak {
  mode = zero
  schedule = cubic(0% -> 80%, steps = 10)
  between = tune
}
recover tune {
  data = [train]
  epochs = auto
  optimizer = adamw(lr = cosine(1e-3 -> 0), betas = [0.8, 0.9])
  loss = 0.5 * cross_entropy - mse / 4 + 2 * (distill(base) - 50% * mse)
}
control final {
  measure max(loss(train), -1 * loss(train)) <= before(weak).loss(train) + 0.1
}
"""
    )
    loader = plan.models[0].load
    assert loader.model_dump()["arguments"] == {"width": 8, "names": ["a", "b"]}
    identify, excise, recover, control = plan.steps
    assert isinstance(identify, ir.Identify)
    first, second = identify.sites
    assert first.word is not None
    assert (first.word.name, first.word.model_dump()["except_"]) == ("conv2d", ("features.0",))
    assert second.word is not None
    assert second.word.span is not None
    assert second.word.span.line == 9
    assert identify.take is not None
    assert identify.take.amount == NumberArrow(left=Fraction(8), right=Fraction(4))  # type: ignore[attr-defined]
    assert (identify.floor, identify.cap) == (Percent(value=Fraction(5)), 3)
    assert identify.spans["take"].line == 12
    assert isinstance(excise, ir.Excise)
    assert excise.between == ("tune",)
    assert excise.schedule is not None
    arrow = excise.schedule.model_dump()
    assert PercentArrow(left=Percent(value=Fraction(0)), right=Percent(value=Fraction(80))) in [
        getattr(excise.schedule, name) for name in arrow if name in type(excise.schedule).model_fields
    ]
    assert isinstance(recover, ir.Recover)
    assert recover.epochs == "auto"
    assert recover.data == ("train",)
    assert [(term.word.name, term.weight) for term in recover.loss] == [
        ("cross_entropy", 0.5),
        ("mse", -0.25),
        ("distill", 2.0),
        ("mse", -1.0),
    ]
    assert isinstance(control, ir.Control)
    (obligation,) = control.obligations
    assert obligation.text == "max(loss(train), -1 * loss(train)) <= before(weak).loss(train) + 0.1"
    assert isinstance(obligation.statement, ir.Comparison)
    assert isinstance(obligation.statement.left, ir.Apply)
    assert isinstance(obligation.statement.right, ir.Arithmetic)
    assert isinstance(obligation.statement.right.left, ir.Reading)
    assert obligation.statement.right.left.point == Point(at="before", name="weak")


PARAMS = """param ratio {
  default = 40%
  in = 10%..60%
}
param way {
  default = "a"
  in = ["a", "b"]
}
identify weak {
  in = linear("**")
  unit = channels
  by = pick(way, a = magnitude(p = 1), b = taylor(train))
  take = lowest(ratio / 2)
}
excise weak
"""


def test_params_are_put_in() -> None:
    plan = lower(PARAMS)
    weak = plan.steps[0]
    assert isinstance(weak, ir.Identify)
    assert weak.by is not None
    assert weak.by.name == "magnitude"
    assert weak.take.amount == Percent(value=Fraction(20))  # type: ignore[union-attr]
    changed = lower(PARAMS, ratio="30%", way="b")
    assert [(p.name, p.default, p.value) for p in changed.params] == [
        ("ratio", Percent(value=Fraction(40)), Percent(value=Fraction(30))),
        ("way", "a", "b"),
    ]
    weak = changed.steps[0]
    assert isinstance(weak, ir.Identify)
    assert weak.by is not None
    assert weak.by.name == "taylor"
    assert lower(PARAMS, way='"b"').params[1].value == "b"


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("ratio", "61%", "SD113"),
        ("ratio", "9.99%", "SD113"),
        ("ratio", "0.4", "SD108"),
        ("ratio", "a", "SD108"),
        ("ratio", "[1]", "SD107"),
        ("ratio", "", "SD107"),
        ("ratio", "40%\n}\nexcise weak {", "SD107"),
        ("ratio", "40% # comment", None),
        ("way", "c", "SD113"),
        ("way", "3", "SD113"),
        ("rtio", "30%", "SD114"),
        ("weak", "30%", "SD114"),
    ],
)
def test_what_set_may_give(name: str, value: str, code: str | None) -> None:
    assert codes(PARAMS, **{name: value}) == ([code] if code else [])


def test_every_branch_of_pick_is_read() -> None:
    assert codes(PARAMS.replace("taylor(train)", "taylor(test)")) == ["SD106"]
    assert codes(PARAMS.replace(", b = taylor(train)", "")) == ["SD111"]
    assert codes(PARAMS.replace("pick(way", "pick(ratio")) == ["SD106"]


def test_a_param_of_words_names_words() -> None:
    text = """param act {
  default = "gelu"
  in = ["gelu", "silu"]
}
replace acts {
  at = relu("**")
  with = act
}
"""
    (step,) = lower(text, act="silu").steps
    assert isinstance(step, ir.Replace)
    assert step.transform.name == "silu"
    assert codes(text.replace('"silu"', '"sillu"')) == ["SD105"]


def test_inputs_and_free_sizes() -> None:
    text = """surg 1

model lm {
  load = python("m:f")
  input = [ids("i64", [B, T in 1..512], below = 101), mask("i64", [B, T], B = 1..4)]
  output = [logits, state]
}
"""
    plan, found = read_plan(text, "p")
    assert found == ()
    assert plan is not None
    model = plan.patient
    assert model.keyword_inputs
    assert model.outputs == ("logits", "state")
    assert [(spec.name, spec.dims, spec.below) for spec in model.inputs] == [
        ("ids", ("B", "T"), 101),
        ("mask", ("B", "T"), None),
    ]
    assert [(free.name, free.least, free.most) for spec in model.inputs for free in spec.free] == [
        ("T", 1, 512),
        ("B", 1, 4),
    ]


def test_sites_of_another_model_and_of_steps() -> None:
    plan = lower(
        """model critic {
  load = python("m:f")
  input = x("f32", [N, 2])
  role = partner
}
replace a {
  at = critic.norm("**")
  with = identity()
}
replace b {
  at = a
  with = identity()
}
"""
    )
    first, second = plan.steps
    assert isinstance(first, ir.Replace)
    assert isinstance(second, ir.Replace)
    assert (first.sites[0].model, first.where) == ("critic", "at")
    assert second.sites[0].step == "a"


def test_the_plan_has_room_for_later_words() -> None:
    """Several models with roles, points, runs, environments, observers and searches have their place already."""
    point = Point(at="twin", name="tune", changes={"loss": "elbo(beta = 4)"})
    reading = ir.Reading(point=point, word=catalogue.find("quantities", "params")())
    run = ir.RunReading(step="tune", name="kl")
    claim = ir.Comparison(relation="<=", left=ir.Apply(function="max", arguments=(run,)), right=reading)
    gate = ir.Control(name="g", obligations=(ir.Obligation(verb="measure", text="t", statement=claim),))
    step = ir.Observe(name="o", record=())
    plan = Plan(file="p", dialect=1, digest="d", models=(), steps=(gate, step))
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_mistakes_in_one_place_do_not_hide_those_in_another() -> None:
    text = """identify weak {
  in = linear("**")
  unit = chanels
  take = lowest(40%
}
excise weak
replace x {
  at = relu("**")
  with = gellu()
}
control c {
  prove params <=
}
"""
    assert codes(text) == ["SD105", "SD003", "SD105", "SD001"]
