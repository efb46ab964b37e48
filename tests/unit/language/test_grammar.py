"""The grammar, its tables, and agreement with Lark's own reading of it."""

from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lark.exceptions import LarkError

from surgery_dsl.devtools import tables
from surgery_dsl.language import limits, table
from surgery_dsl.language.parse import parse
from surgery_dsl.language.syntax import VERBS
from surgery_dsl.language.table_build import build_table
from surgery_dsl.resources import data_root, read_resource
from tests.unit.language.oracle import lark_shape, our_shape, reader

PLANS = sorted((Path(__file__).parents[2] / "plans").glob("*.surg"))


def test_the_grammar_has_no_conflicts_in_strict_mode() -> None:
    assert reader().options.strict


def test_the_tables_are_those_of_the_grammar() -> None:
    assert not tables.stale(), "run python -m surgery_dsl.devtools.tables"


def test_only_the_verbs_are_words_of_the_lexer() -> None:
    assert table.load_table().keywords == {verb: verb.upper() for verb in VERBS}


def test_an_edited_grammar_takes_effect_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    grammar = read_resource("grammar/surgery.lark").replace('COMPARE: "<="', 'COMPARE: "=<" | "<="')
    monkeypatch.setattr(table, "read_resource", lambda path: grammar)
    fresh = table.load_table.__wrapped__()
    assert "=<" in dict(fresh.terminals)["COMPARE"]
    assert build_table(grammar)["grammar"] == table.digest(grammar)


def test_resources_stay_inside_their_folder() -> None:
    assert (data_root() / "grammar" / "surgery.lark").is_file()
    with pytest.raises(ValueError, match="not inside"):
        read_resource("../secret.txt")


def test_there_are_23_plans() -> None:
    assert len(PLANS) == 23


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plans_read_as_lark_reads_them(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    ours, found = parse(text, path.name)
    assert found == ()
    assert our_shape(ours) == lark_shape(reader().parse(text))


WORDS = [
    "a",
    "net",
    "in",
    "true",
    "3",
    "1e-4",
    "40%",
    '"s"',
    "+",
    "-",
    "*",
    "/",
    "..",
    "->",
    ".",
    ",",
    "(",
    ")",
    "[",
    "]",
]
STATEMENT = st.lists(st.sampled_from([*WORDS, *WORDS, "=", "<=", "prove", "{", "}", "\n"]), max_size=14)


@settings(max_examples=1500, deadline=None)
@given(
    head=st.sampled_from(["a = ", "prove ", "measure a.b(", "a = f([", ""]),
    words=STATEMENT,
    tail=st.sampled_from(["", ")", "])"]),
)
def test_a_text_is_accepted_exactly_where_lark_accepts_it(head: str, words: list[str], tail: str) -> None:
    text = "surg 1\ncontrol c {\n" + head + " ".join(words) + tail + "\n}\n"
    try:
        shape = lark_shape(reader().parse(text))
    except LarkError:
        shape = None
    # The one rule that the grammar leaves to the second phase: the name between two values is `in`.
    assume(shape is None or not _other_infix(shape))
    assume(len(words) < limits.NESTING)
    ours, found = parse(text)
    assert (not found) == (shape is not None), (text, found)
    if shape is not None:
        assert our_shape(ours) == shape


def _other_infix(shape: object) -> bool:
    if not isinstance(shape, tuple):
        return False
    if shape and shape[0] == "membership" and shape[2] != ("token", "in"):
        return True
    return any(_other_infix(part) for part in shape)
