"""Properties of reading and printing plans, on trees and texts nobody wrote by hand."""

import re
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from surgery_dsl.language.format import format_source, format_text
from surgery_dsl.language.parse import parse
from surgery_dsl.language.plan import Plan
from surgery_dsl.language.read import read_plan
from surgery_dsl.language.syntax import UNITS
from tests.unit.language.oracle import our_shape

PLANS = [path.read_text(encoding="utf-8") for path in sorted((Path(__file__).parents[1] / "plans").glob("*.surg"))]
RESERVED = {"prove", "certify", "measure", "true", "false", "in"}

# ---- trees, as the shapes that the oracle speaks of --------------------------------------------------------------

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True).filter(lambda name: name not in RESERVED)
token = names.map(lambda name: ("token", name))
digits = st.one_of(
    st.integers(0, 10**12).map(str),
    st.from_regex(r"[0-9]{1,4}\.[0-9]{1,4}", fullmatch=True),
    st.from_regex(r"[0-9]{1,3}(\.[0-9]{1,2})?[eE][+-]?[0-9]{1,2}", fullmatch=True),
)
numbers = st.builds(lambda text, unit: ("number", ("token", text + unit)), digits, st.sampled_from(["", "", *UNITS]))
strings = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"]), max_size=8).map(
    lambda text: ("string", ("token", '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'))
)
leaves = st.one_of(
    token.map(lambda name: ("reference", name)),
    st.sampled_from([("boolean", "true"), ("boolean", "false")]),
    numbers,
    strings,
)


def _binaries(tighter: st.SearchStrategy[Any], operators: list[str]) -> st.SearchStrategy[Any]:
    def chain(first: Any, rest: list[tuple[str, Any]]) -> Any:
        for operator, right in rest:
            first = ("binary", first, ("token", operator), right)
        return first

    return st.builds(chain, tighter, st.lists(st.tuples(st.sampled_from(operators), tighter), max_size=2))


def _nested(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    items = st.one_of(values, st.builds(lambda a, b: ("membership", a, ("token", "in"), b), values, values))
    arguments = st.one_of(items, st.builds(lambda name, value: ("named", name, value), token, values))

    def target(first: Any, suffixes: list[Any]) -> Any:
        node = ("reference", first)
        for suffix in suffixes:
            node = ("member", node, suffix) if suffix[0] == "token" else ("call", node, *suffix[1])
        return node

    suffix = st.one_of(token, st.lists(arguments, max_size=3).map(lambda given: ("arguments", given)))
    operands = st.one_of(
        leaves,
        st.builds(target, token, st.lists(suffix, min_size=1, max_size=3)),
        values.map(lambda value: ("group", value)),
        st.lists(items, max_size=3).map(lambda given: ("list", *given)),
    )
    signs = st.one_of(operands, operands.map(lambda value: ("negative", ("token", "-"), value)))
    sums = _binaries(_binaries(signs, ["*", "/"]), ["+", "-"])
    ranges = st.one_of(sums, st.tuples(st.just("range"), sums, sums))
    return st.one_of(ranges, st.tuples(st.just("arrow"), ranges, ranges))


values = st.recursive(leaves, _nested, max_leaves=8)
attributes = st.builds(lambda name, value: ("attribute", name, value), token, values)
comparisons = st.tuples(st.sampled_from(["<=", ">=", "==", "<", ">"]).map(lambda sign: ("token", sign)), values)
obligations = st.builds(
    lambda verb, left, right: ("obligation", ("token", verb), left, *right),
    st.sampled_from(["prove", "certify", "measure"]),
    values,
    st.one_of(st.just(()), comparisons),
)
bodies = st.lists(st.one_of(attributes, obligations), max_size=3).map(lambda given: ("body", *given))
blocks = st.builds(
    lambda kind, name, body: ("block", kind, name, *body),
    token,
    token,
    st.one_of(st.just(()), bodies.map(lambda body: (body,))),
)
files = st.lists(blocks, max_size=4).map(tuple)


class Scribe:
    """Writes a shape down with the layout that chance decides: the printer under test has no part in it."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.comments: list[str] = []

    def gap(self, inside: bool) -> str:
        kind = self.draw(st.integers(0, 9))
        if kind == 0:
            return "  "
        if inside and kind == 1:
            return "\n\n "
        if inside and kind == 2:
            return self.comment() + "  "
        return " "

    def comment(self) -> str:
        text = f"# {len(self.comments)}"
        self.comments.append(text)
        return f" {text}\n"

    def line_end(self) -> str:
        return self.draw(st.sampled_from(["\n", "\n\n", "\r\n"])) if self.draw(st.booleans()) else self.comment()

    def comma(self) -> str:
        return "," if self.draw(st.integers(0, 3)) == 0 else ""

    def file(self, shape: Any) -> str:
        text = "surg 1" + self.line_end()
        for block in shape:
            text += f"{block[1][1]} {block[2][1]}"
            if len(block) > 3:
                text += " " + self.body(block[3])
            text += self.line_end()
        return text

    def body(self, shape: Any) -> str:
        statements = shape[1:]
        if len(statements) == 1 and self.draw(st.booleans()):
            return f"{{ {self.statement(statements[0])} }}"
        return "{" + self.line_end() + "".join(self.statement(s) + self.line_end() for s in statements) + "}"

    def statement(self, shape: Any) -> str:
        if shape[0] == "attribute":
            return f"{shape[1][1]} = {self.value(shape[2], inside=False)}"
        text = f"{shape[1][1]} {self.value(shape[2], inside=False)}"
        return text if len(shape) == 3 else f"{text} {shape[3][1]} {self.value(shape[4], inside=False)}"

    def value(self, shape: Any, inside: bool) -> str:
        def write(part: Any) -> str:
            return self.value(part, inside)

        match shape[0]:
            case "reference" | "number" | "string":
                return str(shape[1][1])
            case "boolean":
                return str(shape[1])
            case "negative":
                return "-" + write(shape[2])
            case "binary":
                left = write(shape[1]) + self.gap(inside) + shape[2][1]
                return left + self.gap(inside) + write(shape[3])
            case "range":
                return f"{write(shape[1])} ..{write(shape[2])}"
            case "arrow":
                return f"{write(shape[1])} -> {write(shape[2])}"
            case "membership":
                return f"{write(shape[1])} in {write(shape[3])}"
            case "named":
                return f"{shape[1][1]}{self.gap(inside)}= {write(shape[2])}"
            case "member":
                return f"{write(shape[1])}.{shape[2][1]}"
            case "group":
                return "(" + self.gap(True) + self.value(shape[1], True) + self.gap(True) + ")"
            case "list":
                return "[" + self.items(shape[1:]) + "]"
            case "call":
                return write(shape[1]) + "(" + self.items(shape[2:]) + ")"
        raise AssertionError(shape)

    def items(self, items: tuple[Any, ...]) -> str:
        text = self.gap(True)
        for index, item in enumerate(items):
            text += ("," + self.gap(True) if index else "") + self.value(item, True)
        return text + (self.comma() if items else "") + self.gap(True)


@settings(max_examples=150, deadline=None)
@given(shape=files, data=st.data())
def test_what_is_written_is_read_and_formatting_keeps_it(shape: Any, data: st.DataObject) -> None:
    scribe = Scribe(data.draw)
    text = scribe.file(shape)
    tree, found = parse(text)
    assert found == ()
    assert our_shape(tree) == shape
    assert [comment.text for comment in tree.comments] == scribe.comments

    formatted = format_text(text)
    again, found = parse(formatted)
    assert found == ()
    assert our_shape(again) == shape
    assert [comment.text for comment in again.comments] == scribe.comments
    assert format_text(formatted) == formatted
    assert "\r" not in formatted
    assert not any(line != line.rstrip() for line in formatted.splitlines())


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_bytes_never_raise(noise: bytes) -> None:
    text = noise.decode("utf-8", "surrogateescape")
    tree, found = parse(text)
    assert tree.broken == bool(found)


FRAGMENTS = [
    *"{}()[]\"'\n=.,#+-*/%;:\\&\t",
    "->",
    "..",
    "==",
    "surg 1",
    "prove",
    "in",
    "model net {",
    "data a",
    "é",
    "\u202e",
]


@settings(max_examples=600, deadline=None)
@given(
    plan=st.sampled_from(PLANS),
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 30), st.sampled_from(["", *FRAGMENTS])), min_size=1, max_size=6
    ),
)
@example(plan=PLANS[0], edits=[(0.0, 6, "")])
def test_mutated_plans_are_read_or_explained(plan: str, edits: list[tuple[float, int, str]]) -> None:
    for place, length, fragment in edits:
        start = int(place * len(plan))
        plan = plan[:start] + fragment + plan[start + length :]
    tree, found = parse(plan)
    assert tree.broken == bool(found)
    lines = plan.split("\n")
    for diagnostic in found:
        assert diagnostic.message
        assert diagnostic.help
        span = diagnostic.span
        assert span is not None
        assert 1 <= span.line <= len(lines)
        assert span.line == span.end_line
        assert 1 <= span.column < span.end_column <= len(lines[span.line - 1]) + 2
    formatted, mistakes = format_source(plan)
    assert mistakes == found, "only what could be read is formatted, and that always is"
    assert formatted == plan if found else format_source(formatted) == (formatted, ())


@settings(max_examples=300, deadline=None)
@given(
    plan=st.sampled_from(PLANS),
    edits=st.lists(
        st.tuples(
            st.floats(0, 1),
            st.sampled_from(["train", "net", "base", "ratio", "linear", "0", "-3", "40%", "2pp", "5GiB", '"x"', "true"])
            | st.sampled_from(
                ["[]", "1..2", "3 -> 4", "f(x)", "a.b(c)", "pick(a, b = c)", "linear(0 -> 1)", "x y", "="]
            ),
        ),
        min_size=1,
        max_size=4,
    ),
    sets=st.dictionaries(st.sampled_from(["ratio", "lr", "x"]), st.text(max_size=8), max_size=1),
)
def test_meaning_is_found_or_explained(plan: str, edits: list[tuple[float, str]], sets: dict[str, str]) -> None:
    values = list(re.finditer(r"(?<== )\S.*?(?=[,)\]\n])|(?<=\()\w+|(?<=  )\w+(?= =)", plan))
    for place, text in edits:
        match = values[min(int(place * len(values)), len(values) - 1)]
        plan = plan.replace(match.group(), text, 1)
    lowered, found = read_plan(plan, "plan.surg", sets)
    assert (lowered is None) == any(d.severity == "error" for d in found)
    for diagnostic in found:
        assert diagnostic.message
        assert diagnostic.help
        assert diagnostic.span is not None
    if lowered is not None:
        assert Plan.model_validate_json(lowered.model_dump_json()) == lowered
