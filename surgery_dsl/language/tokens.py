"""From text to tokens: the terminals of the grammar, with comments set aside and stray characters explained."""

import re
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import NamedTuple

from surgery_dsl.diagnostics.codes import syntax as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import limits
from surgery_dsl.language.strays import BROKEN, Stray, explain_stray, hidden_characters
from surgery_dsl.language.syntax import Comment
from surgery_dsl.language.table import load_table

END = "$END"


class Token(NamedTuple):
    """One terminal. Tokens never span lines; columns count from 1 and ``end`` is exclusive.

    ``first`` says whether it is the first token of its line.
    """

    kind: str
    text: str
    line: int
    column: int
    end: int
    first: bool

    @property
    def span(self) -> Span:
        """Its place."""
        return Span(self.line, self.column, self.line, self.end)


@dataclass(frozen=True, slots=True)
class Scanned:
    """The tokens (the last is ``$END``), the comments, and what was wrong with characters.

    ``complete`` is false where there were too many tokens and the rest was not read.
    """

    tokens: list[Token]
    comments: tuple[Comment, ...]
    diagnostics: tuple[Diagnostic, ...]
    complete: bool


@cache
def _pattern() -> re.Pattern[str]:
    """One pattern for all terminals, tried in Lark's order; each is a group of its name."""
    return re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in load_table().terminals))


class _Scanner:
    """Reads a text once, from left to right."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.tokens: list[Token] = []
        self.comments: list[Comment] = []
        self.diagnostics: list[Diagnostic] = []
        self.line = 1
        self.start_of_line = 0
        self.first = True
        self.quiet_line = 0

    def scan(self) -> Scanned:
        """Read everything."""
        text, table = self.text, load_table()
        match, ignore, keywords = _pattern().match, table.ignore, table.keywords
        position, size = (1 if text.startswith("\ufeff") else 0), len(text)
        tokens = self.tokens
        while position < size:
            found = match(text, position)
            if found is None:
                position = self._stray(position)
                if len(self.diagnostics) >= limits.MISTAKES:
                    return self._give_up(position)
                continue
            kind, end = found.lastgroup or "", found.end()
            if kind == "_NL":
                self._line_end(position)
            elif kind == "COMMENT":
                self._comment(found.group(), position)
            elif kind not in ignore:
                word = found.group()
                if kind == "NAME":
                    kind = keywords.get(word, kind)
                column = position - self.start_of_line + 1
                tokens.append(Token(kind, word, self.line, column, column + end - position, self.first))
                self.first = False
                if len(tokens) > limits.TOKENS:
                    self._too_many()
                    break
            position = end
        column = position - self.start_of_line + 1
        tokens.append(Token(END, "", self.line, column, column + 1, True))
        for line, column, character in islice(hidden_characters(text), limits.MISTAKES):
            self._report(_hidden(line, column, character, self.file))
        return Scanned(tokens, tuple(self.comments), tuple(self.diagnostics), len(tokens) <= limits.TOKENS + 1)

    def _give_up(self, position: int) -> Scanned:
        column = position - self.start_of_line + 1
        span = Span(self.line, column, self.line, column + 1)
        self.diagnostics.append(too_many_mistakes(self.file, span))
        return Scanned([], tuple(self.comments), tuple(self.diagnostics), complete=False)

    def _line_end(self, position: int) -> None:
        # A row of line ends is one token: blank lines are read off the places of what stands around them.
        if self.tokens and self.tokens[-1].kind != "_NL":
            column = position - self.start_of_line + 1
            self.tokens.append(Token("_NL", "\n", self.line, column, column + 1, False))
        self.line += 1
        self.start_of_line = position + 1
        self.first = True

    def _comment(self, text: str, position: int) -> None:
        text = text.rstrip()
        column = position - self.start_of_line + 1
        span = Span(self.line, column, self.line, column + len(text))
        self.comments.append(Comment(text, self.first, span))

    def _stray(self, position: int) -> int:
        """Deal with a character that starts no terminal; return where to go on."""
        before = self.tokens[-1] if self.tokens and not self.first else None
        stray = explain_stray(self.text, position, before.kind if before else "", before.text if before else "")
        column = position - self.start_of_line + 1
        span = Span(self.line, column, self.line, column + stray.width)
        if stray.code is not None:
            facts = {"character": f"U+{ord(self.text[position]):04X}"}
            self._report(
                Diagnostic(stray.code, stray.message, self.file, span, stray.label, facts=facts, help=stray.help)
            )
        if stray.meant:
            self._stand_in(stray, span)
        return position + stray.width

    def _stand_in(self, stray: Stray, span: Span) -> None:
        """Put in the token that was most likely meant, so that one slip gives one finding."""
        found = None if stray.meant == BROKEN else _pattern().fullmatch(stray.meant)
        kind = BROKEN if found is None else found.lastgroup or BROKEN
        self.tokens.append(Token(kind, stray.meant, span.line, span.column, span.end_column, self.first))
        self.first = False

    def _report(self, diagnostic: Diagnostic) -> None:
        """Keep one finding a line: what follows a stray character on its line is seldom independent of it."""
        line = diagnostic.span.line if diagnostic.span else 0
        if line != self.quiet_line and len(self.diagnostics) < limits.MISTAKES:
            self.diagnostics.append(diagnostic)
        self.quiet_line = line

    def _too_many(self) -> None:
        last = self.tokens[-1]
        self.diagnostics.append(
            Diagnostic(
                codes.TOO_MANY_TOKENS,
                f"the plan has more than {limits.TOKENS:,} words and signs",
                self.file,
                last.span,
                facts={"limit": limits.TOKENS},
                help="a plan is one change that a person can review: keep long lists of numbers in a file",
            )
        )


def too_many_mistakes(file: str, span: Span) -> Diagnostic:
    """Say that the rest of the plan was not read."""
    return Diagnostic(
        codes.TOO_MANY_MISTAKES,
        f"reading stopped after {limits.MISTAKES} mistakes",
        file,
        span,
        facts={"limit": limits.MISTAKES},
        help="mend the first mistakes and check again; make sure that the file is a plan",
    )


def _hidden(line: int, column: int, character: str, file: str) -> Diagnostic:
    return Diagnostic(
        codes.HIDDEN_CHARACTER,
        f"the hidden character U+{ord(character):04X} could make the plan read differently from what it says",
        file,
        Span(line, column, line, column + 1),
        facts={"character": f"U+{ord(character):04X}"},
        help="remove it; inside a string, name the file or module without it",
    )


def scan(text: str, file: str) -> Scanned:
    """Split a text into tokens and comments. Never raises, whatever the text holds."""
    return _Scanner(text, file).scan()
