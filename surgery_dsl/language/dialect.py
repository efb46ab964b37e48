"""The first statement of every plan: ``surg 1``."""

from surgery_dsl.diagnostics.codes import syntax as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Label
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language.tokens import END, Token

DIALECT = 1
"""The dialect of the language that this program reads."""

_WORD = "surg"


def read_dialect(tokens: list[Token], file: str) -> tuple[int | None, Span | None, tuple[Diagnostic, ...]]:
    """Return the dialect and its place; where the line is wrong or missing, put a right one into the tokens."""
    end = _line_end(tokens, 0)
    line = tokens[:end]
    first = tokens[0]
    if first.kind == "NAME" and first.text == _WORD:
        span = first.span.to(line[-1].span)
        if [token.kind for token in line] == ["NAME", "NUMBER"] and line[1].text == str(DIALECT):
            return DIALECT, span, ()
        tokens[:end] = _right(first)
        return None, None, (_unknown(line, span, file),)
    if [token.kind for token in line] == ["NAME", "NUMBER"]:
        tokens[:end] = _right(first)
        return None, None, (_missing(first, first.span.to(line[-1].span), file, ()),)
    later = _later(tokens)
    labels: tuple[Label, ...] = ()
    if later is not None:
        labels = (Label(tokens[later].span.to(tokens[later + 1].span), "it stands here"),)
        del tokens[later : _line_end(tokens, later) + 1]
    start = Token("_NL", "\n", 1, 1, 1, False)
    tokens[:0] = [*_right(Token("NAME", _WORD, 1, 1, 1, True)), start]
    return None, None, (_missing(first, first.span, file, labels),)


def _line_end(tokens: list[Token], start: int) -> int:
    end = start
    while tokens[end].kind not in ("_NL", END):
        end += 1
    return end


def _later(tokens: list[Token]) -> int | None:
    """Find a dialect line that is not the first statement."""
    for index, token in enumerate(tokens[:-2]):
        if token.first and token.text == _WORD and tokens[index + 1].kind == "NUMBER":
            return index if tokens[index + 2].kind == "_NL" else None
    return None


def _right(place: Token) -> list[Token]:
    name = Token("NAME", _WORD, place.line, place.column, place.end, True)
    return [name, Token("NUMBER", str(DIALECT), place.line, place.end, place.end, False)]


def _unknown(line: list[Token], span: Span, file: str) -> Diagnostic:
    given = line[1].text if len(line) > 1 else ""
    return Diagnostic(
        codes.UNKNOWN_DIALECT,
        f"dialect `{given}` is not known" if given else "the dialect line has no number",
        file,
        span,
        f"this program reads dialect {DIALECT}",
        facts={"given": given, "known": DIALECT},
        help=f"write `{_WORD} {DIALECT}`",
    )


def _missing(first: Token, span: Span, file: str, labels: tuple[Label, ...]) -> Diagnostic:
    return Diagnostic(
        codes.MISSING_DIALECT,
        "the dialect line must be the first statement" if labels else "the plan does not start with its dialect line",
        file,
        Span(span.line, span.column, span.end_line, max(span.end_column, span.column + 1)),
        labels=labels,
        help=f"make `{_WORD} {DIALECT}` the first line",
    )
