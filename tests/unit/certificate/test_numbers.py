"""Numbers in text: those that runs write, and none that takes long."""

from fractions import Fraction

import pytest

from surgery_dsl.certificate.numbers import number


@pytest.mark.parametrize(
    ("text", "value"),
    [("20", 20), ("-3/5", Fraction(-3, 5)), ("0.5", Fraction(1, 2)), ("1e-05", Fraction(1, 100_000)), ("-0", 0)],
)
def test_numbers(text: str, value: Fraction) -> None:
    assert number(text) == value


@pytest.mark.parametrize("text", ["", "nan", "inf", "1/0", "1e9999", "9" * 401, "1_0", " 1", "1\n", "1/2/3", "x", "１"])
def test_no_numbers(text: str) -> None:
    assert number(text) is None
