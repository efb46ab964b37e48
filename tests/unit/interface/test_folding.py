"""Folding says the same of the same paths, in fewer lines."""

import itertools
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from surgery_dsl.interface.folding import fold, fold_paths, numbers_text


def numbers(text: str) -> list[str]:
    """Read the numbers in braces."""
    found: list[str] = []
    for part in text.split(","):
        first, dots, last = part.partition("..")
        found += map(str, range(int(first), int(last) + 1)) if dots else [first]
    return found


def expanded(path: str, text: str = "") -> list[tuple[str, str]]:
    """Write out what a folded path means; braces of a text that continue those of the path move with them."""
    braces = re.findall(r"\{(.*?)\}", path)
    result = []
    for choice in itertools.product(*map(numbers, braces)):
        one, other = path, text
        for brace, number in zip(braces, choice, strict=True):
            one, other = one.replace(f"{{{brace}}}", number, 1), other.replace(f"{{{brace}}}", number, 1)
        result.append((one, other))
    return result


@pytest.mark.parametrize(
    ("given_numbers", "text"),
    [([3], "3"), ([0, 1], "{0,1}"), ([2, 1, 0], "{0..2}"), ([0, 3, 6], "{0,3,6}"), ([0, 1, 2, 7, 8], "{0..2,7,8}")],
)
def test_numbers_are_written_briefly(given_numbers: list[int], text: str) -> None:
    assert numbers_text(given_numbers) == text


def test_what_differs_is_not_folded() -> None:
    items = [("a.0.w", ("1",)), ("a.1.w", ("2",)), ("a.2.w", ("1",)), ("b.0.w", ("1",))]
    assert [(one.path, one.texts, one.count) for one in fold(items)] == [
        ("a.{0,2}.w", ("1",), 2),
        ("a.1.w", ("2",), 1),
        ("b.0.w", ("1",), 1),
    ]


def test_a_text_may_name_its_own_entry_and_no_other() -> None:
    own = [(f"layers.{n}.up.weight", (f"coupled with layers.{n}.gate",)) for n in range(4)]
    assert [(one.path, one.texts) for one in fold(own)] == [
        ("layers.{0..3}.up.weight", ("coupled with layers.{0..3}.gate",))
    ]
    other = [("layers.0.w", ("with layers.1.w",)), ("layers.1.w", ("with layers.0.w",))]
    assert len(fold(other)) == 2
    longer = [("layers.1.w", ("with layers.11.w",)), ("layers.2.w", ("with layers.21.w",))]
    assert len(fold(longer)) == 2


def test_what_names_the_entry_before_is_folded_too() -> None:
    chain = [(f"hidden.{n}.w", (f"coupled with hidden.{n - 1}",)) for n in range(1, 5)]
    assert [(one.path, one.texts) for one in fold(chain)] == [("hidden.{1..4}.w", ("coupled with hidden.{0..3}",))]
    fixed = [(f"hidden.{n}.w", ("coupled with hidden.0",)) for n in range(1, 5)]
    assert [(one.path, one.texts) for one in fold(fixed)] == [("hidden.{1..4}.w", ("coupled with hidden.0",))]
    both = [("hidden.0.w", ("coupled with hidden.9",)), *chain]
    assert [one.path for one in fold(both)] == ["hidden.0.w", "hidden.{1..4}.w"]


def test_numbers_that_are_no_entries_are_left_alone() -> None:
    sizes = [("3.weight", ("3 × 4 -> 2 × 4",)), ("4.weight", ("4 × 4 -> 2 × 4",))]
    assert len(fold(sizes)) == 2
    named = [("0.weight", ("coupled with 0.norm, 0.5 of it",)), ("1.weight", ("coupled with 1.norm, 0.5 of it",))]
    assert [one.texts for one in fold(named)] == [("coupled with {0,1}.norm, 0.5 of it",)]


def test_lists_in_lists_are_folded_from_the_outside() -> None:
    paths = [f"layers.{layer}.experts.{expert}.weight" for layer in range(3) for expert in range(5)]
    assert fold_paths(paths) == ("layers.{0..2}.experts.{0..4}.weight",)
    assert fold_paths([*paths[:5], "head.weight"]) == ("layers.0.experts.{0..4}.weight", "head.weight")


segment = st.sampled_from(["a", "b", "0", "1", "2", "10", "w"])


@given(st.lists(st.tuples(st.lists(segment, min_size=1, max_size=5), st.sampled_from(["x", "y"])), max_size=20))
def test_folding_loses_nothing(drawn: list[tuple[list[str], str]]) -> None:
    items = list(dict.fromkeys((".".join(path), f"{text} of {'.'.join(path)}") for path, text in drawn))
    found = fold((path, (text,)) for path, text in items)
    assert Counter(pair for one in found for pair in expanded(one.path, one.texts[0])) == Counter(items)
    assert sum(one.count for one in found) == len(items)
    assert [items[one.first][0] for one in found] == [expanded(one.path)[0][0] for one in found] or any(
        "{" in one.path for one in found
    )
