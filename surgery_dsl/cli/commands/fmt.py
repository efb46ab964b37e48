"""``surgery-dsl fmt PLAN…``."""

import difflib
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from surgery_dsl.cli.options import output_format, plan_argument

if TYPE_CHECKING:
    from surgery_dsl.diagnostics.diagnostic import Diagnostic


@click.command()
@plan_argument(many=True)
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where a plan would change.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
@output_format()
def command(plans: tuple[str, ...], check: bool, diff: bool, output_format: str, color: str) -> None:
    """Format plans in place; `-` formats stdin to stdout. There are no options of style."""
    from surgery_dsl.cli.output import emit, exit_code_of, finish, show
    from surgery_dsl.diagnostics.plain import plain
    from surgery_dsl.diagnostics.render_json import render_json
    from surgery_dsl.language.file import read_text
    from surgery_dsl.language.format import format_source
    from surgery_dsl.language.source import decode

    found: list[Diagnostic] = []
    sources: dict[str, str] = {}
    changed: list[str] = []
    for plan in plans:
        text, mistakes = decode(sys.stdin.buffer.read(), "-") if plan == "-" else read_text(Path(plan))
        sources[plan] = text
        formatted = text
        if not mistakes:
            formatted, mistakes = format_source(text, plan)
        found.extend(mistakes)
        if mistakes:
            continue
        if formatted != text and not (check or diff or plan == "-"):
            mistakes = _replace(Path(plan), formatted)
            found.extend(mistakes)
        if formatted != text and not mistakes:
            changed.append(plan)
        if diff:
            name = plain(plan)
            lines = difflib.unified_diff(text.splitlines(True), formatted.splitlines(True), name, name)
            click.echo("".join(lines), nl=False)
        elif plan == "-" and not check:
            sys.stdout.buffer.write(formatted.encode("utf-8"))
    code = exit_code_of(found) or int((check or diff) and bool(changed))
    if output_format == "json":
        emit({"changed": changed, **render_json(found), "exit_code": code})
    elif "-" not in plans:
        for plan in changed:
            show(f"{'would format' if check or diff else 'formatted'} {plan}", err=True)
    finish(tuple(found), sources, output_format, color, code)


def _replace(path: Path, text: str) -> "tuple[Diagnostic, ...]":
    """Write a file whole or not at all; return why it could not be written."""
    from surgery_dsl.diagnostics.diagnostic import Refused
    from surgery_dsl.run.written import written

    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with written(path, str(path), "its folder"):
            temporary.write_text(text, encoding="utf-8", newline="")
            shutil.copymode(path, temporary)
            temporary.replace(path)
    except Refused as refused:
        return refused.diagnostics
    finally:
        temporary.unlink(missing_ok=True)
    return ()
