"""Sizes of inputs that are multiples of a free size: as they are written, formatted, read from locks, and compared."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgery_dsl.interface.expression import Expression, evaluate, linear, linear_text
from surgery_dsl.interface.inputs import InputSpec
from surgery_dsl.interface.model import FreeSize
from surgery_dsl.language.format import format_text
from surgery_dsl.language.looseness import _sizes
from surgery_dsl.language.read import read_plan

PLAN = """surg 1

model net {{
  load = python("m:f")
  input = x("f32", [{sizes}]{ranges})
}}
"""


def read(sizes: str, ranges: str = "") -> tuple[InputSpec | None, list[tuple[str, str, str]]]:
    text = PLAN.format(sizes=sizes, ranges=f", {ranges}" if ranges else "")
    plan, found = read_plan(text, "p")
    return None if plan is None else plan.patient.inputs[0], [(d.code.id, d.message, d.help) for d in found]


WRITTEN: list[tuple[str, Expression]] = [
    ("16 * H", ("*", 16, "H")),
    ("H * 4 * 4", ("*", 16, "H")),
    ("2 * T + 1", ("+", 1, ("*", 2, "T"))),
    ("2 * (T + 3) - 5", ("+", 1, ("*", 2, "T"))),
    ("T + T", ("*", 2, "T")),
    ("1 * H", "H"),
    ("2 * 8", 16),
    ("H - H + 3", 3),
    ("patch * H", ("*", 14, "H")),
]


@pytest.mark.parametrize(("written", "size"), WRITTEN)
def test_a_size_is_linear_in_one_free_size(written: str, size: Expression) -> None:
    text = PLAN.format(sizes=f"N, {written}", ranges="") + "param patch { default = 14 }\n"
    plan, found = read_plan(text, "p")
    assert found == ()
    assert plan is not None
    assert plan.patient.inputs[0].dims == ("N", size)
    assert plan.patient.inputs[0].names == (("N", *((linear(size)[0],) if linear(size)[0] else ())))


REFUSED = [
    ("H * W", "", "a size is a number of times one free size, plus or minus a number"),
    ("H * H", "", "a size is a number of times one free size, plus or minus a number"),
    ("H / 2", "", "a size is a number of times one free size, plus or minus a number"),
    ("0.5 * H", "", "a size is a number of times one free size, plus or minus a number"),
    ("16 * h", "", "a size is a whole number of at least 1 or a capital name"),
    ("5 - H", "", "a size grows with its free size; `-1 * H + 5` does not"),
    ("0 * H", "", "a size is at least 1; this is 0"),
    ("H - 4", "", "`H - 4` is -3 where H = 1"),
    ("H - 4", "H = 4..9", "`H - 4` is 0 where H = 4"),
    ("16 * H in 2..64", "", "a range is that of a free size alone"),
    ("16 * H", "W = 2..64", "the input has no free size `W`"),
]


@pytest.mark.parametrize(("sizes", "ranges", "message"), REFUSED)
def test_other_arithmetic_is_refused(sizes: str, ranges: str, message: str) -> None:
    spec, found = read(sizes, ranges)
    assert spec is None
    assert [text for _, text, _ in found if message in text], found


def test_what_is_offered_is_right() -> None:
    _, found = read("16 * H in 2..64")
    assert "`H = 2..64`" in found[0][2]
    spec, none = read("16 * H", "H = 2..64")
    assert none == []
    assert spec is not None
    assert spec.free == (FreeSize(name="H", least=2, most=64),)
    _, found = read("H - 4")
    assert "`H = 5..68`" in found[0][2]
    assert read("H - 4", "H = 5..68")[1] == []


def test_formatting_keeps_the_arithmetic() -> None:
    text = PLAN.format(sizes="N, 3, 16*H, 2*T+1", ranges=", H=2..64")
    formatted = format_text(text)
    assert "[N, 3, 16 * H, 2 * T + 1], H = 2..64" in formatted
    assert format_text(formatted) == formatted


factors, rests = st.integers(1, 40), st.integers(-20, 40)


@given(factors, rests, st.integers(1, 400))
def test_a_shape_is_taken_where_a_number_gives_it(factor: int, rest: int, size: int) -> None:
    given = InputSpec(name="x", dtype="f32", dims=("N", _linear(factor, rest)))
    possible = {factor * count + rest for count in range(1, 500)}
    assert given.takes((3, size)) == (size in possible)
    assert InputSpec(name="x", dtype="f32", dims=("H", _linear(factor, rest))).takes((5, size)) == (
        size == factor * 5 + rest
    )


@given(factors, rests)
def test_text_and_data_say_the_same(factor: int, rest: int) -> None:
    size = _linear(factor, rest)
    name, step, moved = linear(size)
    assert (name, step, moved) == ("H", factor, rest)
    assert eval(linear_text(size), {"H": 7}) == evaluate(size, {"H": 7}) == 7 * factor + rest
    saved = InputSpec(name="x", dtype="f32", dims=("N", 3, size))
    assert InputSpec.model_validate_json(saved.model_dump_json()) == saved


@given(factors, rests, st.integers(1, 9), st.integers(0, 9), factors, rests, st.integers(1, 9), st.integers(0, 9))
def test_more_sizes_are_told_from_fewer(
    a: int, b: int, low: int, more: int, c: int, d: int, low2: int, more2: int
) -> None:
    def sizes(factor: int, rest: int, least: int, length: int) -> tuple[InputSpec, set[int]]:
        free = FreeSize(name="H", least=least, most=least + length)
        found = InputSpec(name="x", dtype="f32", dims=(_linear(factor, rest),), free=(free,))
        return found, {factor * count + rest for count in range(least, least + length + 1)}

    (one, held), (two, wanted) = sizes(a, b, low, more), sizes(c, d, low2, more2)
    if len(wanted) > 1:  # one size alone has no step of its own
        assert _sizes(one, one.dims[0]).hold(_sizes(two, two.dims[0])) == (held >= wanted)


def _linear(factor: int, rest: int) -> Expression:
    product: Expression = "H" if factor == 1 else ("*", factor, "H")
    return ("+", rest, product) if rest else product
