"""Losses and penalties: weighted sums of words."""

from typing import Any

from surgery_dsl.diagnostics.codes import names as codes
from surgery_dsl.language import plan
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.convert import convert
from surgery_dsl.language.expectation import expectation, fields
from surgery_dsl.language.numbers import fold
from surgery_dsl.language.points import MISSING
from surgery_dsl.language.scope import Scope, describe, ungroup
from surgery_dsl.language.words import word
from surgery_dsl.vocabulary import catalogue
from surgery_dsl.vocabulary.values import Percent, Plain

_KINDS = ("losses", "penalties")
_EXAMPLE = "write `0.5 * cross_entropy + 0.5 * distill(base)`"


def terms(value: tree.Value, scope: Scope) -> Any:
    """``0.5 * cross_entropy + 0.5 * distill(base, temperature = 4)``: the terms, each with its weight."""
    value = ungroup(value)
    match value:
        case tree.Unreadable():
            return MISSING
        case tree.Negative():
            return _scaled(terms(value.operand, scope), -1.0, value, scope)
        case tree.Binary(operator="+" | "-"):
            left, right = terms(value.left, scope), terms(value.right, scope)
            right = _scaled(right, -1.0 if value.operator == "-" else 1.0, value.right, scope)
            return MISSING if left is MISSING or right is MISSING else (*left, *right)
        case tree.Binary(operator="*"):
            return _product(value, scope)
        case tree.Binary(operator="/"):
            divisor = fold(value.right, scope.params)
            if isinstance(divisor, Plain) and divisor.value:
                return _scaled(terms(value.left, scope), float(1 / divisor.value), value, scope)
        case tree.Reference() | tree.Call():
            found = word(value, _KINDS, scope, "loss")
            return MISSING if found is MISSING else (plan.LossTerm.model_construct(weight=1.0, word=found),)
    message = f"a loss is a weighted sum of words, not {describe(value)}"
    scope.say(codes.WRONG_VALUE, message, value.span, help_text=_EXAMPLE)
    return MISSING


def _product(value: tree.Binary, scope: Scope) -> Any:
    for weight, rest in ((value.left, value.right), (value.right, value.left)):
        number = fold(weight, scope.params)
        if isinstance(number, Percent):
            number = Plain(value=number.share)
        if isinstance(number, Plain):
            return _scaled(terms(rest, scope), float(number.value), value, scope)
    for weight, rest in ((value.left, value.right), (value.right, value.left)):
        if _is_schedule(ungroup(weight), scope):
            scheduled = convert(weight, _weight(), scope, "weight")
            found = terms(rest, scope)
            if scheduled is MISSING or found is MISSING:
                return MISSING
            if any(term.weight != 1.0 for term in found):
                message = "a term has one weight: a number or a schedule"
                scope.say(codes.WRONG_VALUE, message, value.span, help_text="put the number into the schedule")
                return MISSING
            return tuple(term.replaced(weight=scheduled) for term in found)
    message = "a term of a loss is a number or a schedule times a word"
    scope.say(codes.WRONG_VALUE, message, value.span, help_text=_EXAMPLE)
    return MISSING


def _is_schedule(value: tree.Value, scope: Scope) -> bool:
    function = value.function if isinstance(value, tree.Call) else value
    if not isinstance(function, tree.Reference) or any(catalogue.exists(kind, function.name) for kind in _KINDS):
        return False
    return catalogue.exists("schedules", function.name)


def _weight() -> Any:
    return fields(plan.LossTerm).get("weight", ("", expectation(float)))[1]


def _scaled(found: Any, factor: float, value: tree.Value, scope: Scope) -> Any:
    """Multiply the weights of terms; a scheduled weight cannot be multiplied."""
    if found is MISSING or factor == 1.0:
        return found
    if any(not isinstance(term.weight, float) for term in found):
        message = "a scheduled weight cannot be multiplied or subtracted"
        scope.say(codes.WRONG_VALUE, message, value.span, help_text="put the factor or the sign into the schedule")
        return MISSING
    return tuple(term.replaced(weight=term.weight * factor) for term in found)
