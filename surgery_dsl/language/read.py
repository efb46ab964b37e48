"""Reads a plan from its text: parse, then lower."""

from collections.abc import Mapping
from functools import lru_cache

from surgery_dsl.diagnostics.code import Severity
from surgery_dsl.diagnostics.codes import syntax as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.language.lower import lower
from surgery_dsl.language.parse import parse
from surgery_dsl.language.plan import Plan

_parsed = lru_cache(maxsize=1)(parse)
"""Of the text read last: a plan with params is read once more for each value that is tried."""


def read_plan(
    text: str, file: str, sets: Mapping[str, str] | None = None
) -> tuple[Plan | None, tuple[Diagnostic, ...]]:
    """Return the typed plan and all findings; the plan is ``None`` where any finding is an error. Never raises."""
    syntax, found = _parsed(text, file)
    if syntax.dialect is None and syntax.broken and not syntax.blocks:
        return None, found
    plan, more = lower(syntax, text, file, sets)
    return (None if found else plan), tuple(sorted((*found, *more), key=_place))


def _place(diagnostic: Diagnostic) -> tuple[bool, int, int]:
    """Sort by place, errors before warnings; that reading stopped comes last."""
    span = diagnostic.span
    last = diagnostic.code is codes.TOO_MANY_MISTAKES or diagnostic.severity is not Severity.ERROR
    return last, span.line if span else 0, span.column if span else 0
