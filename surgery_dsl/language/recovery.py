"""What the parser does where a token cannot follow: say why, mend what is clear, and find the next statement."""

from typing import TYPE_CHECKING

from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import syntax as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Label
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language.mistakes import ENDS_OPERAND, STARTS_OPERAND, STOPS, Situation, after, describe, shown
from surgery_dsl.language.strays import BROKEN
from surgery_dsl.language.syntax import BLOCK_KINDS, VERBS, Broken
from surgery_dsl.language.tokens import END, Token

if TYPE_CHECKING:
    from surgery_dsl.language.parse import Parser

_CLOSER = {"LPAR": "RPAR", "LSQB": "RSQB"}
_SIGN = {"LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]"}
_VERB_KINDS = frozenset(verb.upper() for verb in VERBS)


class Recovery:
    """Acts on the parser's state; every method either mends the tokens or goes on at a later one."""

    def __init__(self, parser: "Parser") -> None:
        self.parser = parser

    def mistake(self, token: Token) -> None:
        """Deal with a token that cannot follow."""
        parser = self.parser
        parser.count()
        if token.kind == BROKEN:  # reported when it was scanned
            self._go_on(parser.index)
        elif parser.brackets:
            self._in_brackets(token)
        elif token.kind in _SIGN and token.kind not in _CLOSER:
            self._say(codes.UNMATCHED_BRACKET, f"`{token.text}` closes nothing", token.span, "remove it")
            del parser.tokens[parser.index]
        elif parser.opened is None:
            self._outside(token)
        else:
            self._inside(token)

    def too_deep(self, token: Token, message: str) -> None:
        """Give a statement up whose value is nested too deeply."""
        self.parser.count()
        self._say(codes.TOO_DEEP, message, token.span, "write the value flatter, or as several statements")
        self._go_on(self.parser.index)

    # ---- brackets ------------------------------------------------------------------------------------------------

    def lacks_comma(self, token: Token) -> bool:
        """Return whether a name inside brackets stands right behind a finished value.

        The grammar takes any name between two values there, since words have no tokens of their own; it must be `in`.
        """
        tokens, index = self.parser.tokens, self.parser.index
        before = _previous(tokens, index)
        if before.kind not in ENDS_OPERAND:
            return False
        operator = before.text == "in" and _previous(tokens, tokens.index(before)).kind in ENDS_OPERAND
        return not operator

    def _in_brackets(self, token: Token) -> None:
        parser = self.parser
        bracket = parser.brackets[-1]
        right = _CLOSER[bracket.kind]
        before = _previous(parser.tokens, parser.index)
        if self._leaves(token):
            self._say_unclosed(bracket)
            start = parser.tokens.index(bracket)
            # What was read as part of the value is read again as statements: without the commas put in meanwhile.
            parser.tokens[start : parser.index] = [t for t in parser.tokens[start : parser.index] if t.end > t.column]
            self._go_on(start)
        elif token.kind in ("RPAR", "RSQB") and token.kind != right and parser.accepts(right):
            self._say(
                codes.MISSING_BRACKET,
                f"`{bracket.text}` is closed by `{token.text}`",
                token.span,
                f"write `{_SIGN[right]}`",
                Label(bracket.span, "opened here"),
            )
            if any(_CLOSER[outer.kind] == token.kind for outer in parser.brackets[:-1]):
                parser.insert(parser.index, right, _SIGN[right])
            else:
                parser.tokens[parser.index] = token._replace(kind=right)
        elif _side_by_side(before, token) and parser.accepts("COMMA"):
            self._say_comma(before, token)
        elif token.kind == "COMMA" and before.kind in ("COMMA", "LPAR", "LSQB"):
            parser.report(describe(self._situation(token)))
            while parser.tokens[parser.index].kind == "COMMA":
                del parser.tokens[parser.index]
        else:
            parser.report(describe(self._situation(token)))
            self._go_on(parser.index)

    def _leaves(self, token: Token) -> bool:
        """Return whether a token can only belong to what follows the statement."""
        if token.kind in (END, "RBRACE") or token.kind in _VERB_KINDS:
            return True
        return token.first and token.column <= self._margin() and token.kind not in ("RPAR", "RSQB")

    def _margin(self) -> int:
        """Return the column at which the line starts on which the statement begins."""
        index = self.parser.statement
        while not self.parser.tokens[index].first and index > 0:
            index -= 1
        return self.parser.tokens[index].column

    def _say_unclosed(self, bracket: Token) -> None:
        closer = _SIGN[_CLOSER[bracket.kind]]
        self._say(
            codes.MISSING_BRACKET, f"`{bracket.text}` is never closed", bracket.span, f"add the missing `{closer}`"
        )

    def _say_comma(self, before: Token, token: Token) -> None:
        parser = self.parser
        found = describe(self._situation(token))
        if found.code is not codes.MALFORMED_NUMBER:
            self._say(
                codes.MISSING_COMMA,
                f"a comma is missing between {shown(before)} and {shown(token)}",
                after(before),
                f"write `{before.text}, {token.text}`",
            )
            while parser.tokens[parser.index - 1].kind == "_NL":
                parser.index -= 1
            parser.insert(parser.index, "COMMA", ",")
        else:
            parser.report(found)
            del parser.tokens[parser.index]

    # ---- outside of blocks ---------------------------------------------------------------------------------------

    def lacks_brace(self, token: Token) -> bool:
        """At a line end behind ``kind name``: add the brace that the next line shows to be missing."""
        parser = self.parser
        if parser.opened is not None or "LBRACE" not in parser.table.states[parser.states[-1]]:
            return False
        following, second = (
            parser.tokens[parser.index + 1],
            parser.tokens[min(parser.index + 2, len(parser.tokens) - 1)],
        )
        if following.kind == "LBRACE":
            self._say(
                codes.MISSING_BRACE,
                "`{` stands on a line of its own",
                following.span,
                f"put it at the end of line {token.line}",
            )
            del parser.tokens[parser.index]
            return True
        if following.kind in _VERB_KINDS or (following.kind == "NAME" and second.kind == "EQUAL"):
            before = parser.tokens[parser.index - 1]
            self._say(
                codes.MISSING_BRACE,
                f"`{{` is missing after `{before.text}`",
                after(before),
                f"write `{parser.tokens[parser.statement].text} {before.text} {{` and close the block with `}}`",
            )
            parser.insert(parser.index, "LBRACE", "")
            return True
        return False

    def _outside(self, token: Token) -> None:
        parser = self.parser
        statement = parser.tokens[parser.statement : parser.index]
        first = statement[0] if statement else token
        if parser.tokens[parser.index - 1].kind == "RBRACE" and parser.accepts("_NL"):
            if token.kind == "NAME":
                self._say(
                    codes.MISSING_LINE_END,
                    f"{shown(token)} stands on the line of a `}}`",
                    token.span,
                    "start each block on a line of its own",
                )
            parser.insert(parser.index, "_NL", "\n")  # the block is finished: what follows is looked at by itself
        elif token.kind == "RBRACE" and not statement:
            self._say(codes.UNMATCHED_BRACKET, "`}` closes no block", token.span, "remove it")
            self._go_on(parser.index + 1)
        elif len(statement) == 1 and statement[0].kind == "NAME" and self._lacks_name(token):
            kind = statement[0].text
            self._say(
                codes.MISSING_NAME,
                f"the block `{kind}` has no name",
                after(statement[0]),
                f"give it a name: `{kind} NAME {{`",
            )
            parser.insert(parser.index, "NAME", "")
        elif (statement and token.kind == "EQUAL") or first.kind in _VERB_KINDS:
            self._stray_statement(first)
        else:
            self._bad_header(token, statement)

    def _lacks_name(self, token: Token) -> bool:
        return token.kind in STOPS | {"LBRACE"} and self.parser.accepts("NAME")

    def _stray_statement(self, first: Token) -> None:
        """An attribute or obligation outside: say it once for the lines that belong together."""
        parser = self.parser
        self._say(
            codes.OUTSIDE_BLOCK,
            f"`{first.text}` stands outside every block",
            first.span,
            "move it into the block it belongs to; a `}` above may close that block too early",
        )
        index = parser.index
        while parser.tokens[index].kind not in (END, "RBRACE"):
            if parser.tokens[index].kind == "_NL" and self._is_header(index + 1):
                break
            index += 1
        if parser.tokens[index].kind == "RBRACE":
            index += 1
        parser.restore(index)

    def _bad_header(self, token: Token, statement: list[Token]) -> None:
        parser = self.parser
        brace = parser.index
        while parser.tokens[brace].kind not in STOPS | {"LBRACE"}:
            brace += 1
        kind = statement[0].text if statement else "KIND"
        name = statement[1].text if len(statement) > 1 else "NAME"
        opens = parser.tokens[brace].kind == "LBRACE"
        if len(statement) == 1 and token.kind in _VERB_KINDS and opens:
            message = f"`{token.text}` is a verb and cannot name a block"
            self._say(codes.MISSING_NAME, message, token.span, f"give it another name: `{kind} NAME {{`")
            parser.tokens[parser.index] = token._replace(kind="NAME")
            return
        self._say(
            codes.UNEXPECTED_TEXT,
            f"unexpected {shown(token)}" + (f" after `{kind} {name}`" if len(statement) > 1 else ""),
            token.span,
            f"a block starts with its kind and its name: `{kind} {name} {{`",
        )
        if opens and parser.accepts("LBRACE"):
            parser.index = brace
        elif opens and len(statement) == 1 and parser.accepts("NAME"):
            parser.insert(brace, "NAME", "")
            parser.index = brace
        else:
            self._go_on(parser.index if token.kind not in STOPS else parser.index + (token.kind != END))

    # ---- inside a block ------------------------------------------------------------------------------------------

    def _inside(self, token: Token) -> None:
        parser = self.parser
        opened = parser.opened
        assert opened is not None
        if token.kind == END and parser.accepts("RBRACE"):
            self._say_unclosed_block(opened, token)
            parser.insert(parser.index, "RBRACE", "")
        elif self._is_header(parser.statement) and parser.index <= parser.statement + 2:
            self._header_inside(opened)
        elif self._starts_statement(parser.index) and parser.accepts("_NL"):
            self._say(
                codes.MISSING_LINE_END,
                f"`{token.text}` starts a second statement on the line",
                token.span,
                "give each statement a line of its own",
            )
            parser.insert(parser.index, "_NL", "\n")
        else:
            parser.report(describe(self._situation(token)), once=parser.index == parser.statement)
            self._go_on(parser.index)

    def _starts_statement(self, index: int) -> bool:
        token = self.parser.tokens[index]
        if token.kind in _VERB_KINDS:
            return index > self.parser.statement
        return token.kind == "NAME" and self.parser.tokens[index + 1].kind == "EQUAL" and index > self.parser.statement

    def _is_header(self, index: int) -> bool:
        """Return whether a line reads like the first line of a block."""
        tokens = self.parser.tokens
        if index >= len(tokens) - 1 or tokens[index].kind != "NAME" or not tokens[index].first:
            return False
        second = tokens[index + 1]
        third = tokens[min(index + 2, len(tokens) - 1)]
        if second.kind == "NAME" or second.kind in _VERB_KINDS:
            return third.kind == "LBRACE" or (tokens[index].text in BLOCK_KINDS and third.kind in STOPS)
        return second.kind == "LBRACE"

    def _header_inside(self, opened: Token) -> None:
        """A block starts inside a block: either that one was not closed, or the author nests them."""
        parser = self.parser
        tokens = parser.tokens
        first = tokens[parser.statement]
        header = tokens[parser.header]
        if first.column <= header.column:
            self._say_unclosed_block(opened, first)
            parser.restore(parser.statement)
            parser.insert(parser.index, "_NL", "\n")
            parser.insert(parser.index, "RBRACE", "")
            return
        self._say(
            codes.NESTED_BLOCK,
            f"the block `{first.text} {tokens[parser.statement + 1].text}` stands inside another block".replace(
                " {", ""
            ),
            first.span,
            f"move it behind the `}}` of `{header.text} {tokens[parser.header + 1].text}`",
            Label(header.span, "inside this block"),
        )
        depth, index = 0, parser.statement
        while tokens[index].kind != END:
            depth += (tokens[index].kind == "LBRACE") - (tokens[index].kind == "RBRACE")
            index += 1
            if depth == 0 and tokens[index].kind in STOPS and tokens[index - 1].kind in ("RBRACE", "NAME"):
                break
        parser.broken.append(Broken("", first.span))
        parser.restore(index)

    def _say_unclosed_block(self, opened: Token, token: Token) -> None:
        if not opened.text:  # the brace was missing too, which was said
            return
        header = self.parser.tokens[self.parser.header]
        name = self.parser.tokens[self.parser.header + 1].text
        self._say(
            codes.MISSING_BRACE,
            f"the block `{header.text} {name}` is not closed",
            opened.span,
            f"add `}}` before {'the end of the plan' if token.kind == END else f'line {token.line}'}",
        )

    # ---- going on ------------------------------------------------------------------------------------------------

    def _go_on(self, index: int) -> None:
        """Give the statement up and go on at its end, which is looked for from ``index``."""
        parser = self.parser
        end = self._statement_end(index)
        first = parser.tokens[parser.statement]
        last = parser.tokens[max(end - 1, parser.statement)]
        if end > parser.statement:
            named = first.kind == "NAME"
            span = Span(first.line, first.column, last.line, last.end)
            if parser.opened is not None:
                parser.broken.append(Broken(first.text if named else "", span))
        self._close_one_liner(end)
        parser.restore(end)

    def _statement_end(self, index: int) -> int:
        """Return where the statement ends: at its line's end, outside of brackets as far as they are balanced."""
        parser = self.parser
        tokens, margin = parser.tokens, self._margin()
        place = (tokens[index].line, tokens[index].column)
        depth = sum((bracket.line, bracket.column) < place for bracket in parser.brackets)
        braces = 0
        while True:
            kind = tokens[index].kind
            if kind == END or (kind == "RBRACE" and not braces):
                return index
            braces = 0 if kind == "_NL" else braces + (kind == "LBRACE") - (kind == "RBRACE")
            depth += (kind in _CLOSER) - (kind in ("RPAR", "RSQB"))
            if kind == "_NL":
                following = tokens[index + 1]
                goes_on = following.column > margin or following.kind in ("RPAR", "RSQB")
                if depth <= 0 or not goes_on or following.kind in _VERB_KINDS:
                    return index
            index += 1

    def _close_one_liner(self, end: int) -> None:
        """Where the mistake swallowed the ``}`` of ``data x { … }``, put it back."""
        parser = self.parser
        if parser.opened is None or parser.tokens[end].kind not in ("_NL", END):
            return
        if parser.tokens[parser.statement].line != parser.opened.line:
            return
        if parser.tokens[end].kind == END or self._is_header(end + 1):
            parser.insert(end, "RBRACE", "}")

    def _situation(self, token: Token) -> Situation:
        parser = self.parser
        block = parser.tokens[parser.header].text if parser.opened is not None else ""
        statement = [t for t in parser.tokens[parser.statement : parser.index] if t.kind != "_NL"]
        following = parser.tokens[min(parser.index + 1, len(parser.tokens) - 1)]
        return Situation(parser.file, block, statement, token, following, parser.accepts)

    def _say(self, code: Code, message: str, span: Span, help_: str, *labels: Label) -> None:
        self.parser.report(Diagnostic(code, message, self.parser.file, span, labels=labels, help=help_))


def _side_by_side(before: Token, token: Token) -> bool:
    """Return whether two values stand side by side; ``a[0]`` is an attempt to index, ``a [0]`` is two values."""
    apart = token.line > before.line or token.column > before.end
    return before.kind in ENDS_OPERAND and token.kind in STARTS_OPERAND and (apart or token.kind not in _CLOSER)


def _previous(tokens: list[Token], index: int) -> Token:
    """Return the token before ``index``, line ends aside."""
    index -= 1
    while index > 0 and tokens[index].kind == "_NL":
        index -= 1
    return tokens[index]
