"""Path patterns against the definition, by recursion, on random patterns and paths."""

from hypothesis import given
from hypothesis import strategies as st

from surgery_dsl.vocabulary.patterns import Pattern, segments

names = st.text("ab1", min_size=1, max_size=3)
paths = st.lists(names, max_size=5).map(".".join)
parts = st.one_of(st.just("**"), st.just("*"), st.text("ab1*?", min_size=1, max_size=4))
patterns = st.lists(parts, min_size=1, max_size=5).map(".".join)


def name_matches(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(name_matches(pattern[1:], name[cut:]) for cut in range(len(name) + 1))
    return bool(name) and pattern[0] in ("?", name[0]) and name_matches(pattern[1:], name[1:])


def path_matches(pattern: tuple[str, ...], path: tuple[str, ...]) -> bool:
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(path_matches(pattern[1:], path[cut:]) for cut in range(len(path) + 1))
    return bool(path) and name_matches(pattern[0], path[0]) and path_matches(pattern[1:], path[1:])


@given(patterns, paths)
def test_patterns_mean_what_the_definition_says(pattern: str, path: str) -> None:
    assert Pattern.of(pattern).matches(path) == path_matches(tuple(pattern.split(".")), segments(path))


@given(st.lists(patterns, min_size=1, max_size=4), paths)
def test_alternatives_are_a_choice(choices: list[str], path: str) -> None:
    want = any(Pattern.of(choice).matches(path) for choice in choices)
    assert Pattern.of("{" + ",".join(choices) + "}").matches(path) == want
