"""Words and their arguments: which word a name means in a slot, and that it is called as it may be."""

import difflib
from typing import Any

from pydantic import ValidationError

from surgery_dsl.diagnostics.codes import names as codes
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.convert import convert
from surgery_dsl.language.expectation import fields
from surgery_dsl.language.numbers import fold
from surgery_dsl.language.points import MISSING
from surgery_dsl.language.scope import Scope, describe, did_you_mean, ungroup
from surgery_dsl.language.titles import either, title
from surgery_dsl.vocabulary import catalogue
from surgery_dsl.vocabulary.values import Plain, Range
from surgery_dsl.vocabulary.word import Word


def word(value: tree.Reference | tree.Call, kinds: tuple[str, ...], scope: Scope, what: str) -> Any:
    """Return the word that a name or a call means in a slot, with its arguments."""
    function = value.function if isinstance(value, tree.Call) else value
    if not isinstance(function, tree.Reference):
        message = f"`{what}` takes {either([title(kind) for kind in kinds])}, not {describe(value)}"
        scope.say(codes.WRONG_VALUE, message, value.span, help_text="words are written `name(…)`, without a dot")
        return MISSING
    kind = next((kind for kind in kinds if catalogue.exists(kind, function.name)), None)
    if kind is None:
        unknown_word(function, kinds, scope, what)
        return MISSING
    return _Arguments(catalogue.find(kind, function.name), value, scope).build()


def unknown_word(function: tree.Reference, kinds: tuple[str, ...], scope: Scope, what: str) -> None:
    """Report a word that this slot does not have, with what there is; the same name once for each slot."""
    if (function.name, *kinds) in scope.unknown:
        return
    scope.unknown.add((function.name, *kinds))
    available = [name for kind in kinds for name in catalogue.names(kind)]
    wanted = either([title(kind) for kind in kinds])
    notes = []
    if others := catalogue.elsewhere(function.name):
        notes.append(f"`{function.name}` is {either([title(kind) for kind in others])}; `{what}` takes {wanted}")
    elif function.name in scope.blocks:
        notes.append(f"`{function.name}` is a `{scope.blocks[function.name][0]}` block")
    if available:
        help_text = did_you_mean(function.name, available)
        if help_text.startswith("did"):
            notes.append(f"available here: {', '.join(available)}")
    else:
        notes.append(f"this release has no words for `{what}`")
        help_text = f"leave `{what}` out, or use a release that has `{function.name}`"
    message = f"`{what}` has no word `{function.name}`"
    facts = {"word": function.name, "available": ", ".join(available)}
    scope.say(codes.UNKNOWN_WORD, message, function.span, help_text=help_text, notes=tuple(notes), facts=dict(facts))


class _Arguments:
    """Binds the arguments of one call to the fields of a word; every wrong argument is reported."""

    def __init__(self, cls: type[Word], value: tree.Reference | tree.Call, scope: Scope) -> None:
        self.cls = cls
        self.value = value
        self.scope = scope
        self.further = next((name[2:] for name in cls.positional if name.startswith("**")), "")
        self.rest = next((name[1:] for name in cls.positional if name.startswith("*") and name[1:2] != "*"), "")
        self.known = {written: found for written, found in fields(cls).items() if found[0] != self.further}
        self.positional = [name for name in cls.positional if not name.startswith("*")]
        self.given: dict[str, Any] = {}
        self.spans: dict[str, Span] = {}
        self.misspelt: set[str] = set()
        self.failed = False

    def build(self) -> Any:
        """Return the word, or ``MISSING``."""
        for argument in self.value.arguments if isinstance(self.value, tree.Call) else ():
            written = self._name(argument)
            if written is None:
                self.failed = True
            elif written in self.known:
                self._set(argument, written)
            elif self.further:
                self._set_further(argument, written)
            else:
                self._unknown(argument, written)
        self._missing()
        if self.failed:
            return MISSING
        try:
            return self.cls.model_validate(self.given | {"span": self.value.span})
        except ValidationError as error:
            self._refused(error)
            return MISSING

    def _name(self, argument: tree.Argument) -> str | None:
        """Return the name of an argument, also where it is given by its place."""
        if argument.name is not None:
            return argument.name.text
        field = self.positional.pop(0) if self.positional else self.rest
        if field:
            return next(written for written, (name, _) in self.known.items() if name == field)
        most = sum(not name.startswith("*") for name in self.cls.positional)
        count = {0: "no arguments", 1: "one argument"}.get(most, f"{most} arguments")
        message = f"`{self.cls.name}` takes {count} without a name"
        named = [written for written, (name, _) in self.known.items() if name not in self.spans]
        help_text = f"name it: {did_you_mean('', named)}" if named else "remove it"
        self.scope.say(codes.UNKNOWN_ARGUMENT, message, argument.span, help_text=help_text)
        return None

    def _set(self, argument: tree.Argument, written: str) -> None:
        field, expected = self.known[written]
        what = f"{written} of {self.cls.name}"
        many = field == self.rest and argument.name is None and expected.item is not None
        result = convert(argument.value, expected.item if many and expected.item else expected, self.scope, what)
        self.failed |= result is MISSING
        if field in self.spans and not many:
            self._twice(argument, written)
        else:
            self.given[field] = (*self.given.get(field, ()), result) if many else result
            self.spans.setdefault(field, argument.value.span)

    def _set_further(self, argument: tree.Argument, written: str) -> None:
        """Collect what the word hands on by name (``python("module:function", width = 8)``)."""
        collected = self.given.setdefault(self.further, {})
        what, item = f"{written} of {self.cls.name}", fields(self.cls)[self.further][1].item
        typed = item is not None and Range in item.types
        result = (
            convert(argument.value, item, self.scope, what)
            if item and typed
            else _plain(argument.value, self.scope, what)
        )
        self.failed |= result is MISSING
        if written in collected:
            self._twice(argument, written)
        collected[written] = result

    def _twice(self, argument: tree.Argument, written: str) -> None:
        message = f"`{written}` of `{self.cls.name}` is given twice"
        self.scope.say(codes.DUPLICATE_ATTRIBUTE, message, argument.span, help_text="keep one of the two")
        self.failed = True

    def _unknown(self, argument: tree.Argument, written: str) -> None:
        self.failed = True
        span = argument.name.span if argument.name is not None else argument.span
        message = f"`{self.cls.name}` has no argument `{written}`"
        close = difflib.get_close_matches(written, self.known, n=1, cutoff=0.6)
        self.misspelt.update(close)
        help_text = did_you_mean(written, self.known) or f"`{self.cls.name}` takes no arguments"
        self.scope.say(codes.UNKNOWN_ARGUMENT, message, span, help_text=help_text)

    def _missing(self) -> None:
        for written, (field, expected) in self.known.items():
            if expected.required and field not in self.spans and written not in self.misspelt:
                message = f"`{self.cls.name}` needs `{written}`: {expected.says()}"
                help_text = f"for example `{self.cls.card.example}`"
                self.scope.say(codes.MISSING_ARGUMENT, message, self.value.span, help_text=help_text)
                self.failed = True

    def _refused(self, error: ValidationError) -> None:
        """Report what the word's own bounds refuse, once for each argument."""
        by_name = {written: field for written, (field, _) in self.known.items()}
        told: set[str] = set()
        for problem in sorted(error.errors(), key=lambda found: found["type"] == "literal_error"):
            place = str(problem["loc"][0]) if problem["loc"] else ""
            field = by_name.get(place, place)
            if field in told:
                continue
            told.add(field)
            written = next((written for written, name in by_name.items() if name == field), field)
            subject = f"`{written}` of `{self.cls.name}`" if written else f"`{self.cls.name}`"
            span = self.spans.get(field, self.value.span)
            given = problem.get("input")
            message = f"{subject} {_bound(problem['type'], problem['msg'], problem.get('ctx', {}), given)}"
            facts = {"given": given} if isinstance(given, int | float | str) else {}
            help_text = f"for example `{self.cls.card.example}`"
            self.scope.say(codes.ARGUMENT_OUT_OF_RANGE, message, span, help_text=help_text, facts=dict(facts))


_BOUNDS = {
    "greater_than": ("gt", "must be more than"),
    "greater_than_equal": ("ge", "must be at least"),
    "less_than": ("lt", "must be less than"),
    "less_than_equal": ("le", "must be at most"),
}


def _bound(kind: str, message: str, context: dict[str, Any], given: Any) -> str:
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        number = isinstance(given, int | float) and not isinstance(given, bool)
        return f"is {given:g}; it {words} {context[key]}" if number else f"{words} {context[key]}"
    text = message.removeprefix("Value error, ")
    return f"does not fit: {text[:1].lower()}{text[1:]}"


def _plain(value: tree.Value, scope: Scope, what: str) -> Any:
    """Return a number, a text, a truth value or a list of these: what code that the plan names may be handed."""
    value = ungroup(value)
    if isinstance(value, tree.Unreadable):
        return MISSING
    if isinstance(value, tree.ListValue):
        items = [_plain(item, scope, what) for item in value.items]
        return MISSING if any(item is MISSING for item in items) else items
    if isinstance(value, tree.String):
        return value.text
    if isinstance(value, tree.Boolean):
        return value.value
    if isinstance(value, tree.Reference) and isinstance(text := scope.params.get(value.name), str):
        return text
    found = fold(value, scope.params)
    if isinstance(found, Plain):
        return int(found.value) if found.value.denominator == 1 else float(found.value)
    takes = "a number, a string, true, false or a list of these"
    message = f"`{what}` takes {takes}, not {describe(value)}"
    scope.say(codes.WRONG_VALUE, message, value.span, help_text=f"write {takes}")
    return MISSING


__all__ = ["unknown_word", "word"]
