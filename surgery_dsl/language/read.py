"""Reads a plan from its text: parse, then lower."""

from collections.abc import Mapping

from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.language.lower import lower
from surgery_dsl.language.parse import parse
from surgery_dsl.language.plan import Plan


def read_plan(
    text: str, file: str, sets: Mapping[str, str] | None = None
) -> tuple[Plan | None, tuple[Diagnostic, ...]]:
    """Return the typed plan and all findings; the plan is ``None`` where any finding is an error. Never raises."""
    syntax, found = parse(text, file)
    if syntax.dialect is None and syntax.broken and not syntax.blocks:
        return None, found
    plan, more = lower(syntax, text, file, sets)
    return (None if found else plan), (*found, *more)
