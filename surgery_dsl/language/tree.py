"""From reduced rules to nodes: one small function a rule of the grammar."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from surgery_dsl.diagnostics.codes import syntax as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import limits
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.tokens import Token

_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(.*)", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}


class TreeBuilder:
    """Makes nodes; what is wrong inside a token is reported here."""

    def __init__(self, file: str, report: Callable[[Diagnostic], None]) -> None:
        self.file = file
        self.report = report
        self._make: dict[str, Callable[[Sequence[Any], Span], Any]] = {
            "dialect": lambda children, span: None,
            "block": lambda children, span: tree.Block(
                _name(children[0]), _name(children[1]), children[2] if len(children) > 2 else None, span
            ),
            "body": _body,
            "attribute": lambda children, span: tree.Attribute(_name(children[0]), children[1], span),
            "obligation": _obligation,
            "verb": lambda children, span: _name(children[0]),
            "arrow": lambda children, span: tree.Arrow(children[0], children[1], span),
            "range": lambda children, span: tree.Range(children[0], children[-1], span),
            "binary": lambda children, span: tree.Binary(children[1].text, children[0], children[2], span),
            "negative": lambda children, span: tree.Negative(children[1], span),
            "number": self._number,
            "string": self._string,
            "group": lambda children, span: tree.Group(children[0], span),
            "list": _list,
            "reference": _reference,
            "member": lambda children, span: tree.Member(children[0], _name(children[1]), span),
            "call": _call,
            "named": lambda children, span: tree.Argument(_name(children[0]), children[1], span),
            "membership": lambda children, span: tree.Membership(children[0], children[2], span),
        }

    def make(self, rule: str, children: Sequence[Any], span: Span) -> Any:
        """Return the node of a rule."""
        return self._make[rule](children, span)

    def _number(self, children: Sequence[Any], span: Span) -> tree.Number | tree.Unreadable:
        text: str = children[0].text
        found = _NUMBER.match(text)
        assert found is not None, text
        digits, unit = found.groups()
        if unit and unit not in tree.UNITS:
            self.report(self._unknown_unit(text, digits, unit, span))
        elif what := _beyond(digits):
            limit = "above 1e-308" if what == "small" else "below 1e308"
            self.report(
                Diagnostic(
                    codes.MALFORMED_NUMBER,
                    f"this number is too {what}",
                    self.file,
                    span,
                    facts={"characters": len(digits), "limit": limits.DIGITS},
                    help=f"write numbers of at most {limits.DIGITS} characters, {limit}",
                )
            )
        else:
            return tree.Number(digits, unit, span)
        return tree.Unreadable(span)

    def _unknown_unit(self, text: str, digits: str, unit: str, span: Span) -> Diagnostic:
        if re.fullmatch(r"_?[0-9_]+", unit):
            return Diagnostic(
                codes.MALFORMED_NUMBER,
                f"`{text}`: numbers are written without `_`",
                self.file,
                span,
                help=f"write `{text.replace('_', '')}`",
            )
        if unit in ("e", "E", "e_", "x") or re.fullmatch(r"[eExob][0-9A-Fa-f_]*", unit):
            return Diagnostic(
                codes.MALFORMED_NUMBER,
                f"`{text}` is not a number",
                self.file,
                span,
                help="numbers are decimal: `40`, `0.5`, `1e-4`",
            )
        meant = _meant_unit(unit)
        place = Span(span.line, span.column + len(digits), span.end_line, span.end_column)
        return Diagnostic(
            codes.UNKNOWN_UNIT,
            f"`{unit}` is not a unit",
            self.file,
            place,
            facts={"unit": unit},
            notes=("units are " + " ".join(tree.UNITS),),
            help=f"write `{digits}{meant}`" if meant else "use one of the units, or leave the unit out",
        )

    def _string(self, children: Sequence[Any], span: Span) -> tree.String:
        raw: str = children[0].text
        inside = raw[1:-1]
        if "\\" not in inside:
            return tree.String(inside, raw, span)
        for found in _ESCAPE.finditer(inside):
            if found.group(1) not in _ESCAPES:
                column = span.column + 1 + found.start()
                self.report(
                    Diagnostic(
                        codes.BAD_ESCAPE,
                        f"`\\{found.group(1)}` is not an escape of a string",
                        self.file,
                        Span(span.line, column, span.line, column + 2),
                        notes=('escapes are `\\"`, `\\\\`, `\\n` and `\\t`',),
                        help="write `\\\\` for a backslash; paths take `/` everywhere",
                    )
                )
        return tree.String(_ESCAPE.sub(lambda m: _ESCAPES.get(m.group(1), m.group(1)), inside), raw, span)


def _beyond(digits: str) -> str:
    """Say in which way a number is beyond what is computed with; empty where it is not."""
    if len(digits) > limits.DIGITS:
        return "long"
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        return "large"
    written = digits.lower().partition("e")[0]
    return "small" if abs(value) < 1e-308 and any(digit in "123456789" for digit in written) else ""


def _meant_unit(unit: str) -> str:
    """Return the unit that differs in upper and lower case alone, or is one letter away."""
    for known in tree.UNITS:
        if unit.lower() == known.lower():
            return known
    spelled = {
        "percent": "%",
        "pct": "%",
        "sec": "s",
        "secs": "s",
        "seconds": "s",
        "minutes": "min",
        "m": "min",
        "hours": "h",
        "hr": "h",
        "G": "B",
        "g": "B",
        "gb": "GB",
        "gib": "GiB",
        "bn": "B",
        "points": "pp",
    }
    return spelled.get(unit, "")


def _name(token: Token) -> tree.Name:
    return tree.Name(token.text, token.span)


def _body(children: Sequence[Any], span: Span) -> tree.Body:
    opened = Span(span.line, span.column, span.line, span.column + 1)
    closed = Span(span.end_line, span.end_column - 1, span.end_line, span.end_column)
    return tree.Body(tuple(children), (), opened, closed, span)


def _obligation(children: Sequence[Any], span: Span) -> tree.Obligation:
    if len(children) == 2:
        return tree.Obligation(children[0], children[1], "", None, span)
    return tree.Obligation(children[0], children[1], children[2].text, children[3], span)


def _list(children: Sequence[Any], span: Span) -> tree.ListValue:
    comma = bool(children) and isinstance(children[-1], Token)
    return tree.ListValue(tuple(children[:-1] if comma else children), comma, span)


def _call(children: Sequence[Any], span: Span) -> tree.Call:
    comma = isinstance(children[-1], Token)
    arguments = tuple(
        child if isinstance(child, tree.Argument) else tree.Argument(None, child, child.span)
        for child in (children[1:-1] if comma else children[1:])
    )
    return tree.Call(children[0], arguments, comma, span)


def _reference(children: Sequence[Any], span: Span) -> tree.Reference | tree.Boolean:
    name: str = children[0].text
    return tree.Boolean(name == "true", span) if name in ("true", "false") else tree.Reference(name, span)
