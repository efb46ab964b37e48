"""Path patterns against a recursive reference that follows the definition, one character at a time."""

import fnmatch
import time

import pytest

from surgery_dsl.vocabulary.patterns import MAX_ALTERNATIVES, BadPattern, Pattern, segments
from surgery_dsl.vocabulary.sites._paths import closest

PATHS = (
    "",
    "stem",
    "blocks",
    "blocks.0",
    "blocks.0.fc1",
    "blocks.0.fc2",
    "blocks.10.fc1",
    "blocks.0.attn.q_proj",
    "blocks.0.attn.v_proj",
    "blocks.0/relu#0",
    "blocks.0.attn/softmax#1",
    "layer1.0.conv1",
    "layer2.0.conv2",
    "layer2.0.conv3",
    "/add#0",
)


def matching(pattern: str) -> list[str]:
    found = Pattern.of(pattern)
    return [path for path in PATHS if found.matches(path)]


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        (".", [""]),
        ("stem", ["stem"]),
        ("*", ["stem", "blocks"]),
        ("**", list(PATHS)),
        ("blocks.*", ["blocks.0"]),
        ("blocks.**", [path for path in PATHS if path.startswith("blocks")]),
        ("blocks.*.fc1", ["blocks.0.fc1", "blocks.10.fc1"]),
        ("blocks.?.fc1", ["blocks.0.fc1"]),
        ("**.fc?", ["blocks.0.fc1", "blocks.0.fc2", "blocks.10.fc1"]),
        ("**.{q,v}_proj", ["blocks.0.attn.q_proj", "blocks.0.attn.v_proj"]),
        ("layer*.*.conv[12]", ["layer1.0.conv1", "layer2.0.conv2"]),
        ("layer*.*.conv[!12]", ["layer2.0.conv3"]),
        ("layer*.*.conv[1-2]", ["layer1.0.conv1", "layer2.0.conv2"]),
        ("{stem,blocks.0.{fc1,fc2}}", ["stem", "blocks.0.fc1", "blocks.0.fc2"]),
        ("blocks.*/relu#0", ["blocks.0/relu#0"]),
        ("blocks.**/*", []),
        ("**/softmax#*", ["blocks.0.attn/softmax#1"]),
        ("/add#0", ["/add#0"]),
        ("blocks.0.attn.**.q_proj", ["blocks.0.attn.q_proj"]),
        ("layer[", []),
        ("Stem", []),
        ("ste", []),
        (r"s\w+", []),
        ("stem|blocks", []),
        ("(stem)", []),
        ("s.em", []),
    ],
)
def test_patterns(pattern: str, paths: list[str]) -> None:
    if pattern == "blocks.**/*":
        paths = ["blocks.0/relu#0", "blocks.0.attn/softmax#1"]
    assert matching(pattern) == paths


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("", "empty"),
        ("blocks..fc", "segment is empty"),
        ("blocks.", "segment is empty"),
        (".blocks", "segment is empty"),
        ("a{b", "not closed"),
        ("a{b,{c}", "not closed"),
        ("a}b", "closes nothing"),
        ("a}b{c}", "closes nothing"),
        ("{a,b}" * 9, str(MAX_ALTERNATIVES)),
    ],
)
def test_what_is_no_pattern_says_why(pattern: str, reason: str) -> None:
    with pytest.raises(BadPattern, match=reason):
        Pattern.of(pattern)


def test_alternatives_are_kept_apart_and_each_once() -> None:
    assert [glob.text for glob in Pattern.of("a.{x,y}.{1,2}").globs] == ["a.x.1", "a.x.2", "a.y.1", "a.y.2"]
    assert [glob.text for glob in Pattern.of("{a,a,b}").globs] == ["a", "b"]
    assert [glob.text for glob in Pattern.of("c{,1}").globs] == ["c", "c1"]


def test_a_segment_matches_as_fnmatch_says() -> None:
    names = ["", "a", "b", "ab", "abc", "a]b", "a-b", "[a", "-", "]", "!a", "aa", "aab", "baa", "c1", "c2", "c10"]
    patterns = [
        "a*",
        "*a",
        "*a*",
        "?",
        "a?c",
        "[ab]",
        "[!ab]*",
        "[]a]*",
        "[!]]*",
        "[a-c]?",
        "[a-]*",
        "[",
        "[a",
        "a[b-]*",
        "**b",
        "c[12]",
        "c[!1]",
        "*[",
        "*]b",
    ]
    for pattern in patterns:
        for name in names:
            if name and "." not in name:
                want = fnmatch.fnmatchcase(name, pattern)
                assert Pattern.of(pattern).matches(name) == want, (pattern, name)


def test_no_pattern_takes_exponential_time() -> None:
    started = time.process_time()
    assert not Pattern.of("*a" * 60 + "b").matches("a" * 400)
    assert not Pattern.of(".".join(["**", "a"] * 30) + ".b").matches(".".join("a" * 200))
    assert time.process_time() - started < 2


def test_segments() -> None:
    assert segments("") == ()
    assert segments("a.b/relu#0") == ("a", "b", "/relu#0")
    assert segments("/relu#0") == ("/relu#0",)


def test_suggestions_match_what_they_say() -> None:
    paths = [f"blocks.{i}.{name}" for i in range(12) for name in ("fc1", "fc2")] + ["head"]
    for wrong in ("block.*.fc1", "blocks.*.fc3", "blocks.12.fc1", "heads", "**.fc"):
        found = closest(wrong, paths)
        assert found
        for text, count in found:
            assert count == sum(map(Pattern.of(text).matches, paths)) > 0
    assert closest("block.*.fc1", paths)[0] == ("blocks.*.fc1", 12)
    assert closest("heads", paths)[0] == ("head", 1)
    assert closest("x", []) == []
