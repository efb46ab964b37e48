"""What the tree says: places, trailing commas, comments, broken statements."""

from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.parse import parse

TEXT = """surg 1
# first
model net {
  load = python("a\\"b", k = [1, 2,])  # second
  weights = base.f(1)
    .x
}
excise weak
"""


def attribute(text: str) -> tree.Value:
    file, found = parse(f"surg 1\nmodel a {{\n  x = {text}\n}}\n")
    assert found == ()
    body = file.blocks[0].body
    assert body is not None
    assert isinstance(body.statements[0], tree.Attribute)
    return body.statements[0].value


def test_places() -> None:
    file, found = parse(TEXT.replace("\n    .x", ""))
    assert found == ()
    assert (file.dialect, file.dialect_span) == (1, Span(1, 1, 1, 7))
    net, weak = file.blocks
    assert net.span == Span(3, 1, 6, 2)
    assert net.name == tree.Name("net", Span(3, 7, 3, 10))
    assert net.body is not None
    assert (net.body.opened, net.body.closed) == (Span(3, 11, 3, 12), Span(6, 1, 6, 2))
    load, weights = net.body.statements
    assert load.span == Span(4, 3, 4, 37)
    assert isinstance(load, tree.Attribute)
    call = load.value
    assert isinstance(call, tree.Call)
    assert call.function == tree.Reference("python", Span(4, 10, 4, 16))
    assert call.arguments[0].value == tree.String('a"b', '"a\\"b"', Span(4, 17, 4, 23))
    named = call.arguments[1]
    assert named.name == tree.Name("k", Span(4, 25, 4, 26))
    assert isinstance(named.value, tree.ListValue)
    assert named.value.trailing_comma
    assert not call.trailing_comma
    assert weights.span == Span(5, 3, 5, 22)
    assert (weak.body, weak.span) == (None, Span(7, 1, 7, 12))
    assert [(c.text, c.own_line, c.span.line) for c in file.comments] == [("# first", True, 2), ("# second", False, 4)]


def test_a_statement_ends_with_its_line() -> None:
    _, found = parse(TEXT)
    assert [(d.code.id, d.span.line) for d in found if d.span] == [("SD002", 6)]


def test_operators_bind_as_in_arithmetic() -> None:
    value = attribute("1 - 2 * -a.b(3) - (4 + 5)")
    assert isinstance(value, tree.Binary)
    assert (value.operator, type(value.right)) == ("-", tree.Group)
    left = value.left
    assert isinstance(left, tree.Binary)
    assert left.operator == "-"
    assert isinstance(left.right, tree.Binary)
    assert left.right.operator == "*"
    assert isinstance(left.right.right, tree.Negative)


def test_arrows_hold_ranges_and_ranges_hold_sums() -> None:
    value = attribute("a + 1..b -> 3..4")
    assert isinstance(value, tree.Arrow)
    assert isinstance(value.before, tree.Range)
    assert isinstance(value.before.low, tree.Binary)


def test_numbers_keep_their_digits_and_unit() -> None:
    texts = ["3", "0.5", "1e-4", "40%", "1.5pp", "2.4B", "35M", "20k", "7GiB", "50ms", "2min", "1.0", "3E+2"]
    values = [attribute(text) for text in texts]
    assert all(isinstance(value, tree.Number) for value in values)
    assert [value.digits + value.unit for value in values if isinstance(value, tree.Number)] == texts
    assert isinstance(attribute("10%..60%"), tree.Range)
    assert isinstance(attribute("-2"), tree.Negative)


def test_words_of_the_language_are_plain_names() -> None:
    for name in ("model", "surg", "in", "take", "base", "control"):
        assert attribute(name) == tree.Reference(name, attribute(name).span)
    assert attribute("f(in = 3)").arguments[0].name.text == "in"  # type: ignore[union-attr]
    assert isinstance(attribute("[T in 1..512]").items[0], tree.Membership)  # type: ignore[union-attr]


def test_what_follows_from_a_mistake_can_be_told() -> None:
    file, found = parse('surg 1\nmodel a {\n  load =\n  input 3\n  weights = "w\n  role = x\n}\n')
    assert [d.code.id for d in found] == ["SD001", "SD012", "SD005"]
    body = file.blocks[0].body
    assert body is not None
    assert [broken.name for broken in body.broken] == ["load", "input", "weights"]
    assert [statement.name.text for statement in body.statements if isinstance(statement, tree.Attribute)] == ["role"]
    assert file.broken
