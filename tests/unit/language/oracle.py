"""An independent reader: Lark itself, with the grammar as it stands, and the two steps around it that it describes."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from lark import Lark, Token, Tree

from surgery_dsl.language import syntax as tree
from surgery_dsl.resources import read_resource

Shape = tuple[Any, ...]


class _DropLineEnds:
    """Line ends inside round and square brackets do not reach the parser."""

    always_accept = ("_NL",)

    def process(self, stream: Iterator[Token]) -> Iterator[Token]:
        depth = 0
        for token in stream:
            depth += (token.type in ("LPAR", "LSQB")) - (token.type in ("RPAR", "RSQB"))
            if token.type != "_NL" or depth <= 0:
                yield token


@cache
def reader() -> Lark:
    return Lark(
        read_resource("grammar/surgery.lark"),
        parser="lalr",
        lexer="basic",
        strict=True,
        postlex=_DropLineEnds(),
        maybe_placeholders=False,
    )


def lark_shape(node: Any) -> Shape:
    """A Lark tree as nested tuples, in the words of :func:`our_shape`."""
    if isinstance(node, Token):
        return ("token", str(node))
    children = [child for child in node.children if not (isinstance(child, Token) and child.type == "COMMA")]
    assert isinstance(node, Tree)
    shapes = tuple(lark_shape(child) for child in children)
    match str(node.data):
        case "start":
            return tuple(shape for shape in shapes if shape[0] == "block")
        case "dialect":
            return ("dialect",)
        case "verb":
            return shapes[0]
        case "reference" if shapes[0][1] in ("true", "false"):
            return ("boolean", shapes[0][1])
        case name:
            return (name, *shapes)


def our_shape(node: Any) -> Shape:
    """Our syntax tree as nested tuples."""
    match node:
        case tree.File():
            return tuple(our_shape(block) for block in node.blocks)
        case tree.Name():
            return ("token", node.text)
        case tree.Block():
            body = () if node.body is None else (our_shape(node.body),)
            return ("block", our_shape(node.kind), our_shape(node.name), *body)
        case tree.Body():
            return ("body", *(our_shape(statement) for statement in node.statements))
        case tree.Attribute():
            return ("attribute", our_shape(node.name), our_shape(node.value))
        case tree.Obligation():
            right = () if node.right is None else (("token", node.comparison), our_shape(node.right))
            return ("obligation", our_shape(node.verb), our_shape(node.left), *right)
        case tree.Reference():
            return ("reference", ("token", node.name))
        case tree.Boolean():
            return ("boolean", "true" if node.value else "false")
        case tree.Number():
            return ("number", ("token", node.digits + node.unit))
        case tree.String():
            return ("string", ("token", node.raw))
        case tree.Arrow():
            return ("arrow", our_shape(node.before), our_shape(node.after))
        case tree.Range():
            return ("range", our_shape(node.low), our_shape(node.high))
        case tree.Binary():
            return ("binary", our_shape(node.left), ("token", node.operator), our_shape(node.right))
        case tree.Negative():
            return ("negative", ("token", "-"), our_shape(node.operand))
        case tree.Group():
            return ("group", our_shape(node.value))
        case tree.ListValue():
            return ("list", *(our_shape(item) for item in node.items))
        case tree.Member():
            return ("member", our_shape(node.owner), our_shape(node.name))
        case tree.Membership():
            return ("membership", our_shape(node.subject), ("token", "in"), our_shape(node.domain))
        case tree.Call():
            return ("call", our_shape(node.function), *(our_shape(argument) for argument in node.arguments))
        case tree.Argument(name=None):
            return our_shape(node.value)
        case tree.Argument():
            return ("named", our_shape(node.name), our_shape(node.value))
    raise AssertionError(f"{type(node).__name__} has no shape")
