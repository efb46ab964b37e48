"""Reads the text of a plan into its syntax tree, and goes on after every mistake.

:func:`parse` drives the LALR tables of the grammar itself. At the start of each statement it keeps the parser's
stacks; after a mistake it goes back to them and on at the next line, so that one run finds all independent
mistakes and each of them once. Two facts make that reliable: blocks do not nest, and a statement ends with its
line outside of brackets.
"""

from typing import Any

from surgery_dsl.diagnostics.codes import syntax as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import limits
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.dialect import read_dialect
from surgery_dsl.language.recovery import Recovery
from surgery_dsl.language.source import refuse
from surgery_dsl.language.table import load_table
from surgery_dsl.language.tokens import Scanned, Token, scan, too_many_mistakes
from surgery_dsl.language.tree import TreeBuilder

_CLOSERS = frozenset({"RPAR", "RSQB"})
_OPENERS = frozenset({"LPAR", "LSQB"})
_STATEMENTS = frozenset({"attribute", "obligation"})
_Place = tuple[int, int, int, int]


def parse(text: str, file: str = "") -> tuple[tree.File, tuple[Diagnostic, ...]]:
    """Return the syntax tree of a plan and everything that is wrong with its text.

    Never raises, whatever the text holds. What could be read is in the tree even where there are mistakes; then
    ``File.broken`` is set. The work is linear in the size of the text, which is capped (:mod:`.limits`).
    """
    unreadable = refuse(text, file)
    if unreadable is not None:
        return tree.File(None, None, (), (), broken=True), (unreadable,)
    scanned = scan(text, file)
    if not scanned.complete:
        return tree.File(None, None, (), scanned.comments, broken=True), scanned.diagnostics
    return Parser(scanned, file).run()


class Stopped(Exception):
    """Reading stops: a cap was reached."""


class Parser:
    """The state of one run: the four parallel stacks, and where the current statement began."""

    def __init__(self, scanned: Scanned, file: str) -> None:
        self.file = file
        self.tokens = scanned.tokens
        self.comments = scanned.comments
        self.diagnostics = list(scanned.diagnostics)
        self.reported_lines = {d.span.line for d in scanned.diagnostics if d.span is not None}
        self.table = load_table()
        self.builder = TreeBuilder(file, self.diagnostics.append)
        self.index = 0
        self.states: list[int] = [self.table.start]
        self.values: list[Any] = []
        self.places: list[_Place] = []
        self.heights: list[int] = []
        self.saved = self._copy()
        self.statement = 0
        self.header = 0
        self.opened: Token | None = None
        self.brackets: list[Token] = []
        self.broken: list[tree.Broken] = []
        self.blocks: list[tree.Block] = []
        self.mistakes = 0
        self.repeated = 0

    def run(self) -> tuple[tree.File, tuple[Diagnostic, ...]]:
        """Read all tokens."""
        dialect, span, findings = read_dialect(self.tokens, self.file)
        self.diagnostics.extend(findings)
        recovery = Recovery(self)
        try:
            while self.states[-1] != self.table.end:
                token = self.tokens[self.index]
                if self.brackets:
                    if token.kind == "_NL":
                        self.index += 1
                        continue
                    if token.kind == "NAME" and token.text != "in" and recovery.lacks_comma(token):
                        recovery.mistake(token)
                        continue
                elif token.kind == "_NL" and recovery.lacks_brace(token):
                    continue
                action = self.table.states[self.states[-1]].get(token.kind)
                if action is None:
                    recovery.mistake(token)
                elif action < 0:
                    self._reduce(-1 - action, token, recovery)
                else:
                    self._shift(token, action, recovery)
        except Stopped:
            pass
        found = sorted(self.diagnostics, key=_position)
        file = tree.File(dialect, span, tuple(self.blocks), self.comments, bool(found))
        return file, tuple(found)

    def _shift(self, token: Token, state: int, recovery: Recovery) -> None:
        self.states.append(state)
        self.values.append(token)
        self.places.append((token.line, token.column, token.line, token.end))
        self.heights.append(0)
        self.index += 1
        kind = token.kind
        if kind in _OPENERS:
            self.brackets.append(token)
            if len(self.brackets) > limits.NESTING:
                recovery.too_deep(token, f"brackets are nested more than {limits.NESTING} deep")
        elif kind in _CLOSERS:
            self.brackets.pop()
        elif kind == "LBRACE":
            self.opened, self.header = token, self.statement
            self._checkpoint()
        elif kind == "RBRACE":
            self.opened = None
        elif kind == "_NL":
            self._checkpoint()

    def _reduce(self, number: int, token: Token, recovery: Recovery) -> None:
        rule = self.table.rules[number]
        length = rule.length
        if length == 1 and rule.making == "single":
            self.states.pop()
            self.states.append(self.table.states[self.states[-1]][rule.origin])
            return
        first, last = self.places[-length], self.places[-1]
        children = self.values[-length:]
        height = max(self.heights[-length:])
        del self.states[-length:], self.values[-length:], self.places[-length:], self.heights[-length:]
        if rule.making == "inline":
            value: Any = tuple(children[index] for index in rule.kept)
        elif rule.name == "start":
            value = None
        else:
            span = Span(first[0], first[1], last[2], last[3])
            value = self.builder.make(rule.name, _flat(children, rule.kept), span)
            height = 0 if rule.name in _STATEMENTS else height + 1
            if rule.name == "body":
                value = self._with_broken(value)
            elif rule.name == "block":
                self._keep_block(value)
                value = None
        self.states.append(self.table.states[self.states[-1]][rule.origin])
        self.values.append(value)
        self.places.append((first[0], first[1], last[2], last[3]))
        self.heights.append(height)
        if height > limits.NODES:
            recovery.too_deep(token, f"a value is built of more than {limits.NODES} parts within parts")

    def _with_broken(self, body: tree.Body) -> tree.Body:
        if not self.broken:
            return body
        broken, self.broken = tuple(self.broken), []
        return tree.Body(body.statements, broken, body.opened, body.closed, body.span)

    def _keep_block(self, block: tree.Block) -> None:
        # A mistake behind a finished block goes back to a stack on which it is not yet reduced: keep it once.
        if self.blocks and self.blocks[-1].span == block.span:
            self.blocks.pop()
        self.blocks.append(block)
        if len(self.blocks) > limits.BLOCKS:
            self.diagnostics.append(
                Diagnostic(
                    codes.TOO_MANY_BLOCKS,
                    f"the plan has more than {limits.BLOCKS:,} blocks",
                    self.file,
                    block.kind.span,
                    facts={"limit": limits.BLOCKS},
                    help="a plan is one change that a person can review: split it",
                )
            )
            raise Stopped

    # ---- what recovery uses --------------------------------------------------------------------------------------

    def _copy(self) -> tuple[list[int], list[Any], list[_Place], list[int]]:
        return self.states[:], self.values[:], self.places[:], self.heights[:]

    def _checkpoint(self) -> None:
        self.saved = self._copy()
        self.statement = self.index

    def restore(self, index: int) -> None:
        """Go back to the stacks at the start of the statement, and on at the token ``index``."""
        states, values, places, heights = self.saved
        self.states, self.values, self.places, self.heights = states[:], values[:], places[:], heights[:]
        self.brackets.clear()
        self.index = self.statement = index

    def accepts(self, kind: str) -> bool:
        """Return whether a token of this kind could come next."""
        states = self.states[:]
        while (action := self.table.states[states[-1]].get(kind)) is not None:
            if action >= 0:
                return True
            rule = self.table.rules[-1 - action]
            del states[-rule.length :]
            states.append(self.table.states[states[-1]][rule.origin])
        return False

    def insert(self, index: int, kind: str, text: str) -> None:
        """Put a missing token before the token at ``index``, without width, behind the token before it."""
        before = self.tokens[index - 1] if index else self.tokens[index]
        self.tokens.insert(index, Token(kind, text, before.line, before.end, before.end, False))

    def report(self, diagnostic: Diagnostic, once: bool = False) -> None:
        """Keep a finding, unless the characters of its line gave one already.

        ``once`` drops it where the line before gave the very same.
        """
        line = diagnostic.span.line if diagnostic.span else 0
        if line in self.reported_lines:
            return
        last = self.diagnostics[-1] if self.diagnostics else None
        same = last is not None and (last.code, last.message) == (diagnostic.code, diagnostic.message)
        if not (once and same and line == self.repeated + 1):
            self.diagnostics.append(diagnostic)
        self.repeated = line

    def count(self) -> None:
        """Count a mistake, told or not, and stop after many: then the text is hardly a plan."""
        self.mistakes += 1
        if self.mistakes > limits.MISTAKES:
            self.diagnostics.append(too_many_mistakes(self.file, self.tokens[self.index].span))
            raise Stopped


def _flat(children: list[Any], kept: tuple[int, ...]) -> list[Any]:
    """Resolve the rows that stand for repetitions, without recursion: a row may be nested once per item."""
    flat: list[Any] = []
    waiting = [children[index] for index in reversed(kept)]
    while waiting:
        child = waiting.pop()
        if type(child) is tuple:
            waiting.extend(reversed(child))
        elif child is not None:
            flat.append(child)
    return flat


def _position(diagnostic: Diagnostic) -> tuple[bool, int, int]:
    """Sort by place; what concerns the whole file comes first, the note that reading stopped last."""
    span = diagnostic.span
    stopped = diagnostic.code is codes.TOO_MANY_MISTAKES
    return stopped, span.line if span else 0, span.column if span else 0
