"""The text renderer: layout, alignment, and user text that cannot steer a terminal."""

import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surgery_dsl.diagnostics.code import Code, Severity
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Label
from surgery_dsl.diagnostics.plain import cells, plain
from surgery_dsl.diagnostics.render_text import render_text
from surgery_dsl.diagnostics.span import Span

CODE = Code("SD301", "budget-exceeded", "a budget is exceeded")
LINES = {
    20: "  drop = 20..24",
    25: "  amount = 8 -> 4",
    33: "  prove params <= 2.4B",
}
SOURCE = "\n".join(LINES.get(number, "") for number in range(1, 40))
BUDGET = Diagnostic(
    CODE,
    "parameter budget cannot be met",
    "llm.surg",
    Span(33, 3, 33, 23),
    "the result has 2,419,995,648",
    labels=(Label(Span(20, 3, 20, 16), "removes 503,347,200"), Label(Span(25, 3, 25, 18), "removes 289,406,976")),
    notes=("base has 3,212,749,824; 19,995,648 over the limit (0.83%)",),
    help="`drop = 19..24` gives 2,331,909,120",
)


def test_a_finding_with_labels() -> None:
    assert (
        render_text([BUDGET], {"llm.surg": SOURCE})
        == """\
error[SD301]: parameter budget cannot be met
  --> llm.surg:33:3
   |
20 |   drop = 20..24
   |   ------------- removes 503,347,200
   :
25 |   amount = 8 -> 4
   |   --------------- removes 289,406,976
   :
33 |   prove params <= 2.4B
   |   ^^^^^^^^^^^^^^^^^^^^ the result has 2,419,995,648
   = note: base has 3,212,749,824; 19,995,648 over the limit (0.83%)
   = help: `drop = 19..24` gives 2,331,909,120
   = more: surgery-dsl explain SD301"""
    )


def test_without_source_place_or_file() -> None:
    bare = Diagnostic(CODE, "nothing to show", severity_override=Severity.WARNING, path="features.0")
    assert (
        render_text([bare, BUDGET], {})
        == """\
warning[SD301]: nothing to show
  = path: features.0
  = more: surgery-dsl explain SD301

error[SD301]: parameter budget cannot be met
  --> llm.surg:33:3
   = note: base has 3,212,749,824; 19,995,648 over the limit (0.83%)
   = help: `drop = 19..24` gives 2,331,909,120
   = more: surgery-dsl explain SD301"""
    )


def test_neighbouring_lines_need_no_gap() -> None:
    marked = Diagnostic(CODE, "m", "p", Span(1, 1, 1, 2), labels=(Label(Span(3, 1, 3, 2), "here"),))
    text = render_text([marked], {"p": "one\ntwo\nthree"})
    assert text.splitlines()[3:8] == ["1 | one", "  | ^", "2 | two", "3 | three", "  | - here"]


def test_two_marks_on_one_line() -> None:
    marked = Diagnostic(CODE, "m", "p", Span(1, 5, 1, 6), "b", labels=(Label(Span(1, 1, 1, 2), "a"),))
    assert render_text([marked], {"p": "x = y"}).splitlines()[3:6] == ["1 | x = y", "  | - a", "  |     ^ b"]


def test_wide_combining_and_tab_characters_keep_marks_aligned() -> None:
    for line, column in (("漢字 = x", 6), ("e\u0301a = x", 7), ("\ta = x", 6), ("ab\tc=x", 6), ("\u202ea = x", 6)):
        marked = Diagnostic(CODE, "m", "p", Span(1, column, 1, column + 1), "here")
        _, _, _, source, marks, *_ = render_text([marked], {"p": line}).splitlines()
        assert source.endswith("x")
        assert cells(marks[: marks.index("^")]) == cells(source[: source.rindex("x")])


def test_long_lines_are_cropped_around_the_mark() -> None:
    line = "  a = [" + ", ".join(str(n) for n in range(1000)) + "]"
    column = line.index("500,") + 1
    marked = Diagnostic(CODE, "m", "p", Span(1, column, 1, column + 3), "here")
    _, _, _, source, marks, *_ = render_text([marked], {"p": line}, width=80).splitlines()
    assert len(source) <= 80
    assert source.count("…") == 2
    assert source[marks.index("^") :].startswith("500")
    whole = Diagnostic(CODE, "m", "p", Span(1, 1, 1, len(line)), "here")
    for text in render_text([whole], {"p": line}, width=80).splitlines():
        assert len(text) <= 85


def test_places_behind_the_end_are_shown() -> None:
    for span in (Span(1, 4, 1, 5), Span(9, 1, 9, 2), Span(1, 2, 3, 1)):
        assert "^" in render_text([Diagnostic(CODE, "m", "p", span)], {"p": "abc"})


def test_notes_wrap_without_breaking_words() -> None:
    note = " ".join(["surgery"] * 30) + " " + "x" * 200
    text = render_text([Diagnostic(CODE, "m", notes=(note, "two\nlines"))], {}, width=60)
    assert " ".join(text.split()).startswith("error[SD301]: m = note: " + " ".join(["surgery"] * 30))
    assert all(len(line) <= 60 or "x" * 200 in line for line in text.splitlines())
    assert "  = note: two\n          lines" in text


def test_colour_adds_only_colour() -> None:
    plain_text = render_text([BUDGET], {"llm.surg": SOURCE})
    colored = render_text([BUDGET], {"llm.surg": SOURCE}, color=True)
    assert colored != plain_text
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain_text


@settings(max_examples=200, deadline=None)
@given(st.text(), st.integers(1, 5), st.integers(1, 40), st.integers(1, 9))
def test_user_text_cannot_steer_the_terminal(text: str, line: int, column: int, width: int) -> None:
    span = Span(line, column, line, column + width)
    hostile = Diagnostic(CODE, f"`{text}`", text, span, text, (Label(span, text),), text, notes=(text,), help=text)
    shown = render_text([hostile], {text: text})
    assert all(character == "\n" or plain(character) == character for character in shown)


def test_markup_is_text() -> None:
    hostile = Diagnostic(CODE, "shape [64] [bold]x[/] :warning: \x1b[31m", help="[link=x]y[/link]")
    shown = render_text([hostile], {})
    assert "[64] [bold]x[/] :warning: <U+001B>[31m" in shown
    assert "[link=x]y[/link]" in shown


def test_every_severity() -> None:
    for severity in Severity:
        shown = render_text([Diagnostic(CODE, "m", severity_override=severity)], {}, color=True)
        assert f"{severity}[SD301]" in shown


@pytest.mark.skipif(sys.flags.optimize > 0, reason="assertions are needed")
def test_rich_is_not_needed() -> None:
    import subprocess

    code = (
        "import sys, surgery_dsl.diagnostics.render_text, surgery_dsl.language.format; "
        "assert not {'rich', 'lark', 'pydantic', 'z3', 'torch'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
