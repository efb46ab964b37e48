"""What commands print: results on stdout, diagnostics and progress on stderr."""

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from surgery_dsl.diagnostics.diagnostic import Diagnostic


def use_color(choice: str) -> bool:
    """Decide on colour: ``always``, ``never``, or by ``NO_COLOR``, ``FORCE_COLOR`` and whether stderr is a terminal."""
    if choice != "auto":
        return choice == "always"
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stderr.isatty()


ALIKE = 3
"""Findings of one code at one place that are told one by one; more have one cause."""


def few_of_each(diagnostics: "Iterable[Diagnostic]") -> "tuple[Diagnostic, ...]":
    """Leave the first findings of each code at each place; the last of them says how many more there are."""
    from dataclasses import replace

    alike: dict[object, list[Diagnostic]] = {}
    for diagnostic in diagnostics:
        key = (diagnostic.code.id, diagnostic.file, diagnostic.span) if diagnostic.span else object()
        alike.setdefault(key, []).append(diagnostic)
    found: list[Diagnostic] = []
    for group in alike.values():
        found += group[:ALIKE]
        more = len(group) - ALIKE
        if more > 0:
            found[-1] = replace(found[-1], notes=(*found[-1].notes, f"{more} more like this, at the same place"))
    return tuple(found)


def exit_code_of(diagnostics: "Iterable[Diagnostic]", strict: bool = False) -> int:
    """Return the exit code of the worst finding: drift before a defect, a refusal before what stayed undecided."""
    from surgery_dsl.diagnostics.code import Severity

    codes = {d.code.exit_code for d in diagnostics if d.severity is Severity.ERROR}
    if strict and any(d.severity is Severity.WARNING for d in diagnostics):
        codes.add(1)
    return next((code for code in (4, 2, 1, 3) if code in codes), 0)


def progress(text: str) -> None:
    """Tell on stderr what long work is being done."""
    show(f"{text} ...", err=True)


def show(text: str, err: bool = False) -> None:
    """Print lines of text; names in them cannot steer a terminal."""
    from surgery_dsl.diagnostics.plain import plain

    click.echo("\n".join(plain(line) for line in text.split("\n")), err=err)


def emit(document: Mapping[str, Any]) -> None:
    """Print one JSON object on stdout."""
    click.echo(json.dumps({"format_version": "1.0", **document}, indent=2, allow_nan=False))


def finish(
    diagnostics: "tuple[Diagnostic, ...]", sources: Mapping[str, str], output_format: str, color: str, code: int
) -> NoReturn:
    """Print the diagnostics (as text; JSON output already holds them) and exit."""
    if output_format == "text" and diagnostics:
        from surgery_dsl.diagnostics.render_text import render_text

        colored = use_color(color)
        click.echo(render_text(diagnostics, sources, color=colored), err=True, color=colored)
    click.get_current_context().exit(code)


def report(diagnostic: "Diagnostic") -> None:
    """Tell one finding that is about no plan."""
    from surgery_dsl.diagnostics.render_text import render_text

    colored = use_color("auto")
    click.echo(render_text((diagnostic,), {}, color=colored), err=True, color=colored)


def report_defect(error: Exception) -> None:
    """Say that the program itself failed, without a traceback unless one is asked for."""
    from surgery_dsl.diagnostics.codes import defects
    from surgery_dsl.diagnostics.diagnostic import Diagnostic

    message = f"{type(error).__name__}: {error}"
    help_text = "this is a defect of surgery-dsl, not of your plan; please report it with SURGERY_DSL_TRACEBACK=1"
    report(Diagnostic(defects.INTERNAL, message, help=help_text))
    if os.environ.get("SURGERY_DSL_TRACEBACK"):
        import traceback

        click.echo("".join(traceback.format_exception(error)), err=True)
