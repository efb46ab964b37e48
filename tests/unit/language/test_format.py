"""Formatting: the plans stay, the layout rules, and what happens where something is wrong."""

from pathlib import Path

import pytest

from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.language import format as formatter
from surgery_dsl.language.format import format_source, format_text

HERE = Path(__file__).parents[2]
PLANS = sorted((HERE / "plans").glob("*.surg"))
CASES = HERE / "golden" / "language" / "formatted.txt"


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_plans_format_to_themselves(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert format_text(text) == text


def cases() -> list[tuple[str, str, str]]:
    parts = [part.partition("\n") for part in CASES.read_text(encoding="utf-8").split("=== ")[1:]]
    return [(title, *rest.rstrip("\n").split("\n---\n")) for title, _, rest in parts]  # type: ignore[misc]


@pytest.mark.parametrize(("title", "written", "formatted"), cases(), ids=[case[0] for case in cases()])
def test_layout(title: str, written: str, formatted: str) -> None:
    head = "surg 1\n\n"
    assert format_text(head + written + "\n") == head + formatted + "\n"


def test_a_plan_with_mistakes_stays_as_it_is() -> None:
    text = "surg 1\nmodel   a {\n  x = \n}\n"
    same, found = format_source(text, "p.surg")
    assert same == text
    assert [d.code.id for d in found] == ["SD001"]
    with pytest.raises(Refused):
        format_text(text)


@pytest.mark.parametrize("wrong", [lambda text: text.replace("40%", "41%"), lambda text: text.replace("# c", "# d")])
def test_a_printer_that_errs_changes_nothing(monkeypatch: pytest.MonkeyPatch, wrong: object) -> None:
    text = "surg 1\nmodel   a {\n  x = 40%  # c\n}\n"
    true_printer = formatter.print_file
    monkeypatch.setattr(formatter, "print_file", lambda file: wrong(true_printer(file)))  # type: ignore[operator]
    same, found = format_source(text)
    assert same == text
    assert [d.code.id for d in found] == ["SD902"]
