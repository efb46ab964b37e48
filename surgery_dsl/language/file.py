"""Reads the file of a plan."""

from pathlib import Path

from surgery_dsl.diagnostics.codes import trust
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.language.source import read_source


def read_text(path: Path) -> tuple[str, tuple[Diagnostic, ...]]:
    """Return the text of a plan, or why it cannot be read; a plan that is too large is not read at all."""
    if not str(path).isprintable() and any("\ud800" <= character <= "\udfff" for character in str(path)):
        message = "the plan cannot be read: the path is not UTF-8 text, and would stand in records as something else"
        return "", (Diagnostic(trust.PLAN_UNREADABLE, message, file=str(path), help="rename the file"),)
    try:
        return read_source(path, str(path))
    except OSError as error:
        message = f"the plan cannot be read: {error.strerror or error}"
        help_text = "give the path of a `.surg` file"
        return "", (Diagnostic(trust.PLAN_UNREADABLE, message, file=str(path), help=help_text),)
