"""What a token that cannot follow means, in words: one finding with one fix for each frequent slip."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import syntax as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language.syntax import UNITS, VERBS
from surgery_dsl.language.tokens import END, Token

ENDS_OPERAND = frozenset({"NAME", "NUMBER", "STRING", "RPAR", "RSQB"})
STARTS_OPERAND = frozenset({"NAME", "NUMBER", "STRING", "LPAR", "LSQB"})
STOPS = frozenset({"_NL", "RBRACE", END})
_VERB_KINDS = frozenset(verb.upper() for verb in VERBS)
_OPERATORS = frozenset({"ADD", "MINUS", "MULTIPLY"})

_EXPECTED = {
    "STRING": "a value",
    "EQUAL": "`=`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "RPAR": "`)`",
    "RSQB": "`]`",
    "COMMA": "`,`",
    "DOT": "`.`",
    "COMPARE": "a comparison",
    "_NL": "the end of the line",
    "PROVE": "an obligation",
}


@dataclass(frozen=True, slots=True)
class Situation:
    """Where the parser got stuck.

    Attributes:
        file: The plan.
        block: Kind of the block around, empty outside of blocks.
        statement: The tokens of the statement before the token at hand.
        token: The token that cannot follow.
        following: The token after it.
        accepts: Whether a kind of token could have followed.
    """

    file: str
    block: str
    statement: Sequence[Token]
    token: Token
    following: Token
    accepts: Callable[[str], bool]

    def say(self, code: Code, message: str, help_: str, *, label: str = "", span: Span | None = None) -> Diagnostic:
        """Make the finding, at the token where no other place is given."""
        return Diagnostic(code, message, self.file, span or self.token.span, label, help=help_)

    @property
    def before(self) -> Token | None:
        """The token before the one at hand, in the same statement."""
        return self.statement[-1] if self.statement else None


def describe(situation: Situation) -> Diagnostic:
    """Say what is wrong, by the first of the frequent slips that fits."""
    for slip in (
        _start,
        _missing_equals,
        _number,
        _missing_value,
        _second_operator,
        _comma,
        _neighbours,
        _brace,
        _equals,
    ):
        found = slip(situation)
        if found is not None:
            return found
    wanted = [words for kind, words in _EXPECTED.items() if situation.accepts(kind)]
    expected = ", ".join(wanted[:-1]) + " or " + wanted[-1] if len(wanted) > 1 else "".join(wanted)
    return situation.say(
        codes.UNEXPECTED_TEXT,
        f"unexpected {shown(situation.token)}",
        f"here stands {expected}" if expected else "remove it",
    )


def shown(token: Token) -> str:
    """Name a token as the author would."""
    if token.kind == END:
        return "end of the plan"
    if token.kind == "_NL":
        return "end of the line"
    text = token.text if len(token.text) <= 40 else token.text[:39] + "…"
    return f"`{text}`"


def after(token: Token) -> Span:
    """Return the place just behind a token."""
    return Span(token.line, token.end, token.line, token.end + 1)


def _written(tokens: Sequence[Token]) -> str:
    """Write tokens again, close to how they stood."""
    text, end = "", None
    for token in tokens:
        text += " " if end is not None and token.column > end else ""
        text += token.text
        end = token.end
    return text if len(text) <= 60 else text[:59] + "…"


def _start(situation: Situation) -> Diagnostic | None:
    """A statement of a block that starts with neither a name nor a verb."""
    if situation.statement or not situation.block:
        return None
    if situation.block == "control":
        return situation.say(
            codes.MISSING_VERB,
            f"an obligation cannot start with {shown(situation.token)}",
            "start the line with `prove`, `certify` or `measure`",
        )
    return situation.say(
        codes.UNEXPECTED_TEXT,
        f"a line of a block cannot start with {shown(situation.token)}",
        "start the line with the name of an attribute: `name = value`",
    )


def _missing_equals(situation: Situation) -> Diagnostic | None:
    """``epochs 3``, ``floor >= 8``, ``accuracy(test) >= 90%``: the second token tells what was meant."""
    statement, token = situation.statement, situation.token
    if not situation.block or len(statement) != 1 or statement[0].kind != "NAME":
        return None
    name = statement[0].text
    if situation.block == "control":
        rest = "" if token.kind in STOPS else f" {token.text} …"
        if token.kind in ("LPAR", "DOT"):
            rest = f"{token.text}…"
        return situation.say(
            codes.MISSING_VERB,
            f"the obligation on `{name}` has no verb",
            f"write `prove {name}{rest}`, `certify {name}{rest}` or `measure {name}{rest}`",
            span=statement[0].span,
        )
    if token.kind in STOPS:
        return situation.say(
            codes.MISSING_EQUALS,
            f"`{name}` has no value",
            f"write `{name} = …`",
            span=statement[0].span,
        )
    if token.kind == "COMPARE" and token.text == "==":
        return situation.say(codes.MISSING_EQUALS, "an attribute takes one `=`", f"write `{name} = …`")
    if token.kind == "COMPARE":
        return situation.say(
            codes.MISSING_EQUALS,
            f"`{name}` is compared here, not set",
            f"write `{name} = …`; comparisons are for control",
        )
    return situation.say(
        codes.MISSING_EQUALS, f"`=` is missing after `{name}`", f"write `{name} = …`", span=after(statement[0])
    )


def _number(situation: Situation) -> Diagnostic | None:
    """``.5``, ``5.``, ``7 GiB``."""
    before, token, following = situation.before, situation.token, situation.following
    if token.kind == "DOT" and following.kind == "NUMBER" and following.column == token.end:
        return situation.say(
            codes.MALFORMED_NUMBER, f"`.{following.text}` is not a number", f"write `0.{following.text}`"
        )
    if before is None or before.kind != "NUMBER":
        return None
    if token.kind == "DOT":
        return situation.say(codes.MALFORMED_NUMBER, f"`{before.text}.` is not a number", f"write `{before.text}`")
    if token.kind == "NAME" and token.text in UNITS:
        return situation.say(
            codes.MALFORMED_NUMBER,
            f"the unit `{token.text}` stands apart from its number",
            f"write `{before.text}{token.text}` without a blank",
        )
    return None


def _missing_value(situation: Situation) -> Diagnostic | None:
    before, token = situation.before, situation.token
    if before is not None and before.kind == "DOT":
        return situation.say(
            codes.MISSING_VALUE, "a name is missing after `.`", "write `owner.part`", span=after(before)
        )
    if before is None or not situation.accepts("STRING"):
        return None
    if token.kind not in STOPS | {"RPAR", "RSQB", "COMMA", "EQUAL", "COMPARE", "ARROW", "DOTS", "MULTIPLY", "ADD"}:
        return None
    help_ = 'write a value: a number, a `"string"`, a name, a list or a call'
    if before.kind == "EQUAL" and len(situation.statement) > 1:
        name = situation.statement[-2].text
        if token.kind in ("EQUAL", "COMPARE"):
            return situation.say(codes.UNEXPECTED_TEXT, f"unexpected {shown(token)}", f"write `{name} = …`")
        message = f"`{name}` has no value"
        help_ = f'write `{name} = …` with a number, a `"string"`, a name, a list or a call'
    elif before.kind == "COMPARE":
        message = f"nothing stands right of `{before.text}`"
    elif before.kind in _VERB_KINDS:
        message = f"`{before.text}` has no obligation"
        help_ = f"write what to {before.text}, such as `{before.text} params <= 0.65 * base.params`"
    elif before.kind in ("LPAR", "LSQB", "COMMA"):
        message = f"a value is missing before {shown(token)}"
        help_ = f"remove {shown(token)}, or write the value" if token.kind == "COMMA" else help_
    else:
        message = f"nothing follows `{before.text}`"
    return situation.say(codes.MISSING_VALUE, message, help_, span=after(before), label="a value belongs here")


def _second_operator(situation: Situation) -> Diagnostic | None:
    """``a < b < c``, ``1 -> 2 -> 3``, ``1..2..3``, and comparisons where none may stand."""
    token, statement = situation.token, situation.statement
    if token.kind == "COMPARE":
        if statement and statement[0].kind in _VERB_KINDS and any(t.kind == "COMPARE" for t in statement):
            return situation.say(
                codes.UNEXPECTED_TEXT, "an obligation compares once", "write two obligations, one a line"
            )
        return situation.say(
            codes.UNEXPECTED_TEXT,
            f"unexpected `{token.text}`: only obligations compare",
            "put the comparison into a `control` block, behind `prove`, `certify` or `measure`",
        )
    if token.kind in ("ARROW", "DOTS") and any(t.kind == token.kind for t in statement):
        what = "an arrow has one left and one right side" if token.kind == "ARROW" else "a range has two ends"
        return situation.say(codes.UNEXPECTED_TEXT, what, f"remove one `{token.text}`")
    return None


def _comma(situation: Situation) -> Diagnostic | None:
    if situation.token.kind != "COMMA" or not situation.statement:
        return None
    if situation.following.kind in STOPS:
        return situation.say(
            codes.UNEXPECTED_TEXT, "a line does not end with a comma", "remove the comma; each attribute has its line"
        )
    equals = [index for index, token in enumerate(situation.statement) if token.kind == "EQUAL"]
    value = _written(situation.statement[equals[0] + 1 :]) if equals else "a"
    return situation.say(
        codes.UNEXPECTED_TEXT, "several values need a list", f"write `[{value}, {situation.following.text}]`"
    )


def _neighbours(situation: Situation) -> Diagnostic | None:
    before, token = situation.before, situation.token
    if before is None or before.kind not in ENDS_OPERAND or token.kind not in STARTS_OPERAND:
        return None
    if token.kind == "LPAR":
        return situation.say(
            codes.UNEXPECTED_TEXT, f"{shown(before)} cannot be called", "calls start with a name: `name(…)`"
        )
    if token.kind == "LSQB":
        return situation.say(
            codes.UNEXPECTED_TEXT, "values are not indexed", "name the part: `owner.part`, or take the value apart"
        )
    return situation.say(
        codes.UNEXPECTED_TEXT,
        f"unexpected {shown(token)} after {shown(before)}",
        "put an operator or a line end between them, or quotes around text",
    )


def _brace(situation: Situation) -> Diagnostic | None:
    if situation.token.kind != "LBRACE":
        return None
    return situation.say(codes.UNEXPECTED_TEXT, "a value has no braces", "write a list `[…]` or a call `name(…)`")


def _equals(situation: Situation) -> Diagnostic | None:
    if situation.token.kind != "EQUAL":
        return None
    if any(token.kind == "EQUAL" for token in situation.statement):
        return situation.say(
            codes.UNEXPECTED_TEXT, "a value holds no `=`", "give each attribute its own line; compare with `==`"
        )
    return situation.say(
        codes.UNEXPECTED_TEXT, "`=` is not a comparison", "compare with `==`, and set attributes by a plain name"
    )
