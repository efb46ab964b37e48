"""What stands behind a closed block on its line is one mistake, and the next lines are read as ever."""

import pytest

from surgery_dsl.language.parse import parse

REST = 'data a { load = digits(split = "test") }\n'


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("}}", ["SD010"]),
        ("}}}", ["SD010", "SD010"]),
        ("} = 3", ["SD002"]),
        ("} )", ["SD010"]),
        ('} "a"', ["SD002"]),
        ("} prove params <= 3", ["SD018"]),
        ("measure a}train) > 0", ["SD019", "SD010", "SD002"]),
    ],
)
@pytest.mark.parametrize("end", ["\n", ""])
def test_behind_a_closed_block(line: str, codes: list[str], end: str) -> None:
    file, found = parse(f"surg 1\ncontrol final {{\n  prove params <= 3\n{line}{end}")
    assert [finding.code.id for finding in found] == codes
    assert file.blocks[0].name.text == "final"


def test_the_next_block_is_read(  # the mistake is told once, and costs nothing else
) -> None:
    file, found = parse(f"surg 1\ncontrol final {{\n  prove params <= 3\n}}}}\n{REST}")
    assert [finding.code.id for finding in found] == ["SD010"]
    assert [block.name.text for block in file.blocks] == ["final", "a"]


@pytest.mark.parametrize("number", ["1e-309", "1e-99255", "0.1e-320"])
def test_numbers_below_what_is_computed_with(number: str) -> None:
    (finding,) = parse(f"surg 1\nparam p {{\n  default = {number}\n}}\n")[1]
    assert finding.code.id == "SD017"
    assert "too small" in finding.message


@pytest.mark.parametrize("number", ["0", "0.0", "0e5", "1e-300", "1e300"])
def test_numbers_that_are_fine(number: str) -> None:
    assert parse(f"surg 1\nparam p {{\n  default = {number}\n}}\n")[1] == ()
