"""What a change to a plan loosens: a table of edits, each with the ruling that a reviewer would give."""

import itertools
import operator
import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgery_dsl.language.format import format_source
from surgery_dsl.language.meaning import Meaning, meaning
from surgery_dsl.language.plan import Plan, Reading
from surgery_dsl.language.read import read_plan
from tests.cli.program import ROOT

BASE = """surg 1

model net {
  load = python("digits:build_cnn")
  weights = "digits_cnn.safetensors"
  input = x("f32", [N, 1, 8, 8], N = 1..64)
  target = hf
}
data train { load = digits(split = "train") }
data test { load = digits(split = "test") }
param ratio {
  default = 40%
  in = 10%..60%
}
param limit { default = 0.65 }

identify weak {
  in = conv2d("features.**")
  expect = 3
  unit = channels
  by = taylor(train, batches = 8)
  take = lowest(ratio)
  round = 8
  floor = 8
  cap = 50%
}
excise weak { mode = remove }
control early { prove params <= limit * base.params }
replace head {
  at = linear("head")
  with = linear(12)
  changes = outputs
}
recover tune {
  data = train
  epochs = 3
  optimizer = adamw(lr = 1e-3)
  loss = cross_entropy
  seed = 7
}
control final {
  prove weight_bytes <= 1M
  prove macs <= 0.70 * base.macs
  prove nonzero >= 1000
  prove frozen(param("head.bias"))
  measure accuracy(test) >= base.accuracy(test) - 1pp
  measure loss(test) <= base.loss(test) + 0.10
  measure dead(test, eps = 1e-6) == 0
  measure grad_flow(train, batches = 4) > 0
  certify change(box(test, eps = 1/10, samples = 20), norm = inf) <= 6.0
}
"""


def read(text: str) -> Plan:
    plan, found = read_plan(text, "plan.surg")
    assert plan is not None, found
    return plan


def compare(before: str, after: str) -> Meaning:
    return meaning(read(before), read(after), (before, after))


EDITS = [
    # limits
    ("limit raised", "0.70 * base.macs", "0.80 * base.macs", {"loosened"}),
    ("limit lowered", "0.70 * base.macs", "0.60 * base.macs", {"tightened"}),
    ("percent for a share", "0.70 * base.macs", "70% * base.macs", {"cosmetic"}),
    ("the sides exchanged", "prove macs <= 0.70 * base.macs", "prove 0.70 * base.macs >= macs", {"cosmetic"}),
    ("both sides scaled", "prove macs <= 0.70 * base.macs", "prove 10 * macs <= 7 * base.macs", {"cosmetic"}),
    ("scientific for a suffix", "1M", "1e6", {"cosmetic"}),
    ("bytes with a unit", "weight_bytes <= 1M", "weight_bytes <= 1MB", {"cosmetic"}),
    ("binary for decimal bytes", "weight_bytes <= 1M", "weight_bytes <= 1MiB", {"loosened"}),
    ("strict relation", "macs <= 0.70", "macs < 0.70", {"tightened"}),
    ("relation turned into an equation", "dead(test, eps = 1e-6) == 0", "dead(test, eps = 1e-6) <= 0", {"loosened"}),
    ("lower bound lowered", "nonzero >= 1000", "nonzero >= 900", {"loosened"}),
    ("lower bound raised", "nonzero >= 1000", "nonzero >= 1.1k", {"tightened"}),
    ("bound from the other side", "nonzero >= 1000", "nonzero <= 1000", {"loosened"}),
    ("limit of another thing", "0.70 * base.macs", "200k", {"loosened"}),
    ("limit by a param", "default = 0.65", "default = 0.70", {"changed", "loosened"}),
    ("a share of the base", "macs <= 0.70 * base.macs", "macs / base.macs <= 0.7", {"cosmetic"}),
    ("a smaller share of the base", "macs <= 0.70 * base.macs", "macs / base.macs <= 0.6", {"tightened"}),
    ("a larger limit at a larger size", "macs <= 0.70 * base.macs", "macs(N = 2) <= 2B", {"loosened"}),
    ("a larger limit, proved", "measure grad_flow(train, batches = 4) > 0", "prove grad_flow(train, batches = 4) > -1",
     {"loosened"}),
    # gates
    ("points for a share", "- 1pp", "- 0.01", {"cosmetic"}),
    ("gate widened", "- 1pp", "- 2pp", {"loosened"}),
    ("gate narrowed", "- 1pp", "- 0.5pp", {"tightened"}),
    ("gate on other data", "loss(test) <= base.loss(test)", "loss(train) <= base.loss(train)", {"loosened"}),
    ("data of a gate", 'digits(split = "test")', 'digits(split = "train")', {"loosened"}),
    ("data of training alone", "data = train\n  epochs = 3", "data = test\n  epochs = 3", {"changed"}),
    ("fewer batches", "grad_flow(train, batches = 4)", "grad_flow(train, batches = 2)", {"loosened"}),
    ("smaller tolerance of dead units", "eps = 1e-6", "eps = 1e-7", {"loosened"}),
    ("smaller region", "eps = 1/10", "eps = 1/20", {"loosened"}),
    ("larger region", "eps = 1/10", "eps = 1/5", {"tightened"}),
    ("same region", "eps = 1/10", "eps = 0.1", {"cosmetic"}),
    ("fewer samples", "samples = 20", "samples = 10", {"loosened"}),
    ("another norm", "norm = inf) <= 6.0", "norm = 2) <= 6.0", {"loosened"}),
    ("measured, not proved", "prove macs", "measure macs", {"loosened"}),
    ("proved, not measured", "measure grad_flow", "certify grad_flow", {"tightened"}),
    ("obligation removed", "  prove nonzero >= 1000\n", "", {"loosened"}),
    ("obligation added", "  prove nonzero >= 1000\n", "  prove nonzero >= 1000\n  prove params >= 10\n", {"tightened"}),
    ("obligations in another order", "  prove nonzero >= 1000\n  prove frozen(param(\"head.bias\"))\n",
     "  prove frozen(param(\"head.bias\"))\n  prove nonzero >= 1000\n", set()),
    ("another property", 'frozen(param("head.bias"))', 'frozen(param("head.weight"))', {"loosened"}),
    ("control renamed", "control final", "control last", set()),
    # selection
    ("expect removed", "  expect = 3\n", "", {"loosened"}),
    ("expect changed", "expect = 3", "expect = 4", {"changed"}),
    ("floor lowered", "floor = 8", "floor = 4", {"loosened"}),
    ("floor in another unit", "floor = 8", "floor = 20%", {"loosened"}),
    ("cap raised", "cap = 50%", "cap = 60%", {"loosened"}),
    ("cap removed", "  cap = 50%\n", "", {"loosened"}),
    ("cap lowered", "cap = 50%", "cap = 40%", {"tightened"}),
    ("finer rounding", "round = 8", "round = 4", {"loosened"}),
    ("coarser rounding", "round = 8", "round = 16", {"tightened"}),
    ("optional", "  expect = 3\n", "  expect = 3\n  optional = true\n", {"loosened"}),
    ("other sites", '"features.**"', '"features.*"', {"changed"}),
    ("another criterion", "taylor(train, batches = 8)", "taylor(train, batches = 16)", {"changed"}),
    ("seed with gates", "seed = 7", "seed = 8", {"loosened"}),
    ("default of a param", "default = 40%", "default = 30%", {"changed"}),
    ("wider param", "10%..60%", "10%..70%", {"loosened"}),
    ("narrower param", "10%..60%", "20%..60%", {"tightened"}),
    # contract and trust
    ("contract widened", "changes = outputs", "changes = [outputs, values]", {"loosened"}),
    ("contract kept", "  changes = outputs\n", "", {"tightened"}),
    ("target given up", "  target = hf\n", "", {"loosened"}),
    ("fewer sizes", "N = 1..64", "N = 1..32", {"loosened"}),
    ("more sizes", "N = 1..64", "N = 1..128", {"tightened"}),
    ("a fixed batch", "[N, 1, 8, 8], N = 1..64", "[1, 1, 8, 8]", {"loosened"}),
    ("multiples alone", "[N, 1, 8, 8], N = 1..64", "[8 * N, 1, 8, 8], N = 1..8", {"loosened"}),
    ("other sizes", "[N, 1, 8, 8], N = 1..64", "[2 * N + 1, 1, 8, 8], N = 30..40", {"changed"}),
    ("another name of a size", "[N, 1, 8, 8], N = 1..64", "[B, 1, 8, 8], B = 1..64", {"cosmetic"}),
    ("other code", "digits:build_cnn", "digits:build_mlp", {"changed", "loosened", "tightened"}),
    ("a pickle", "digits_cnn.safetensors", "digits_cnn.pt", {"changed", "loosened"}),
    ("other training", "epochs = 3", "epochs = 4", {"changed"}),
    # layout
    ("a comment", "surg 1\n", "surg 1\n# said more clearly\n", set()),
    ("a longer body", "excise weak { mode = remove }", "excise weak {\n  mode = remove\n}", set()),
    ("a default written", "excise weak { mode = remove }", "excise weak", set()),
]  # fmt: skip


@pytest.mark.parametrize(("name", "old", "new", "rulings"), EDITS, ids=[edit[0] for edit in EDITS])
def test_an_edit_has_the_ruling_that_a_reviewer_gives(name: str, old: str, new: str, rulings: set[str]) -> None:
    assert BASE.count(old) >= 1, old
    found = compare(BASE, BASE.replace(old, new))
    assert {one.ruling for one in found.differences} == rulings, found.differences
    assert found.same == (rulings <= {"cosmetic"})
    assert found.loosened == sum(one.ruling == "loosened" for one in found.differences)


RENAMES = {
    "a selection and its step": ("weak", "small", {"cosmetic"}),
    "a replacement": ("head", "classes", {"cosmetic"}),
    "data": ("train", "examples", {"cosmetic"}),
    "a param": ("ratio", "share", {"changed"}),
}


@pytest.mark.parametrize("name", RENAMES)
def test_what_is_only_called_otherwise_is_the_same(name: str) -> None:
    old, new, rulings = RENAMES[name]
    text = re.sub(rf"(?<![\w\"]){old}(?![\w\"(]| = )", new, BASE)
    assert text != BASE
    found = compare(BASE, text)
    assert {one.ruling for one in found.differences} == rulings, found.differences
    assert {one.what.rpartition(" is called")[2] for one in found.differences} == {f" `{new}` now"}
    assert found.loosened == 0


def test_what_is_called_otherwise_and_is_otherwise_is_no_rename() -> None:
    text = re.sub(r"\bweak\b", "small", BASE).replace("floor = 8", "floor = 4")
    words = [one.what for one in compare(BASE, text).differences]
    assert "`identify small` is new" in words
    assert "`identify weak` is gone" in words


def test_two_blocks_that_swap_names_are_no_renames() -> None:
    text = re.sub(r"\b(train|test)\b", lambda found: {"train": "test", "test": "train"}[found[0]], BASE)
    assert not any("is called" in one.what for one in compare(BASE, text).differences)


def test_both_lines_are_shown() -> None:
    (found,) = compare(BASE, "# first\n" + BASE.replace("0.70 * base.macs", "0.8 * base.macs")).differences
    assert found.block == "control final"
    assert found.what == "the limit goes from `<= 0.7 * base.macs` to `<= 0.8 * base.macs`"
    assert found.before is not None
    assert found.after is not None
    assert (found.after.line - found.before.line, found.after.text) == (1, "prove macs <= 0.8 * base.macs")


def test_lower_bounds_are_written_as_they_are_meant() -> None:
    (found,) = compare(BASE, BASE.replace("- 1pp", "- 2pp")).differences
    assert found.what == "the limit goes from `>= -0.01 + base.accuracy(test)` to `>= -0.02 + base.accuracy(test)`"


@pytest.mark.parametrize(
    ("old", "new", "rulings"),
    [
        ("max(macs, params) <= 5", "max(params, macs) <= 5", {"cosmetic"}),
        ("min(params, 50%) >= 2", "min(0.5, params) >= 3", {"tightened"}),
        ("params + 2 * macs <= 10", "0.5 * params + macs <= 5", {"cosmetic"}),
        ("params - base.params <= -5", "params <= base.params - 6", {"tightened"}),
        ("macs(N = 1) <= 10", "macs(N = 2) <= 10", {"tightened"}),
        ("macs(N = 1) <= 10", "macs(N = 2) <= 100", {"loosened"}),
        ("macs(N = 2) >= 10", "macs(N = 1) >= 10", {"tightened"}),
        ("after(weak).params <= 10", "params <= 10", {"loosened", "tightened"}),
    ],
)
def test_claims_are_compared_by_what_they_say(old: str, new: str, rulings: set[str]) -> None:
    line = "prove macs <= 0.70 * base.macs"
    found = compare(BASE.replace(line, f"prove {old}"), BASE.replace(line, f"prove {new}"))
    assert {one.ruling for one in found.differences} == rulings, found.differences


def test_every_plan_can_be_compared_with_every_other() -> None:
    plans = {}
    for path in sorted([*(ROOT / "examples").glob("*/plan.surg"), *(ROOT / "tests" / "plans").glob("*.surg")]):
        text = path.read_text(encoding="utf-8")
        found, _ = read_plan(text, path.name)
        if found is not None:
            plans[path] = found, text
    assert len(plans) >= 20
    for one, two in itertools.product(plans, plans):
        texts = plans[one][1], plans[two][1]
        found = meaning(plans[one][0], plans[two][0], texts)
        back = meaning(plans[two][0], plans[one][0], (texts[1], texts[0]))
        assert found.same == back.same
        assert (texts[0] == texts[1]) <= (found.differences == ())


def test_a_gate_that_stands_earlier_is_looser() -> None:
    line = "  measure loss(test) <= base.loss(test) + 0.10\n"
    early = BASE.replace(line, "").replace("limit * base.params }", f"limit * base.params\n{line}}}")
    early = early.replace("control early { prove", "control early {\n  prove")
    (found,) = compare(BASE, early).differences
    assert (found.ruling, found.block) == ("loosened", "control early")
    (back,) = compare(early, BASE).differences
    assert (back.ruling, back.block) == ("changed", "control final")


def test_steps_in_another_order_are_told() -> None:
    block = BASE[BASE.index("recover tune") : BASE.index("control final")]
    moved = BASE.replace(block, "").replace("replace head", f"{block}replace head")
    assert {(one.ruling, one.subject) for one in compare(BASE, moved).differences} == {("changed", "order")}


def test_a_limit_of_another_thing_is_compared_where_the_base_is_known() -> None:
    after = BASE.replace("default = 0.65", "default = 0.60").replace("limit * base.params", "700")

    def known(reading: Reading) -> Fraction | None:
        return Fraction(1000) if reading.word.name == "params" else None

    found = meaning(read(BASE), read(after), (BASE, after), known)
    (limit,) = [one for one in found.differences if one.subject == "obligation"]
    assert (limit.ruling, limit.what) == ("loosened", "the limit goes from `<= 0.65 * base.params` to `<= 700`")
    tighter = after.replace("700", "600")
    found = meaning(read(BASE), read(tighter), (BASE, tighter), known)
    assert [one.ruling for one in found.differences if one.subject == "obligation"] == ["tightened"]


def test_formatting_is_no_difference() -> None:
    spread = BASE.replace(" = ", "   =  ").replace("\n\n", "\n\n\n")
    found = compare(spread, format_source(BASE)[0])
    assert found.same
    assert not found.same_text
    assert found.differences == ()


@settings(max_examples=50)
@given(
    st.fractions(min_value=Fraction(1, 100), max_value=2, max_denominator=1000),
    st.fractions(min_value=Fraction(1, 100), max_value=2, max_denominator=1000),
    st.integers(1, 9),
)
def test_rulings_on_limits_agree_with_their_numbers(old: Fraction, new: Fraction, scale: int) -> None:
    def plan(share: Fraction, factor: int) -> str:
        line = f"{factor} * macs <= {share.numerator * factor} / {share.denominator} * base.macs"
        return BASE.replace("macs <= 0.70 * base.macs", line)

    found = {one.ruling for one in compare(plan(old, 1), plan(new, scale)).differences} - {"cosmetic"}
    assert found == ({"loosened"} if new > old else {"tightened"} if new < old else set())


RELATIONS = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "==": operator.eq}
claims = st.tuples(
    st.integers(-2, 2), st.integers(-2, 2), st.integers(-2, 2), st.integers(-3, 3), st.sampled_from(sorted(RELATIONS))
).filter(lambda drawn: any(drawn[:3]))
POINTS = list(itertools.product((0, 1, 2, 7), (0, 1, 3), (0, 1, 4)))
"""Values of params, macs and base.params: among them all that tell small coefficients apart."""


def holds(drawn: tuple[int, int, int, int, str], point: tuple[int, int, int]) -> bool:
    params, macs, base, number, relation = drawn
    return bool(RELATIONS[relation](params * point[0] + macs * point[1], base * point[2] + number))


def written(drawn: tuple[int, int, int, int, str]) -> str:
    params, macs, base, number, relation = drawn
    line = f"prove {params} * params + {macs} * macs {relation} {base} * base.params + {number}"
    return BASE.replace("prove macs <= 0.70 * base.macs", line)


@settings(max_examples=300)
@given(claims, claims, st.sampled_from([-2, -1, 1, 1, 2, 0]))
def test_no_looser_claim_is_called_anything_else(old: tuple[Any, ...], new: tuple[Any, ...], scale: int) -> None:
    """Brute force: where nothing is called looser, whatever the later claim lets pass the earlier one did too."""
    if scale and any(old[:2]):  # mostly of the same thing
        new = (old[0] * scale, old[1] * scale, *new[2:])
    found = compare(written(old), written(new))
    if "loosened" not in {one.ruling for one in found.differences}:
        assert all(holds(old, point) for point in POINTS if holds(new, point))
    if found.same:
        assert all(holds(old, point) == holds(new, point) for point in POINTS)
