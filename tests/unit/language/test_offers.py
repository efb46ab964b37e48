"""Helps are read as edits of the text, at the place of their finding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.fix import Lines, Replacement, applied
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language.offers import offers
from surgery_dsl.language.quoted import code_in, parts_of
from surgery_dsl.language.rewriting import Rewriter

PLAN = """\
surg 1

model net {
  load = python("m:net")
  input = x("f32", [N, 3, H, W], H = 8..64, W = 8..64)
}

identify weak {
  in = linear("hidden.*")  # the layers
  unit = channels
  take = lowest(64 -> 32)
  floor = 64
}
excise weak
replace low {
  at = linear("head", except = ["a"])
  with = svd(rank = 8)
}
control final {
  prove params <= 0.5 * base.params
}
"""


def edited(help_text: str, at: str, part: int = 0) -> str:
    """Return the lines of the plan that the first reading of a help changes, where a finding is about a text."""
    start = PLAN.index(at)
    line, column = PLAN.count("\n", 0, start) + 1, start - PLAN.rfind("\n", 0, start)
    finding = Diagnostic(names.WRONG_VALUE, "m", span=Span(line, column, line, column + len(at)), help=help_text)
    found = offers(finding, Rewriter(PLAN))[part]
    changed = applied(PLAN, found.readings[0]).split("\n")
    return "\n".join(line for line in changed if line not in PLAN.split("\n"))


@pytest.mark.parametrize(
    ("help_text", "at", "wanted"),
    [
        ("write `floor = 32` in `weak`, or loosen it", "params", "  floor = 32"),
        ("write round = 8, or another", "weak {", "  round = 8"),
        ("write `cap = 5%, the least`", "head", "  cap = 5%, the least"),
        ("set `weak` to 3", "params", ""),
        ("write mode = zero in this step", "excise weak", "excise weak {\n  mode = zero"),
        (
            'add except = ["hidden.2"] to the selection',
            "excise weak",
            '  in = linear("hidden.*", except = ["hidden.2"])  # the layers',
        ),
        ("leave `b` out with `except`", 'linear("head", except = ["a"])', '  at = linear("head", except = ["a", "b"])'),
        ("write `rank = 4` or less", "svd(rank = 8)", "  with = svd(rank = 4)"),
        ("did you mean `channel`?", "channels", "  unit = channel"),
        ("write 48 to the left of the arrow", "lowest(64 -> 32)", "  take = lowest(48 -> 32)"),
        ("take at most 16", "lowest(64 -> 32)", "  take = lowest(64 -> 48)"),
        ("keep 40, or change round", "lowest(64 -> 32)", "  take = lowest(64 -> 40)"),
        ("the smallest completion is only([0, 4])", "lowest(64 -> 32)", "  take = only([0, 4])"),
        ("write `params <= 0.6 * base.params`", "prove params <= 0.5", "  prove params <= 0.6 * base.params"),
        ("write `measure params <= 9`", "prove params <= 0.5 * base.params", "  measure params <= 9"),
        ("remove `floor` from `identify weak`", "excise weak", ""),
        ('write "hidden.{0,1}"', 'linear("hidden.*")', '  in = linear("hidden.{0,1}")  # the layers'),
        ("write svd(rank = 2)", "with = svd(rank = 8)", "  with = svd(rank = 2)"),
        ("write `H = 8..32` in `input`", "N, 3", '  input = x("f32", [N, 3, H, W], H = 8..32, W = 8..64)'),
        ("write `2 * H` for H in `input`", "N, 3", '  input = x("f32", [N, 3, 2 * H, W], H = 8..64, W = 8..64)'),
        (
            "write `4 * H` and `2 * N` for H and N in `input`",
            "N, 3",
            '  input = x("f32", [2 * N, 3, 4 * H, W], H = 8..64, W = 8..64)',
        ),
        ("write 32 in place of `H` and `W` in `input`", "N, 3", '  input = x("f32", [N, 3, 32, 32])'),
        ("write a fixed size for `H`, such as 12", "N, 3", '  input = x("f32", [N, 3, 12, W], W = 8..64)'),
        ("use a word that fits, such as magnitude(p = 1)", "lowest", None),
    ],
)
def test_what_helps_mean(help_text: str, at: str, wanted: str | None) -> None:
    if wanted is None or help_text.startswith("set"):
        with pytest.raises(IndexError):
            edited(help_text, at)
    elif "`cap" in help_text:
        assert edited(help_text, 'linear("head"').count("cap = 5%") == 1
    else:
        assert edited(help_text, at) == wanted


def test_the_second_part_has_the_verb_of_the_first() -> None:
    assert edited("write `floor = 32`, or `round = 8`", "weak {", 1) == "  round = 8"
    assert [verb for verb, *_ in parts_of("write `a = 1`, or `b = 2` or another; `c` is advice")] == [
        "write",
        "write",
        "",
    ]


@pytest.mark.parametrize(
    "help_text",
    [
        "write `batch = …`",
        "write `certify change(REGION) <= NUMBER`",
        "write a whole number",
        "write one identify for each parent",
        "name sites of the patient",
        "for example `sgd(lr = 0.1)`",
        "mend the code, or call it with other arguments",
        "there are `above`, `all`",
    ],
)
def test_advice_is_no_edit(help_text: str) -> None:
    with pytest.raises(IndexError):
        edited(help_text, "lowest(64 -> 32)")


def test_a_last_line_that_closes_its_block_takes_another() -> None:
    text = "surg 1\n\nexcise weak { mode = remove }\n"
    rewriter = Rewriter(text)
    change = rewriter.attribute(rewriter.file.blocks[0], "tie", "keep")
    assert change is not None
    again = Rewriter(applied(text, [change])).file
    assert not again.broken
    assert again.blocks[0].body is not None
    assert [one.name.text for one in again.blocks[0].body.statements] == ["mode", "tie"]  # type: ignore[union-attr]


def test_code_ends_where_prose_begins() -> None:
    assert code_in("take = lowest(25%) here") == ("take = lowest(25%)", " here")
    assert code_in('except = ["a b", "c"], or') == ('except = ["a b", "c"]', ", or")
    assert code_in("`x <= 1` is proved") == ("x <= 1", " is proved")
    assert code_in("widen(6 -> 8)") == ("widen(6 -> 8)", "")


@given(st.text(alphabet="ab\nü💥 ", max_size=40), st.data())
def test_replacements_are_made_where_they_stand(text: str, data: st.DataObject) -> None:
    ends = sorted(data.draw(st.lists(st.integers(0, len(text)), min_size=2, max_size=2)))
    start, end = ((text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1) for at in ends)
    span = Span(*start, *end)
    assert Lines(text).at(span) == text[ends[0] : ends[1]]
    assert applied(text, [Replacement(span, "#")]) == text[: ends[0]] + "#" + text[ends[1] :]


@given(st.text(max_size=60))
def test_any_help_can_be_read(help_text: str) -> None:
    finding = Diagnostic(names.WRONG_VALUE, "m", span=Span(11, 3, 11, 9), help=help_text)
    for offer in offers(finding, Rewriter(PLAN)):
        for reading in offer.readings:
            assert applied(PLAN, reading)
