"""Where steps act: sites of the patient or of another model, and names of earlier steps."""

from typing import Any

from surgery_dsl.diagnostics.codes import names as codes
from surgery_dsl.language import plan
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.points import MISSING
from surgery_dsl.language.references import block_name
from surgery_dsl.language.scope import Scope, describe, did_you_mean, ungroup
from surgery_dsl.language.words import word
from surgery_dsl.vocabulary import catalogue

STEP_KINDS = ("identify", "replace")
"""Kinds of steps whose name is a set of sites."""


def targets(value: tree.Value, scope: Scope) -> Any:
    """``in``, ``at`` …: one target or a list of them."""
    value = ungroup(value)
    items = value.items if isinstance(value, tree.ListValue) else (value,)
    if not items:
        scope.say(codes.WRONG_VALUE, "the list of sites is empty", value.span, help_text='write `linear("**")`')
        return MISSING
    found = [_target(ungroup(item), scope) for item in items]
    return MISSING if any(item is MISSING for item in found) else tuple(found)


def _target(value: tree.Value, scope: Scope) -> Any:
    if isinstance(value, tree.Unreadable):
        return MISSING
    if isinstance(value, tree.Reference) and (value.name in scope.blocks or not catalogue.exists("sites", value.name)):
        name = block_name(value, STEP_KINDS, scope, "sites", ("sites",))
        return name if name is MISSING else plan.Target(step=name, span=value.span)
    if isinstance(value, tree.Call) and isinstance(value.function, tree.Member):
        return _of_model(value, value.function, scope)
    if isinstance(value, tree.Reference | tree.Call):
        found = word(value, ("sites",), scope, "sites")
        return found if found is MISSING else plan.Target(word=found, span=value.span)
    message = f'sites are written `linear("**")`, or named by an earlier step; this is {describe(value)}'
    help_text = f"write `module({value.raw})`" if isinstance(value, tree.String) else 'write `linear("**")`'
    scope.say(codes.WRONG_VALUE, message, value.span, help_text=help_text)
    return MISSING


def _of_model(value: tree.Call, function: tree.Member, scope: Scope) -> Any:
    """``critic.norm("**")``: sites of another model."""
    name = tree.Reference(function.name.text, function.name.span)
    found = word(tree.Call(name, value.arguments, value.trailing_comma, value.span), ("sites",), scope, "sites")
    if not isinstance(function.owner, tree.Reference):
        message = f"sites of another model are written `MODEL.{name.name}(…)`"
        scope.say(codes.WRONG_VALUE, message, function.span, help_text="name one model before the dot")
        return MISSING
    model = block_name(function.owner, ("model",), scope, "sites")
    if model is MISSING or found is MISSING:
        return MISSING
    return plan.Target(word=found, model=model, span=value.span)


def between(value: tree.Value, scope: Scope) -> Any:
    """``between``: steps that run between the stages of a gradual excision, above or below it."""
    value = ungroup(value)
    items = [ungroup(item) for item in value.items] if isinstance(value, tree.ListValue) else [value]
    known = scope.names_of(("recover", "replace"))
    found: list[str] = []
    failed = not items
    for item in items:
        if isinstance(item, tree.Reference) and item.name in known and item.name not in found:
            found.append(item.name)
            continue
        failed = True
        if isinstance(item, tree.Reference) and item.name in found:
            message, help_text = f"`{item.name}` stands twice in `between`", "remove one of the two"
        else:
            shown = f"`{item.name}`" if isinstance(item, tree.Reference) else describe(item)
            message = f"`between` names `recover` or `replace` steps; {shown} is none"
            help_text = did_you_mean(item.name if isinstance(item, tree.Reference) else "", known)
        scope.say(codes.UNKNOWN_REFERENCE, message, item.span, help_text=help_text or "add a `recover` block")
    if not items:
        message = "`between` names no step"
        scope.say(codes.WRONG_VALUE, message, value.span, help_text="name a `recover` block, or leave `between` out")
    return MISSING if failed else tuple(found)
