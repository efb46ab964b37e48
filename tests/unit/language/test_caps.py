"""Hostile input is cheap: it is answered with a code, at once, without recursion."""

import time
from pathlib import Path

import pytest

from surgery_dsl.language import limits
from surgery_dsl.language.format import format_text
from surgery_dsl.language.parse import parse
from surgery_dsl.language.source import decode, read_source

HEAD = "surg 1\nmodel a {\n  x = "


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("1 + " * 2_500_000, "SD020"),
        ("é" * (limits.BYTES // 2 + 1), "SD020"),
        (HEAD + "(" * 10_000 + ")" * 10_000 + "\n}\n", "SD021"),
        (HEAD + "[" * 10_000, "SD004"),
        (HEAD + "[\n" * 10_000, "SD021"),
        (HEAD + "a + " * 40_000 + "1\n}\n", "SD021"),
        (HEAD + "a." * 40_000 + "b\n}\n", "SD021"),
        (HEAD + "-" * 40_000 + "1\n}\n", "SD021"),
        (HEAD + "a" + "()" * 40_000 + "\n}\n", "SD021"),
        ("surg 1\n" + "excise a\n" * 20_000, "SD022"),
        (HEAD + "[" + "1, " * 150_000 + "]\n}\n", "SD023"),
        ("surg 1\n" + '"\n' * 300_000, "SD005"),
        ("\0" * 100_000, "SD025"),
        ("".join(map(chr, range(32))) * 1000, "SD025"),
        ("surg 1\n" + "\u202e" * 200_000, "SD026"),
    ],
)
def test_hostile_texts(text: str, code: str) -> None:
    start = time.process_time()
    tree, found = parse(text)
    seconds = time.process_time() - start
    assert tree.broken
    assert found[0].code.id == code
    assert len(found) <= limits.MISTAKES + 1
    assert seconds < 3  # far above what it takes (0.3 s), far below what a quadratic walk would take


def test_what_the_caps_allow_is_read_and_printed() -> None:
    deep = HEAD + "(" * limits.NESTING + "1" + ")" * limits.NESTING + "\n}\n"
    calls = HEAD + "f(a = " * limits.NESTING + "1" + ")" * limits.NESTING + "\n}\n"
    long = HEAD + " + ".join(["a"] * (limits.NODES - 1)) + "\n}\n"
    many = HEAD + "[" + ", ".join(map(str, range(20_000))) + "]\n}\n"
    for text in (deep, calls, long, many):
        assert parse(text)[1] == ()
        assert format_text(text).splitlines()[3:] == text.splitlines()[2:]


def test_one_more_than_the_caps_allow_is_not() -> None:
    texts = [HEAD + "(" * 65 + "1" + ")" * 65 + "\n}\n", HEAD + " + ".join(["a"] * (limits.NODES + 1)) + "\n}\n"]
    assert [parse(text)[1][0].code.id for text in texts] == ["SD021", "SD021"]


def test_many_mistakes_end_the_reading() -> None:
    text = "surg 1\nmodel a {\n" + "".join(f"  x{i} =\n" for i in range(500)) + "}\n"
    _, found = parse(text)
    assert [d.code.id for d in found] == ["SD001"] * limits.MISTAKES + ["SD027"]


def test_bytes() -> None:
    assert decode(b"surg 1\n", "p") == ("surg 1\n", ())
    _, (latin,) = decode("surg 1\n# é\n".encode("latin-1"), "p")
    assert (latin.code.id, latin.span.line, latin.span.column) == ("SD024", 2, 3)
    _, (binary,) = decode(bytes(range(256)) * 100, "p")
    assert binary.code.id == "SD025"


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "big.surg"
    with path.open("wb") as stream:
        stream.truncate(10 << 30)
    text, (found,) = read_source(path, "big.surg")
    assert (text, found.code.id, found.facts["size"]) == ("", "SD020", 10 << 30)
    assert read_source(Path("/dev/zero"), "zero")[1][0].code.id == "SD020"
    with pytest.raises(FileNotFoundError):
        read_source(tmp_path / "none.surg", "none.surg")


def test_line_ends_and_marks_of_other_systems() -> None:
    text = "\ufeffsurg 1\r\n\r\nmodel a {\r\n\tx = 1\r\n}\r\n"
    tree, found = parse(text)
    assert found == ()
    assert tree.blocks[0].body.statements[0].span.line == 4
    assert format_text(text) == "surg 1\n\nmodel a {\n  x = 1\n}\n"
