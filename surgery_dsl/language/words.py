"""From a written value to a typed one, directed by the slot: literals, names of blocks, words with arguments."""

from fractions import Fraction
from typing import Any

from pydantic import ValidationError

from surgery_dsl.diagnostics.codes import names as codes
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.expectation import Expectation, fields
from surgery_dsl.language.numbers import Amount, fold
from surgery_dsl.language.points import MISSING, point_of
from surgery_dsl.language.scope import RESERVED, Scope, describe, did_you_mean, ungroup
from surgery_dsl.vocabulary import catalogue
from surgery_dsl.vocabulary.values import NumberArrow, Percent, PercentArrow, Plain, Point, Points, Range
from surgery_dsl.vocabulary.word import Word


def convert(value: tree.Value, expected: Expectation, scope: Scope, what: str) -> Any:
    """Return the typed value, or :data:`MISSING` after reporting why there is none.

    ``what`` names the place for messages: ``rank of svd``, ``take``.
    """
    value = _choose(ungroup(value), scope)
    if isinstance(value, tree.Unreadable):
        return MISSING
    if isinstance(value, tree.ListValue):
        return _list(value, expected, scope, what)
    if expected.item is not None and not expected.types and not expected.kinds:
        single = convert(value, expected.item, scope, what)
        return single if single is MISSING else (single,)
    if isinstance(value, tree.Reference | tree.Call):
        return _named(value, expected, scope, what)
    result = _literal(value, expected, scope, what)
    if result is None:
        _wrong(value, expected, scope, what)
        return MISSING
    return result


def _wrong(value: tree.Value, expected: Expectation, scope: Scope, what: str) -> None:
    message = f"`{what}` takes {expected.says()}, not {describe(value)}"
    says = expected.says()
    scope.say(codes.WRONG_VALUE, message, value.span, label=f"expected {says}", help_text=f"write {says}")


def _choose(value: tree.Value, scope: Scope) -> tree.Value:
    """Put in what ``pick(param, choice = value, …)`` picks."""
    if not (isinstance(value, tree.Call) and isinstance(value.function, tree.Reference)):
        return value
    if value.function.name != "pick":
        return value
    first, rest = value.arguments[:1], value.arguments[1:]
    name = first[0].value if first and first[0].name is None else None
    if not isinstance(name, tree.Reference) or not isinstance(scope.params.get(name.name), str):
        help_text = did_you_mean("", [n for n, v in scope.params.items() if isinstance(v, str)])
        scope.say(codes.UNKNOWN_REFERENCE, "`pick` takes a param of words first", value.span, help_text=help_text)
        return tree.Unreadable(value.span)
    wanted = str(scope.params[name.name])
    branches = {argument.name.text: argument.value for argument in rest if argument.name is not None}
    if wanted not in branches:
        message = f"`pick` has no branch for {name.name} = `{wanted}`"
        scope.say(codes.MISSING_ARGUMENT, message, value.span, help_text=f"add `{wanted} = …`")
        return tree.Unreadable(value.span)
    return branches[wanted]


def _list(value: tree.ListValue, expected: Expectation, scope: Scope, what: str) -> Any:
    if expected.item is None:
        _wrong(value, expected, scope, what)
        return MISSING
    items = [convert(item, expected.item, scope, what) for item in value.items]
    return MISSING if any(item is MISSING for item in items) else tuple(items)


def _literal(value: tree.Value, expected: Expectation, scope: Scope, what: str) -> Any:
    """Return the value of what is no name and no call; ``None`` where it does not fit."""
    names = {t.__name__ for t in expected.types}
    match value:
        case tree.Boolean(value=truth) if "bool" in names:
            return truth
        case tree.String(text=text):
            if text in expected.literals or "str" in names:
                return text
        case tree.Range():
            return _range(value, names)
        case tree.Arrow():
            return _arrow(value, names)
        case _:
            found = fold(value)
            if found is not None:
                return _amount(found, value, names, expected, scope, what)
    return None


def _range(value: tree.Range, names: set[str]) -> Any:
    low, high = fold(value.low), fold(value.high)
    if "Range" in names and isinstance(low, Plain) and isinstance(high, Plain):
        return Range(first=low.value, last=high.value)
    return None


def _arrow(value: tree.Arrow, names: set[str]) -> Any:
    left, right = fold(value.before), fold(value.after)
    if "NumberArrow" in names and isinstance(left, Plain) and isinstance(right, Plain):
        return NumberArrow(left=left.value, right=right.value)
    if "PercentArrow" in names and isinstance(left, Percent) and isinstance(right, Percent):
        return PercentArrow(left=left, right=right)
    return None


def _amount(found: Amount, value: tree.Value, names: set[str], expected: Expectation, scope: Scope, what: str) -> Any:
    number = found.value
    if isinstance(found, Plain):
        if "int" in names and number.denominator == 1:
            return int(number)
        if "float" in names or ("schedules" in expected.kinds or "rates" in expected.kinds):
            return float(number)
        if "Fraction" in names:
            return Fraction(number)
        if "Plain" in names:
            return found
        if "int" in names:
            scope.say(codes.WRONG_VALUE, f"`{what}` takes a whole number, not {describe(value)}", value.span)
            return MISSING
    elif type(found).__name__ in names:
        return found
    if isinstance(found, Percent | Points) or "Percent" in names:
        hint = f"write `{float(number):g}%`" if isinstance(found, Plain) else f"`{what}` takes {expected.says()}"
        message = f"`{what}` takes {expected.says()}, not {describe(value)}"
        scope.say(codes.WRONG_UNIT, message, value.span, help_text=hint)
        return MISSING
    return None


# ---- names and calls ---------------------------------------------------------------------------------------------


def _named(value: tree.Reference | tree.Call, expected: Expectation, scope: Scope, what: str) -> Any:
    function = value.function if isinstance(value, tree.Call) else value
    if not isinstance(function, tree.Reference):
        _wrong(value, expected, scope, what)
        return MISSING
    name = function.name
    if Point in expected.types:
        return point_of(value, scope)
    if isinstance(value, tree.Reference):
        if name in scope.params:
            return _param(value, expected, scope, what)
        if name in expected.literals:
            return name
        if expected.blocks and not any(catalogue.exists(kind, name) for kind in expected.kinds):
            return block_name(value, expected.blocks, scope, what, expected.kinds)
    if expected.item is not None and not expected.kinds:
        single = convert(value, expected.item, scope, what)
        return single if single is MISSING else (single,)
    if not expected.kinds:
        _unexpected_name(value, expected, scope, what)
        return MISSING
    return word(value, expected.kinds, scope, what)


def _unexpected_name(value: tree.Reference | tree.Call, expected: Expectation, scope: Scope, what: str) -> None:
    if isinstance(value, tree.Reference) and (expected.literals or scope.params):
        help_text = did_you_mean(value.name, expected.literals or tuple(scope.params))
        message = f"`{what}` takes {expected.says()}, not {describe(value)}"
        scope.say(codes.WRONG_VALUE, message, value.span, help_text=help_text)
    else:
        _wrong(value, expected, scope, what)


def _param(value: tree.Reference, expected: Expectation, scope: Scope, what: str) -> Any:
    """Put in the value of a param."""
    found = scope.params[value.name]
    if isinstance(found, str):
        if found in expected.literals or str in expected.types:
            return found
        return word(tree.Reference(found, value.span), expected.kinds, scope, what)
    names = {t.__name__ for t in expected.types}
    result = _amount(found, value, names, expected, scope, what)
    if result is None:
        _wrong(value, expected, scope, what)
        return MISSING
    return result


def block_name(
    value: tree.Reference, blocks: tuple[str, ...], scope: Scope, what: str, kinds: tuple[str, ...] = ()
) -> Any:
    """Return the name of a block of one of some kinds that stands above."""
    kind, span = scope.blocks.get(value.name, ("", value.span))
    says = " or ".join(f"`{block}`" for block in blocks)
    if kind in blocks and (value.name in scope.passed or kind in ("data", "model", "env", "param")):
        return value.name
    if value.name in RESERVED and "model" in blocks:
        return value.name
    if kind in blocks:
        message = f"`{value.name}` comes later, at line {span.line}"
        scope.say(codes.UNKNOWN_REFERENCE, message, value.span, help_text="move its block above this one")
    elif kind:
        message = f"`{what}` names a {says} block; `{value.name}` is a `{kind}` block"
        known = scope.names_of(blocks)
        scope.say(codes.UNKNOWN_REFERENCE, message, value.span, help_text=did_you_mean(value.name, known))
    else:
        message = f"there is no {says} block `{value.name}`"
        known = [*scope.names_of(blocks), *(name for k in kinds for name in catalogue.names(k))]
        scope.say(codes.UNKNOWN_REFERENCE, message, value.span, help_text=did_you_mean(value.name, known))
    return MISSING


def word(value: tree.Reference | tree.Call, kinds: tuple[str, ...], scope: Scope, what: str) -> Any:
    """Return the word that a name or a call means in a slot, with its arguments."""
    function = value.function if isinstance(value, tree.Call) else value
    if not isinstance(function, tree.Reference):
        scope.say(codes.WRONG_VALUE, f"`{what}` takes a word, not {describe(value)}", value.span)
        return MISSING
    kind = next((kind for kind in kinds if catalogue.exists(kind, function.name)), None)
    if kind is None:
        unknown_word(function, kinds, scope, what)
        return MISSING
    return build(catalogue.find(kind, function.name), value, scope)


def unknown_word(function: tree.Reference, kinds: tuple[str, ...], scope: Scope, what: str) -> None:
    """Report a word that this slot does not have, with what there is."""
    available = [name for kind in kinds for name in catalogue.names(kind)]
    message = f"`{what}` has no word `{function.name}`"
    help_text = did_you_mean(function.name, available)
    notes = []
    others = catalogue.elsewhere(function.name)
    if others:
        notes.append(f"`{function.name}` is a word of {', '.join(others)}")
    if available:
        notes.append(f"available here: {', '.join(available)}")
    else:
        notes.append(f"this release has no words of {', '.join(kinds)}")
    scope.say(codes.UNKNOWN_WORD, message, function.span, help_text=help_text, notes=tuple(notes))


def build(cls: type[Word], value: tree.Reference | tree.Call, scope: Scope) -> Any:
    """Make a word from its call; every wrong argument is reported."""
    arguments = value.arguments if isinstance(value, tree.Call) else ()
    further = next((name[2:] for name in cls.positional if name.startswith("**")), "")
    known = {written: found for written, found in fields(cls).items() if found[0] != further}
    by_field = {field: written for written, (field, _) in known.items()}
    given: dict[str, Any] = {}
    spans = {}
    failed = False
    positional = [name for name in cls.positional if not name.startswith("**")]
    for argument in arguments:
        written = _argument_name(argument, positional, by_field, cls, scope)
        if written is None:
            failed = True
            continue
        if written not in known and further:
            result = _plain(argument.value, scope, f"{written} of {cls.name}")
            collected = given.setdefault(further, {})
            failed |= result is MISSING or not _once(argument, written, collected, cls, scope)
            collected[written] = result
            continue
        if written not in known:
            _unknown_argument(argument, written, list(known), cls, scope)
            failed = True
            continue
        field, expected = known[written]
        result = convert(argument.value, expected, scope, f"{written} of {cls.name}")
        failed |= result is MISSING
        if field in given and cls.positional[-1:] == (f"*{field}",):
            given[field] += (result,)
        elif field in given:
            scope.say(codes.DUPLICATE_ATTRIBUTE, f"`{written}` of `{cls.name}` is given twice", argument.span)
            failed = True
        else:
            given[field] = (result,) if cls.positional[-1:] == (f"*{field}",) and argument.name is None else result
            spans[field] = argument.value.span
    for written, (field, expected) in known.items():
        if expected.required and field not in given:
            message = f"`{cls.name}` needs `{written}`: {expected.says()}"
            scope.say(codes.MISSING_ARGUMENT, message, value.span, help_text=f"for example `{cls.card.example}`")
            failed = True
    if failed:
        return MISSING
    try:
        return cls.model_validate(given | {"span": value.span})
    except ValidationError as error:
        _out_of_range(error, cls, value, spans, by_field, scope)
        return MISSING


def _once(argument: tree.Argument, written: str, given: dict[str, Any], cls: type[Word], scope: Scope) -> bool:
    if written in given:
        scope.say(codes.DUPLICATE_ATTRIBUTE, f"`{written}` of `{cls.name}` is given twice", argument.span)
    return written not in given


def _plain(value: tree.Value, scope: Scope, what: str) -> Any:
    """Return a number, a text, a truth value or a list of these: what code that the plan names may be handed."""
    value = ungroup(value)
    if isinstance(value, tree.ListValue):
        items = [_plain(item, scope, what) for item in value.items]
        return MISSING if any(item is MISSING for item in items) else items
    if isinstance(value, tree.String):
        return value.text
    if isinstance(value, tree.Boolean):
        return value.value
    found = scope.params.get(value.name) if isinstance(value, tree.Reference) else fold(value)
    if isinstance(found, str):
        return found
    if isinstance(found, Plain):
        return int(found.value) if found.value.denominator == 1 else float(found.value)
    message = f"`{what}` takes a number, a string, true, false or a list of these, not {describe(value)}"
    scope.say(codes.WRONG_VALUE, message, value.span)
    return MISSING


def _argument_name(
    argument: tree.Argument, positional: list[str], by_field: dict[str, str], cls: type[Word], scope: Scope
) -> str | None:
    if argument.name is not None:
        return argument.name.text
    if positional:
        field = positional[0] if positional[0].startswith("*") else positional.pop(0)
        return by_field[field.lstrip("*")]
    most = sum(not name.startswith("*") for name in cls.positional)
    message = f"`{cls.name}` takes {most} argument{'s' * (most != 1)} without a name"
    scope.say(codes.UNKNOWN_ARGUMENT, message, argument.span, help_text=f"for example `{cls.card.example}`")
    return None


def _unknown_argument(argument: tree.Argument, written: str, known: list[str], cls: type[Word], scope: Scope) -> None:
    span = argument.name.span if argument.name is not None else argument.span
    message = f"`{cls.name}` has no argument `{written}`"
    help_text = did_you_mean(written, known) or f"`{cls.name}` takes no arguments"
    scope.say(codes.UNKNOWN_ARGUMENT, message, span, help_text=help_text)


def _out_of_range(
    error: ValidationError,
    cls: type[Word],
    value: tree.Value,
    spans: dict[str, Any],
    by_field: dict[str, str],
    scope: Scope,
) -> None:
    for problem in error.errors():
        place = str(problem["loc"][0]) if problem["loc"] else ""
        field = place if place in spans else next((f for f, w in by_field.items() if w == place), place)
        text = problem["msg"].removeprefix("Value error, ")
        written = by_field.get(field, field)
        subject = f"`{written}` of `{cls.name}`" if written else f"`{cls.name}`"
        message = f"{subject}: {text[:1].lower()}{text[1:]}"
        help_text = f"for example `{cls.card.example}`"
        scope.say(codes.ARGUMENT_OUT_OF_RANGE, message, spans.get(field, value.span), help_text=help_text)
