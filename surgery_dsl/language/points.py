"""Points: places in the life of a model that a quantity or a teacher is taken from."""

from typing import Any, Final, Literal, cast

from surgery_dsl.diagnostics.codes import names as codes
from surgery_dsl.language import syntax as tree
from surgery_dsl.language.scope import Scope, did_you_mean, ungroup
from surgery_dsl.vocabulary.values import Point

POINTS = ("before", "after", "best", "ema")
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
    later = f"`{value.name}` comes later, at line {span.line}" if kind in kinds else f"there is no step `{value.name}`"
    scope.say(codes.UNKNOWN_REFERENCE, later, value.span, help_text=did_you_mean(value.name, known))
    return MISSING


def point_of(owner: tree.Reference | tree.Member | tree.Call, scope: Scope) -> Any:
    """Return the point, or :data:`MISSING` after reporting why there is none."""
    if isinstance(owner, tree.Reference):
        if owner.name in ("base", "now"):
            return Point(at=cast(Literal["base", "now"], owner.name))
        if owner.name in scope.names_of(("model",)):
            return Point(at="model", name=owner.name)
        known = ["base", "now", *scope.names_of(("model",))]
        message = f"`{owner.name}` is no point at which a quantity could be read"
        scope.say(codes.UNKNOWN_REFERENCE, message, owner.span, help_text=did_you_mean(owner.name, known))
        return MISSING
    if isinstance(owner, tree.Call) and isinstance(owner.function, tree.Reference):
        name = owner.function.name
        first = ungroup(owner.arguments[0].value) if owner.arguments else None
        if name in POINTS and len(owner.arguments) == 1 and isinstance(first, tree.Reference):
            step = passed(first, STEPS, scope)
            if step is MISSING:
                return MISSING
            return Point(at=cast(Literal["before", "after", "best", "ema"], name), name=step)
        message = f"`{name}(…)` is no point of this release"
        help_text = "points are `base`, `now`, `before(STEP)`, `after(STEP)`"
        scope.say(codes.UNKNOWN_WORD, message, owner.span, help_text=help_text)
        return MISSING
    scope.say(codes.WRONG_VALUE, "a point is `base`, `now`, a model or `before(STEP)`", owner.span)
    return MISSING
