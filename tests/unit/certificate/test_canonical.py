"""JSON that is read has one meaning, ends, and is finite."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgery_dsl.certificate.canonical import DEEPEST, LARGEST, canonical, parse

documents = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(documents)
def test_what_is_written_is_read_and_has_one_form(document: object) -> None:
    try:
        data = canonical(document)
    except UnicodeEncodeError:
        return
    assert parse(data) == document
    assert canonical(parse(data)) == data
    assert parse(json.dumps(document, indent=3).encode()) == document


def test_keys_are_sorted_and_nothing_is_between() -> None:
    assert canonical({"b": [1, 2.5], "a": "ü"}) == '{"a":"ü","b":[1,2.5]}'.encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_json_has_no_number_for_is_not_written(value: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical({"a": value})


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b'{"a": 1, "a": 2}', "twice"),
        (b'{"a": {"b": 1, "b": 1}}', "twice"),
        (b'{"a": NaN}', "no number"),
        (b'{"a": Infinity}', "no number"),
        (b'{"a": -Infinity}', "no number"),
        (b'{"a": 1e999}', "out of range"),
        (b'{"a": -1e999}', "out of range"),
        (b'{"a": 0.' + b"1" * 1000 + b"}", "out of range"),
        (b'{"a": ' + b"9" * 100_000 + b"}", "digits"),
        (b"[" * (DEEPEST + 1) + b"]" * (DEEPEST + 1), "deep"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "deep"),
        (b"[" * 100_000, "deep"),
        (b" " * (LARGEST + 1), "at most"),
        (b"\xff\xfe", "decode"),
        (b'{"a": 1', "delimiter"),
        (b"", "Expecting value"),
        (b'{"a": 1} {"a": 1}', "Extra data"),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_what_is_no_document_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse(data)


def test_brackets_in_text_have_no_depth() -> None:
    assert parse(json.dumps({"a": "[" * 1000, 'quote"\\': "{" * 1000}).encode())["a"] == "[" * 1000
