"""Points: places in the life of a model that a quantity or a teacher is taken from."""

from typing import Any, Final, Literal, cast

from surgery_dsl.diagnostics.codes import names as codes
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.scope import Scope, did_you_mean, ungroup
from surgery_dsl.vocabulary.values import Point

_STEP_POINTS = ("before", "after")
_POINTS = "points are `base`, `now`, a model, `before(STEP)` and `after(STEP)`"
STEPS = ("identify", "excise", "replace", "recover", "observe", "control")


class _Missing:
    """Stands for a value that was reported as wrong."""


MISSING: Final = _Missing()


def passed(value: tree.Reference, kinds: tuple[str, ...], scope: Scope) -> Any:
    """Return the name of a step that stands above."""
    kind, span = scope.blocks.get(value.name, ("", value.span))
    if kind in kinds and value.name in scope.passed:
        return value.name
    known = [name for name in scope.names_of(kinds) if name in scope.passed]
    if kind in kinds:
        message = f"`{value.name}` comes later, at line {span.line}"
        help_text = "name a step above this one; a plan runs from top to bottom"
    else:
        message = f"there is no step `{value.name}`"
        help_text = did_you_mean(value.name, known) or "name a step above this one"
    scope.say(codes.UNKNOWN_REFERENCE, message, value.span, help_text=help_text)
    return MISSING


def point_of(owner: tree.Reference | tree.Member | tree.Call, scope: Scope) -> Any:
    """Return the point, or :data:`MISSING` after reporting why there is none."""
    if isinstance(owner, tree.Reference):
        return _named_point(owner, scope)
    function = owner.function if isinstance(owner, tree.Call) else owner
    if not isinstance(owner, tree.Call) or not isinstance(function, tree.Reference):
        scope.say(
            codes.WRONG_VALUE, "this is no point at which a quantity could be read", owner.span, help_text=_POINTS
        )
        return MISSING
    first = ungroup(owner.arguments[0].value) if owner.arguments else None
    if function.name in _STEP_POINTS and len(owner.arguments) == 1 and isinstance(first, tree.Reference):
        step = passed(first, STEPS, scope)
        if step is MISSING:
            return MISSING
        return Point(at=cast(Literal["before", "after"], function.name), name=step)
    if function.name in _STEP_POINTS:
        message = f"`{function.name}(…)` takes the name of one step"
        scope.say(codes.WRONG_VALUE, message, owner.span, help_text=f"write `{function.name}(STEP)`")
        return MISSING
    message = f"`{function.name}(…)` is no point of this release"
    scope.say(codes.UNKNOWN_WORD, message, function.span, help_text=_POINTS)
    return MISSING


def _named_point(owner: tree.Reference, scope: Scope) -> Any:
    """``base``, ``now``, or another model."""
    if owner.name in ("base", "now"):
        return Point(at=cast(Literal["base", "now"], owner.name))
    kind, _ = scope.blocks.get(owner.name, ("", None))
    if kind == "model" and owner.name in scope.passed:
        return Point(at="model", name=owner.name)
    if kind == "recover":
        message = f"values of a run, such as those of `{owner.name}`, cannot be read in this release"
        scope.say(codes.UNKNOWN_WORD, message, owner.span, help_text=_POINTS)
        return MISSING
    known = ["base", "now", *scope.names_of(("model",))]
    message = f"`{owner.name}` is no point at which a quantity could be read"
    scope.say(codes.UNKNOWN_REFERENCE, message, owner.span, help_text=did_you_mean(owner.name, known))
    return MISSING
