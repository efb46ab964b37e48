"""``surgery-dsl report OUT``."""

from pathlib import Path

import click

from surgery_dsl.cli.options import output_format


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--format",
    "form",
    type=click.Choice(["md", "html"]),
    help="Markdown, or one HTML file; by default as the ending of `-o` says, else md.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="File to write.")
@output_format()
def command(folder: Path, form: str | None, output: Path | None, output_format: str, color: str) -> None:
    """Make the report of a result again, from the result alone: runs nothing, and says where the files were changed."""
    if form is None:
        form = "html" if output is not None and output.suffix.lower() in (".html", ".htm") else "md"
    if output is not None and output.resolve().is_relative_to(folder.resolve()):
        raise click.UsageError("-o FILE must lie outside of the result: the reports in it are certified")
    from surgery_dsl.cli.output import emit, exit_code_of, finish, show
    from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
    from surgery_dsl.diagnostics.render_json import render_json
    from surgery_dsl.report.contents.order import document
    from surgery_dsl.report.files import RENDERERS
    from surgery_dsl.report.result import read_result

    found: tuple[Diagnostic, ...]
    text = ""
    try:
        result = read_result(folder)
        found, text = result.findings, RENDERERS[form](document(result))
        if output is not None:
            output.write_text(text, encoding="utf-8", newline="")
    except Refused as refused:
        found = refused.diagnostics
    except OSError as error:
        raise click.UsageError(f"{output} cannot be written: {error.strerror or error}") from None
    code = exit_code_of(found)
    if output_format == "json":
        written = None if output is None or not text else str(output)
        emit({"written": written, "report": None if written else text, **render_json(found), "exit_code": code})
    elif output is None:
        show(text.removesuffix("\n"))
    elif text:
        show(f"wrote {output}")
    finish(found, {}, output_format, color, code)
