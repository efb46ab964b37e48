"""From a written value to a typed one, directed by what its slot expects: literals, names, words."""

from fractions import Fraction
from typing import Any

from surgery_dsl.diagnostics.codes import names as codes
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.expectation import Expectation
from surgery_dsl.language.numbers import Amount, fold
from surgery_dsl.language.points import MISSING, point_of
from surgery_dsl.language.references import block_name
from surgery_dsl.language.scope import Scope, describe, did_you_mean, ungroup
from surgery_dsl.vocabulary import catalogue
from surgery_dsl.vocabulary.values import NumberArrow, Percent, PercentArrow, Plain, Point, Points, Range, number_text


def convert(value: tree.Value, expected: Expectation, scope: Scope, what: str) -> Any:
    """Return the typed value, or ``MISSING`` after reporting why there is none.

    ``what`` names the place for messages: ``rank of svd``, ``take``.
    """
    value = ungroup(value)
    if isinstance(value, tree.Unreadable):
        return MISSING
    if isinstance(value, tree.Call) and isinstance(value.function, tree.Reference) and value.function.name == "pick":
        return _picked(value, expected, scope, what)
    if isinstance(value, tree.ListValue):
        return _list(value, expected, scope, what)
    if expected.item is not None and not expected.types and not expected.kinds:
        single = convert(value, expected.item, scope, what)
        return single if single is MISSING else (single,)
    if isinstance(value, tree.Reference | tree.Call):
        return _named(value, expected, scope, what)
    result = _literal(value, expected, scope, what)
    return wrong(value, expected, scope, what) if result is None else result


def wrong(value: tree.Value, expected: Expectation, scope: Scope, what: str, help_text: str = "") -> Any:
    """Report a value of the wrong kind."""
    says = expected.says()
    message = f"`{what}` takes {says}, not {describe(value)}"
    scope.say(codes.WRONG_VALUE, message, value.span, help_text=help_text or f"write {says}")
    return MISSING


def _picked(value: tree.Call, expected: Expectation, scope: Scope, what: str) -> Any:
    """``pick(param, choice = value, …)``: every branch must be right, the one that the param names is returned."""
    first, rest = value.arguments[:1], value.arguments[1:]
    name = ungroup(first[0].value) if first and first[0].name is None else None
    wanted = scope.params.get(name.name) if isinstance(name, tree.Reference) else None
    branches = {argument.name.text: argument.value for argument in rest if argument.name is not None}
    found = {choice: convert(branch, expected, scope, what) for choice, branch in branches.items()}
    if not isinstance(name, tree.Reference) or not isinstance(wanted, str) or len(branches) != len(rest):
        known = [param for param, held in scope.params.items() if isinstance(held, str)]
        help_text = "write `pick(PARAM, choice = word, …)`" + (f"; {did_you_mean('', known)}" if known else "")
        message = "`pick` takes a param of strings, then one word for each of its choices"
        scope.say(codes.UNKNOWN_REFERENCE, message, value.span, help_text=help_text)
        return MISSING
    missing = [choice for choice in scope.choices.get(name.name, (wanted,)) if choice not in branches]
    if missing:
        message = f"`pick` has no branch for {name.name} = `{missing[0]}`"
        scope.say(codes.MISSING_ARGUMENT, message, value.span, help_text=f"add `{missing[0]} = …`")
        return MISSING
    return MISSING if any(result is MISSING for result in found.values()) else found[wanted]


def _list(value: tree.ListValue, expected: Expectation, scope: Scope, what: str) -> Any:
    if expected.item is None:
        return wrong(value, expected, scope, what)
    items = [convert(item, expected.item, scope, what) for item in value.items]
    return MISSING if any(item is MISSING for item in items) else tuple(items)


def _literal(value: tree.Value, expected: Expectation, scope: Scope, what: str) -> Any:
    """Return the value of what is no name and no call; ``None`` where it does not fit."""
    names = {t.__name__ for t in expected.types}
    match value:
        case tree.Boolean(value=truth) if "bool" in names:
            return truth
        case tree.String(text=text):
            return _string(value, text, expected, names, scope, what)
        case tree.Range():
            return _range(value, names, scope, what)
        case tree.Arrow():
            return _arrow(value, names, scope, what)
        case _:
            found = fold(value, scope.params)
            if found is not None:
                return _amount(found, value, names, expected, scope, what)
    return None


def _string(value: tree.String, text: str, expected: Expectation, names: set[str], scope: Scope, what: str) -> Any:
    if text in expected.literals or "str" in names:
        return text
    if expected.literals:
        return wrong(value, expected, scope, what, did_you_mean(text, expected.literals))
    if expected.kinds and any(catalogue.exists(kind, text) for kind in expected.kinds):
        return wrong(value, expected, scope, what, f"write `{text}` without quotes")
    return None


def _range(value: tree.Range, names: set[str], scope: Scope, what: str) -> Any:
    low, high = fold(value.low, scope.params), fold(value.high, scope.params)
    if "Range" not in names or not isinstance(low, Plain) or not isinstance(high, Plain):
        return None
    if low.value > high.value:
        first, last = number_text(low.value), number_text(high.value)
        message = f"the range {first}..{last} of `{what}` is empty: it runs downwards"
        scope.say(codes.ARGUMENT_OUT_OF_RANGE, message, value.span, help_text=f"write `{last}..{first}`")
        return MISSING
    return Range(first=low.value, last=high.value)


def _arrow(value: tree.Arrow, names: set[str], scope: Scope, what: str) -> Any:
    left, right = fold(value.before, scope.params), fold(value.after, scope.params)
    if "NumberArrow" in names and isinstance(left, Plain) and isinstance(right, Plain):
        return NumberArrow(left=left.value, right=right.value)
    if "PercentArrow" in names and isinstance(left, Percent) and isinstance(right, Percent):
        return PercentArrow(left=left, right=right)
    if left is not None and right is not None and {"NumberArrow", "PercentArrow"} & names:
        sides = "percentages" if "NumberArrow" not in names else "bare numbers"
        sides = "numbers, or percentages," if {"NumberArrow", "PercentArrow"} <= names else sides
        message = f"the arrow of `{what}` takes {sides} on both sides"
        scope.say(codes.WRONG_UNIT, message, value.span, help_text="give both sides the same unit")
        return MISSING
    return None


def _amount(found: Amount, value: tree.Value, names: set[str], expected: Expectation, scope: Scope, what: str) -> Any:
    number = found.value
    if isinstance(found, Plain):
        if "int" in names and number.denominator == 1:
            return int(number)
        if "float" in names or "schedules" in expected.kinds or "rates" in expected.kinds:
            return float(number)
        if "Fraction" in names:
            return Fraction(number)
        if "Plain" in names:
            return found
        if number_text(number) in expected.literals:
            return int(number) if number.denominator == 1 else float(number)
        if "int" in names and "Percent" not in names:
            near = max(1, round(number))
            return wrong(value, expected, scope, what, f"write a whole number, such as `{near}`")
    elif type(found).__name__ in names:
        return found
    takes_numbers = bool(names & {"int", "float", "Fraction", "Percent", "Bytes", "Seconds"})
    if not takes_numbers and not {"schedules", "rates"} & set(expected.kinds):
        return None
    message = f"`{what}` takes {expected.says()}, not {describe(value)}{_valued(value, found)}"
    scope.say(codes.WRONG_UNIT, message, value.span, help_text=_in_unit(found, names, expected))
    return MISSING


def _valued(value: tree.Value, found: Amount) -> str:
    """Say what a param or an expression comes to."""
    return "" if isinstance(value, tree.Number) else f", which is {number_text(found.value)}{_sign(found)}"


def _sign(found: Amount) -> str:
    return {"": "", "%": "%", "pp": "pp", "B": " bytes", "s": " seconds"}[found.unit]


def _in_unit(found: Amount, names: set[str], expected: Expectation) -> str:
    """Suggest the number in the unit that the slot takes."""
    number = found.value
    if "Percent" in names and isinstance(found, Points):
        return f"write `{number_text(number)}%`: `pp` is for differences of percentages"
    if "Percent" in names and isinstance(found, Plain):
        return f"write `{number_text(number * 100 if 0 < number <= 1 else number)}%`"
    if isinstance(found, Percent | Points) and (names & {"float", "Fraction"} or "rates" in expected.kinds):
        return f"write `{number_text(number / 100)}`"
    return f"write {expected.says()}"


# ---- names and calls ---------------------------------------------------------------------------------------------


def _named(value: tree.Reference | tree.Call, expected: Expectation, scope: Scope, what: str) -> Any:
    from surgery_dsl.language.words import word

    function = value.function if isinstance(value, tree.Call) else value
    if not isinstance(function, tree.Reference):
        return wrong(value, expected, scope, what)
    name = function.name
    if Point in expected.types:
        return point_of(value, scope)
    if isinstance(value, tree.Reference):
        if name in expected.literals:
            return name
        if name in scope.params:
            return _param(value, expected, scope, what)
        if expected.blocks and not any(catalogue.exists(kind, name) for kind in expected.kinds):
            return block_name(value, expected.blocks, scope, what, expected.kinds)
    if expected.item is not None and not expected.kinds:
        single = convert(value, expected.item, scope, what)
        return single if single is MISSING else (single,)
    if not expected.kinds:
        return _unexpected_name(value, expected, scope, what)
    return word(value, expected.kinds, scope, what)


def _unexpected_name(value: tree.Reference | tree.Call, expected: Expectation, scope: Scope, what: str) -> Any:
    if isinstance(value, tree.Call):
        return wrong(value, expected, scope, what)
    if expected.literals:
        return wrong(value, expected, scope, what, did_you_mean(value.name, expected.literals))
    if str in expected.types:
        return wrong(value, expected, scope, what, f'put it in quotes: `"{value.name}"`')
    known = list(scope.params)
    return wrong(value, expected, scope, what, did_you_mean(value.name, known) if known else "")


def _param(value: tree.Reference, expected: Expectation, scope: Scope, what: str) -> Any:
    """Put in the value of a param."""
    found = scope.params[value.name]
    if not isinstance(found, str):
        names = {t.__name__ for t in expected.types}
        result = _amount(found, value, names, expected, scope, what)
        return wrong(value, expected, scope, what) if result is None else result
    if found in expected.literals or str in expected.types:
        return found
    return _param_word(value, found, expected, scope, what)


def _param_word(value: tree.Reference, found: str, expected: Expectation, scope: Scope, what: str) -> Any:
    """Use a param of strings as a word without arguments: each of its choices must be one."""
    from surgery_dsl.language.words import word

    choices = scope.choices.get(value.name, (found,))
    if not expected.kinds or not any(catalogue.exists(kind, choice) for kind in expected.kinds for choice in choices):
        message = f'`{what}` takes {expected.says()}; the param `{value.name}` is "{found}"'
        help_text = f"write `pick({value.name}, {found} = …)`" if expected.kinds else f"write {expected.says()}"
        scope.say(codes.WRONG_VALUE, message, value.span, help_text=help_text)
        return MISSING
    words = {choice: word(tree.Reference(choice, value.span), expected.kinds, scope, what) for choice in choices}
    return MISSING if any(result is MISSING for result in words.values()) else words[found]
