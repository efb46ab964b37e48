"""What the help of a finding offers, as edits of the plan.

Helps speak a small language: ``write `floor = 3%```, ``add except = ["head"]``, ``did you mean `weak`?``, ``take at
most 63``. Here each part of a help is read as the edits of the text that it can mean at the finding's place, the
likeliest first; a part that names no edit is advice. Whether an edit ends the finding is not asked here: only what
checking the edited text again confirms is offered (:mod:`surgery_dsl.proof.mending`).
"""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.fix import Replacement
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.blocks import BLOCKS, attributes
from surgery_dsl.language.quoted import bare, code_in, parts_of
from surgery_dsl.language.rewriting import Rewriter, attribute_of, statements, values
from surgery_dsl.vocabulary import catalogue

Reading = tuple[Replacement, ...]

_PAIR = re.compile(r"(?P<name>[A-Za-z_]\w*) = (?P<value>.+)", re.DOTALL)
_RELATION = re.compile(r" (?:<=|>=|==|<|>) ")
_FORMAL = re.compile(r'\w+ = |\w+\(|"')
_HOLE = re.compile(r"…|\b[A-Z]{3,}\b")
_AMOUNT = re.compile(r"(?P<verb>take|keep)(?: at (?:most|least))? (?P<amount>\d[\d.]*%?)")
_LEFT_OUT = re.compile(
    r"leave (?:`(?P<path>[^`]+)`|the (?:site|layer)) out with `except`"
    r"|leave this layer out|except the (?:site|tensor)\b"
)
_SIZE = re.compile(r"(?:a range in which \w+ runs?|a fixed size for `\w+`), such as (?P<code>.+)")
_USUAL = (32, 64, 16)
"""Sizes of inputs that forwards often run at."""
_SET_BY = {"takes": "take", "criteria": "by", "transforms": "with", "modes": "mode"}
"""The attributes that words of a kind stand in."""
_SCALED = re.compile(r"(?P<sizes>`\d+ \* \w+`(?: and `\d+ \* \w+`)*) for [\w ]+ in `input`")
_PLACE = re.compile(r"(?P<size>\d+|`\w+`) in place of (?P<names>`\w+`(?: and `\w+`)*)")


@dataclass(frozen=True, slots=True)
class Offer:
    """One part of a help.

    Attributes:
        text: The part, as it stands there.
        readings: The edits that it can mean; none where it is advice.
        joint: What joins it to the part before it.
    """

    text: str
    readings: tuple[Reading, ...]
    joint: str = ""


def offers(finding: Diagnostic, rewriter: Rewriter) -> tuple[Offer, ...]:
    """Return the parts of a finding's help, joined by ``, or`` there, with the edits that each can mean."""
    if finding.span is None:
        return (Offer(finding.help, ()),)
    found = []
    for verb, text, joint in parts_of(finding.help):
        known = dict.fromkeys(_Reader(finding, finding.span, rewriter).readings(verb, text))
        found.append(Offer(text, tuple(known), joint))
    return tuple(found)


def alternatives(finding: Diagnostic, rewriter: Rewriter) -> Iterator[str]:
    """Yield what else may end a finding, in the words of a help, where nothing that its own help names does."""
    block = rewriter.block_at(finding.span) if finding.span is not None else None
    if block is None:
        return
    sized = re.match(r"write a fixed size for `(?P<name>\w+)`, such as (?P<size>\d+)", finding.help)
    if sized is not None and block.kind.text == "model":
        every = [name for name in finding.facts if name.isidentifier() and name.isupper()]
        for names in (every[1:], every) if len(every) > 2 else (every,):
            listed = " and ".join(f"`{name}`" for name in names)
            yield from (f"write {size} in place of {listed} in `input`" for size in (sized["size"], *_USUAL))
    elif block.kind.text in ("identify", "excise") and finding.code.id.startswith("SD2"):
        yield "write unit = kv_groups"
        yield "write unit = kv_groups and take at most 1"
        yield f"write mode = zero in the excise of `{block.name.text}`"


class _Reader:
    """Reads one part of a help at the place of its finding. Final."""

    def __init__(self, finding: Diagnostic, span: Span, rewriter: Rewriter) -> None:
        self.finding, self.span, self.rewriter = finding, span, rewriter
        self.block = rewriter.block_at(span)

    def readings(self, verb: str, text: str) -> Iterator[Reading]:
        """Yield the edits that a part can mean."""
        rest = text.removeprefix(verb).strip()
        left_out, amount = _LEFT_OUT.match(text), _AMOUNT.match(text)
        if left_out is not None:
            yield from self._argument("except", f'["{left_out["path"] or self.finding.path}"]')
        elif amount is not None:
            yield from self._amount(amount["verb"], amount["amount"])
        elif verb in ("remove", "keep one of"):
            yield from self._removed(rest)
        elif verb == "did you mean":
            code, _ = code_in(rest)
            yield from self._renamed(code)
        elif verb == "set":
            yield from self._param(rest)
        elif verb == "use":
            yield from self._value(code_in(rest.partition("such as ")[2])[0])
        elif verb == "make" and rest.endswith("the first line"):
            yield (Replacement(Span(1, 1, 1, 1), f"{code_in(rest)[0]}\n\n"),)
        elif verb == "put the":
            yield from self._moved(rest)
        elif verb == "add" and not re.match(r"`?[\w ]+ = ", rest) and "except =" not in rest:
            yield from self._inserted(rest)
        elif verb:
            yield from self._written(rest)

    def _written(self, rest: str) -> Iterator[Reading]:
        sized, placed = _SIZE.match(rest), _PLACE.match(rest)
        if placed is not None:
            yield from self._fixed(re.findall(r"`(\w+)`", placed["names"]), placed["size"].strip("`"))
            return
        if sized is not None:
            code, _ = code_in(sized["code"])
            names = re.findall(r"`(\w+)`", rest)[:1]
            yield from self._sizes(code) if "=" in code else self._fixed(names, code)
            return
        scaled = _SCALED.match(rest)
        if scaled is not None:
            free = [v for call in self._inputs() for v in values(call) if isinstance(v, tree.Reference)]
            sizes = {name: size for size, name in re.findall(r"`(\d+ \* (\w+))`", scaled["sizes"])}
            yield tuple(Replacement(one.span, sizes[one.name]) for one in free if one.name in sizes)
            return
        code, tail = code_in(rest)
        quoted = rest.startswith("`") or bool(_FORMAL.match(code)) or tail.startswith(" to the left")
        if not code or not quoted or _HOLE.search(code):
            return
        also = re.match(r" and take at most (\d+)", tail)
        for reading in self._code(code, tail):
            more = next(self._amount("take", also[1]), ()) if also else ()
            yield (*reading, *more)

    def _code(self, code: str, tail: str) -> Iterator[Reading]:
        """Yield what a piece of the language can be written for, by its form."""
        pair = _PAIR.fullmatch(code)
        if tail.startswith(" to the left of the arrow"):
            yield from self._arrow(code)
        elif pair is not None and pair["name"][0].isupper():
            yield from self._sizes(code)
        elif pair is not None:
            named = re.match(r" (?:in|to|of) (?:the )?`?(?P<block>\w+)`?", tail)
            yield from self._attribute(pair["name"], pair["value"], named["block"] if named else "")
        elif _RELATION.search(bare(code)) or code.partition(" ")[0] in tree.VERBS:
            yield from self._claim(code)
        elif code.startswith('"') and code.endswith('"'):
            yield from self._string(code)
        else:
            yield from self._value(code)

    # ---- attributes and arguments --------------------------------------------------------------------------------

    def _attribute(self, name: str, value: str, named: str) -> Iterator[Reading]:
        own = self.block.name.text if self.block is not None else ""
        near = [*self.rewriter.blocks(named), *([self.block] if self.block else []), *self.rewriter.blocks(own)]
        meant = [block for block in near if block.kind.text in BLOCKS and name in attributes(block.kind.text)]
        elsewhere = [block for block in self.rewriter.file.blocks if attribute_of(block, name) is not None]
        meant = meant or (elsewhere if len(elsewhere) == 1 else [])
        for block in meant:
            found = self.rewriter.attribute(block, name, value)
            if found is not None:
                yield (found,)
        if not meant:
            yield from self._argument(name, value)

    def _argument(self, name: str, value: str) -> Iterator[Reading]:
        for word in self._words():
            if isinstance(word, tree.Call):
                yield (self.rewriter.argument(word, name, value),)
            elif isinstance(word, tree.Reference):
                yield (self.rewriter.called(word, name, value),)

    def _words(self) -> Iterator[tree.Value]:
        """Yield the calls and bare words of the finding's place, then those of the sites of its step."""
        near = self.rewriter.values_at(self.span)
        functions = {value.function.span for value in near if isinstance(value, tree.Call)}
        for value in near:
            if isinstance(value, tree.Call) or (isinstance(value, tree.Reference) and value.span not in functions):
                yield value
        for block in self.rewriter.blocks(self.block.name.text) if self.block is not None else []:
            for name in ("in", "at", "after", "before", "around"):
                sites = attribute_of(block, name)
                if sites is not None:
                    yield from (value for value in values(sites.value) if isinstance(value, tree.Call))

    def _param(self, rest: str) -> Iterator[Reading]:
        found = re.match(r"`(?P<name>\w+)` to (?P<value>\S+)", rest)
        for block in self.rewriter.blocks(found["name"]) if found else []:
            edit = self.rewriter.attribute(block, "default", found["value"]) if found else None
            if edit is not None and block.kind.text == "param":
                yield (edit,)

    # ---- values --------------------------------------------------------------------------------------------------

    def _value(self, code: str) -> Iterator[Reading]:
        word = code.partition("(")[0]
        near = self.rewriter.values_at(self.span)
        if self.block is not None and word.isidentifier():
            for statement in statements(self.block):
                if isinstance(statement, tree.Attribute):
                    near += values(statement.value)
        for value in near:
            if isinstance(value, tree.Call) and _name_of(value.function) == word:
                yield (self._like(value, code),)
        kinds = [kind for kind in _SET_BY if "(" in code and catalogue.exists(kind, word)]
        for block in self.rewriter.blocks(self.block.name.text) if self.block is not None and kinds else []:
            there = attribute_of(block, _SET_BY[kinds[0]])
            if there is not None:
                yield (Replacement(there.value.span, code),)
        unread = self.finding.code.id < "SD1" and not self.rewriter.values_at(self.span)
        exact = unread or any(value.span == self.span for value in near)
        if (
            code
            and exact
            and not kinds
            and (not code.isidentifier() or self.rewriter.lines.at(self.span).isidentifier())
        ):
            yield (Replacement(self.span, code),)

    def _like(self, call: tree.Call, code: str) -> Replacement:
        """Give a call the arguments that a help shows, and leave those that it does not name."""
        given = [one for one in call.arguments if one.name is None]
        if len(given) < len(call.arguments) and given and " = " not in code:
            return Replacement(given[0].span.to(given[-1].span), code.partition("(")[2].removesuffix(")"))
        return Replacement(call.span, code)

    def _string(self, code: str) -> Iterator[Reading]:
        strings = [value for value in self.rewriter.values_at(self.span) if isinstance(value, tree.String)]
        wanted = str(self.finding.facts.get("pattern", code[1:-1]))
        for value in sorted(strings, key=lambda one: -_alike(one.text, wanted)):
            if value.text != wanted and wanted in value.text and wanted != code[1:-1]:  # one of several alternatives
                yield (Replacement(value.span, value.raw.replace(wanted, code[1:-1])),)
            yield (Replacement(value.span, code),)
        if not strings:
            yield (Replacement(self.span, code),)

    def _renamed(self, name: str) -> Iterator[Reading]:
        there = self.rewriter.lines.at(self.span)
        words = [match for match in re.finditer(r"[\w.]+", there) if match[0] != name]
        for word in sorted(words, key=lambda match: -_alike(match[0], name))[:2]:
            if "\n" not in there[: word.end()]:
                line, column = self.span.line, self.span.column
                yield (Replacement(Span(line, column + word.start(), line, column + word.end()), name),)

    def _arrow(self, code: str) -> Iterator[Reading]:
        for value in self.rewriter.values_at(self.span):
            if isinstance(value, tree.Arrow):
                yield (Replacement(value.before.span, code),)

    def _amount(self, verb: str, amount: str) -> Iterator[Reading]:
        """Yield another amount of what the step takes; of an arrow, another number that stays."""
        for block in self.rewriter.blocks(self.block.name.text) if self.block is not None else []:
            take = attribute_of(block, "take")
            if take is None or not isinstance(take.value, tree.Call) or not take.value.arguments:
                continue
            given = take.value.arguments[0].value
            if isinstance(given, tree.Arrow):
                before = self.rewriter.lines.at(given.before.span)
                if before.isdigit() and amount.isdigit():
                    kept = int(amount) if verb == "keep" else int(before) - int(amount)
                    yield (Replacement(given.after.span, str(kept)),)
            elif isinstance(given, tree.Number | tree.Reference) and verb == "take":
                yield (Replacement(given.span, amount),)

    # ---- statements ----------------------------------------------------------------------------------------------

    def _claim(self, code: str) -> Iterator[Reading]:
        statement = self.rewriter.statement_at(self.span)
        if isinstance(statement, tree.Obligation):
            verb = "" if code.partition(" ")[0] in tree.VERBS else f"{statement.verb.text} "
            yield (Replacement(statement.span, f"{verb}{code}"),)

    def _removed(self, rest: str) -> Iterator[Reading]:
        named = re.match(r"`(?P<name>\w+)` from `\w+ (?P<block>\w+)`", rest)
        if named is not None:
            for block in self.rewriter.blocks(named["block"]):
                found = attribute_of(block, named["name"])
                if found is not None:
                    yield (self.rewriter.without(found),)
        elif rest.startswith(("it", "one of", "the two", "the line")):
            statement = self.rewriter.statement_at(self.span)
            if statement is not None and (statement.span.line, statement.span.column) == (
                self.span.line,
                self.span.column,
            ):
                yield (self.rewriter.without(statement),)
            elif not rest.startswith("the"):
                yield (Replacement(self.span, ""),)

    def _inserted(self, rest: str) -> Iterator[Reading]:
        """Put a bracket or a quotation mark where it seems to be missing."""
        code, tail = code_in(rest[rest.find("`") :] if "`" in rest else "")
        before = re.match(r" before line (\d+)", tail)
        if before is not None:
            line = int(before[1])
            yield (Replacement(Span(line, 1, line, 1), f"{code}\n"),)
        elif code and not code.isalnum():
            end = len(self.rewriter.lines.line(self.span.line).partition("#")[0].rstrip()) + 1
            for line, column in (
                (self.span.line, self.span.column),
                (self.span.end_line, self.span.end_column),
                (self.span.line, end),
            ):
                yield (Replacement(Span(line, column, line, column), code),)

    def _moved(self, rest: str) -> Iterator[Reading]:
        """Put a block behind another: ``put the `identify small` block after `weak```."""
        named = re.match(r"`(?P<kind>\w+) (?P<name>\w+)` block after `(?P<other>\w+)`", rest)
        blocks = self.rewriter.blocks(named["name"]) if named else []
        moved = next((block for block in blocks if named and block.kind.text == named["kind"]), None)
        others = self.rewriter.blocks(named["other"]) if named else []
        if moved is not None and others:
            away = Span(moved.span.line, 1, moved.span.end_line + 1, 1)
            line, column = others[-1].span.end_line, others[-1].span.end_column
            text = self.rewriter.lines.at(moved.span)
            yield (Replacement(away, ""), Replacement(Span(line, column, line, column), f"\n\n{text}"))

    # ---- sizes of the input --------------------------------------------------------------------------------------

    def _inputs(self) -> Iterator[tree.Call]:
        for block in [self.block] if self.block and self.block.kind.text == "model" else self.rewriter.file.blocks:
            found = attribute_of(block, "input") if block.kind.text == "model" else None
            if found is not None:
                yield from (value for value in values(found.value) if isinstance(value, tree.Call))

    def _sizes(self, code: str) -> Iterator[Reading]:
        """Give free sizes ranges: ``H = 8..64, W = 8..64``."""
        for call in self._inputs():
            for name, value in re.findall(r"(\w+) = ([^,]+)", code):
                if any(isinstance(one, tree.Reference) and one.name == name for one in values(call)):
                    yield (self.rewriter.argument(call, name, value),)

    def _fixed(self, names: list[str], size: str) -> Iterator[Reading]:
        """Write a number, or another free size, in the place of free sizes, and take their ranges away."""
        found: list[Replacement] = []
        for call in self._inputs():
            for before, one in zip(call.arguments, call.arguments[1:], strict=False):
                if one.name is not None and one.name.text in names:
                    start, end = before.span, one.span
                    found.append(Replacement(Span(start.end_line, start.end_column, end.end_line, end.end_column), ""))
            free = [one for one in values(call) if isinstance(one, tree.Reference) and one.name in names]
            found += [Replacement(one.span, size) for one in free]
        if found and (size.isdigit() or size.isidentifier()):
            yield tuple(found)


def _name_of(function: tree.Value) -> str:
    return function.name if isinstance(function, tree.Reference) else ""


def _alike(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one, other).ratio()
