"""Least and greatest values of the attributes that hold plain numbers."""

from typing import Any

from surgery_dsl.diagnostics.codes import names as codes
from surgery_dsl.diagnostics.span import Span
from surgery_dsl.language.scope import Scope
from surgery_dsl.vocabulary.values import Percent, number_text

_LEAST = {
    ("data", "batch"): 1,
    ("env", "parallel"): 1,
    ("env", "seed"): 0,
    ("identify", "expect"): 0,
    ("identify", "round"): 1,
    ("identify", "floor"): 0,
    ("identify", "cap"): 0,
    ("replace", "expect"): 0,
    ("recover", "epochs"): 1,
    ("recover", "steps"): 1,
    ("recover", "batch"): 1,
    ("recover", "seed"): 0,
    ("observe", "seed"): 0,
    ("search", "trials"): 1,
    ("search", "seed"): 0,
    ("search", "workers"): 1,
}
_MOST_SEED = 2**63 - 1


def within_bounds(kind: str, written: str, value: Any, span: Span, scope: Scope) -> bool:
    """Report an attribute outside its range; return whether it lies inside."""
    if isinstance(value, Percent):
        if 0 <= value.value <= 100:
            return True
        return _outside(written, str(value), "between 0% and 100%", span, scope)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    if written == "clip" and value <= 0:
        return _outside(written, f"{value:g}", "more than 0", span, scope)
    if written == "seed" and value > _MOST_SEED:
        return _outside(written, str(value), f"at most {_MOST_SEED}", span, scope)
    least = _LEAST.get((kind, written))
    if least is None or value >= least:
        return True
    return _outside(written, f"{value:g}", f"at least {number_text(least)}", span, scope)


def _outside(written: str, value: str, allowed: str, span: Span, scope: Scope) -> bool:
    message = f"`{written}` is {value}; it must be {allowed}"
    facts = {"given": value, "allowed": allowed}
    scope.say(codes.ARGUMENT_OUT_OF_RANGE, message, span, help_text=f"write a number {allowed}", facts=dict(facts))
    return False
