"""From obligations to typed claims: points, quantities, arithmetic, predicates."""

from fractions import Fraction
from typing import Any, Literal, cast

from surgery_dsl.diagnostics.codes import names as codes
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language import plan
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.layout import claim_text
from surgery_dsl.language.numbers import Amount, fold
from surgery_dsl.language.points import MISSING, point_of
from surgery_dsl.language.scope import Scope, describe, ungroup
from surgery_dsl.language.words import unknown_word, word
from surgery_dsl.vocabulary import catalogue
from surgery_dsl.vocabulary.values import Percent, Plain, Point

FUNCTIONS = ("max", "min", "abs", "mean", "first", "last")


def lower_control(block: tree.Block, scope: Scope) -> plan.Control | None:
    """Return the typed block, or ``None`` after reporting why there is none."""
    obligations = []
    failed = bool(block.body and block.body.broken)
    for statement in block.body.statements if block.body else ():
        if isinstance(statement, tree.Attribute):
            message = f"`control` holds obligations, not attributes such as `{statement.name.text}`"
            help_text = "an obligation starts with `prove`, `certify` or `measure`"
            scope.say(codes.NOT_A_STATEMENT, message, statement.span, help_text=help_text)
            failed = True
            continue
        claim = _claim(statement, scope)
        failed |= claim is MISSING
        if claim is not MISSING:
            verb = cast(Literal["prove", "certify", "measure"], statement.verb.text)
            obligations.append(
                plan.Obligation.model_construct(
                    verb=verb, text=claim_text(statement), statement=claim, span=statement.span
                )
            )
    if failed:
        return None
    if not obligations:
        message = f"`control {block.name.text}` holds no obligation"
        scope.say(codes.MISSING_ATTRIBUTE, message, block.name.span, help_text="state one, or remove the block")
        return None
    return plan.Control.model_construct(
        name=block.name.text, span=block.span, spans={}, block="control", obligations=tuple(obligations)
    )


def _claim(statement: tree.Obligation, scope: Scope) -> Any:
    if statement.right is None:
        left = ungroup(statement.left)
        if isinstance(left, tree.Call | tree.Reference):
            found = _predicate(left, scope)
            return found if found is MISSING else plan.Property.model_construct(statement="property", word=found)
        message = f"`{statement.verb.text}` takes a comparison or a property, not {describe(left)}"
        scope.say(codes.WRONG_VALUE, message, left.span, help_text="for example `prove params <= 0.65 * base.params`")
        return MISSING
    if _relative(statement, scope):
        return MISSING
    left_side, right_side = expression(statement.left, scope), expression(statement.right, scope)
    if left_side is MISSING or right_side is MISSING:
        return MISSING
    if not (_reads(left_side) or _reads(right_side)):
        message = "this obligation reads no quantity: it says nothing about the network"
        help_text = "compare a quantity, for example `prove params <= 0.65 * base.params`"
        scope.say(codes.WRONG_VALUE, message, statement.span, help_text=help_text)
        return MISSING
    relation = cast(Literal["<=", ">=", "<", ">", "=="], statement.comparison)
    return plan.Comparison.model_construct(statement="comparison", relation=relation, left=left_side, right=right_side)


def _reads(side: plan.Expression) -> bool:
    """Return whether an expression holds a quantity."""
    if isinstance(side, plan.Arithmetic):
        return _reads(side.left) or _reads(side.right)
    if isinstance(side, plan.Apply):
        return any(_reads(argument) for argument in side.arguments)
    return not isinstance(side, plan.Quantified)


def _predicate(value: tree.Call | tree.Reference, scope: Scope) -> Any:
    function = value.function if isinstance(value, tree.Call) else value
    if isinstance(function, tree.Reference) and catalogue.exists("quantities", function.name):
        message = f"`{function.name}` is a number: what limit must it keep?"
        scope.say(codes.WRONG_VALUE, message, value.span, help_text=f"write `{function.name} <= …`")
        return MISSING
    return word(value, ("predicates",), scope, "prove")


def _relative(statement: tree.Obligation, scope: Scope) -> bool:
    """Report ``params <= 65%``: a percentage says nothing without ``* base.params``."""
    if statement.right is None:
        return False
    for side, other in ((statement.left, statement.right), (statement.right, statement.left)):
        limit, reading = fold(side, scope.params), ungroup(other)
        if not isinstance(limit, Percent) or not isinstance(reading, tree.Reference | tree.Call):
            continue
        function = reading.function if isinstance(reading, tree.Call) else reading
        if not isinstance(function, tree.Reference) or not catalogue.exists("quantities", function.name):
            continue
        if catalogue.find("quantities", function.name).unit in ("count", "bytes"):
            share = float(limit.share)
            fix = f"write `{share:g} * base.{function.name}` for a share of the base"
            message = f"`{function.name}` is a count; {float(limit.value):g}% of what?"
            scope.say(codes.RELATIVE_LIMIT, message, side.span, label="a share of nothing", help_text=fix)
            return True
    return False


def expression(value: tree.Value, scope: Scope) -> Any:
    """Return a typed arithmetic expression over quantities."""
    value = ungroup(value)
    constant = fold(value, scope.params)
    if constant is not None:
        return _literal(constant, value.span)
    match value:
        case tree.Unreadable():
            return MISSING
        case tree.Binary(operator="/") if _is_zero(value.right, scope):
            scope.say(
                codes.WRONG_VALUE, "a limit divides by zero", value.right.span, help_text="divide by another number"
            )
            return MISSING
        case tree.Binary(operator=operator):
            return _arithmetic(operator, expression(value.left, scope), expression(value.right, scope), value.span)
        case tree.Negative():
            minus = _literal(Plain(value=Fraction(-1)), value.span)
            return _arithmetic("*", minus, expression(value.operand, scope), value.span)
        case tree.Call(function=tree.Reference(name=name)) if name in FUNCTIONS:
            return _apply(name, value, scope)
        case tree.Reference(name=name) if name in scope.params:
            message = f"the param `{name}` is a string, not a number"
            help_text = "limits take params that are numbers or percentages"
            scope.say(codes.WRONG_VALUE, message, value.span, help_text=help_text)
            return MISSING
        case tree.Reference() | tree.Call() | tree.Member():
            return _reading(value, scope)
    message = f"a limit is made of numbers and quantities, not {describe(value)}"
    help_text = "for example `0.65 * base.params` or `base.loss(test) + 0.05`"
    scope.say(codes.WRONG_VALUE, message, value.span, help_text=help_text)
    return MISSING


def _literal(amount: Amount, span: Span) -> plan.Quantified:
    number = amount.value if amount.unit == "" else amount
    return plan.Quantified.model_construct(node="literal", value=number, span=span)


def _is_zero(value: tree.Value, scope: Scope) -> bool:
    found = fold(value, scope.params)
    return found is not None and found.value == 0


def _arithmetic(operator: str, left: Any, right: Any, span: Span) -> Any:
    if left is MISSING or right is MISSING:
        return MISSING
    sign = cast(Literal["+", "-", "*", "/"], operator)
    return plan.Arithmetic.model_construct(node="arithmetic", operator=sign, left=left, right=right, span=span)


def _apply(name: str, value: tree.Call, scope: Scope) -> Any:
    one = name == "abs"
    if any(argument.name is not None for argument in value.arguments) or (
        len(value.arguments) != 1 if one else not value.arguments
    ):
        takes = "one number" if one else "numbers, without names"
        message = f"`{name}` takes {takes}"
        scope.say(
            codes.UNKNOWN_ARGUMENT, message, value.span, help_text=f"write `{name}(params{'' if one else ', …'})`"
        )
        return MISSING
    arguments = [expression(argument.value, scope) for argument in value.arguments]
    if any(argument is MISSING for argument in arguments):
        return MISSING
    function = cast(Literal["max", "min", "abs", "mean", "first", "last"], name)
    return plan.Apply.model_construct(node="apply", function=function, arguments=tuple(arguments), span=value.span)


def _reading(value: tree.Reference | tree.Call | tree.Member, scope: Scope) -> Any:
    """``params``, ``base.loss(test)``, ``before(best).loss(val)``, ``tune.lr``."""
    head: tree.Reference | tree.Member | tree.Call = value.function if isinstance(value, tree.Call) else value
    if isinstance(head, tree.Member):
        point = point_of(head.owner, scope)
        name = tree.Reference(head.name.text, head.name.span)
    elif isinstance(head, tree.Reference):
        point, name = Point(), head
    else:
        message = f"a quantity is read off a point, not off {describe(head)}"
        scope.say(codes.WRONG_VALUE, message, value.span, help_text="for example `base.loss(test)`")
        return MISSING
    if point is MISSING:
        return MISSING
    if not catalogue.exists("quantities", name.name):
        if catalogue.exists("predicates", name.name):
            message = f"`{name.name}` is a property: it takes no comparison"
            scope.say(codes.WRONG_VALUE, message, value.span, help_text=f"write `prove {name.name}(…)`")
        else:
            unknown_word(name, ("quantities",), scope, "control")
        return MISSING
    call = tree.Call(name, value.arguments, value.trailing_comma, value.span) if isinstance(value, tree.Call) else name
    found = word(call, ("quantities",), scope, "control")
    if found is MISSING:
        return MISSING
    return plan.Reading.model_construct(node="reading", point=point, word=found, span=value.span)
