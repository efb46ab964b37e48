"""``surgery-dsl verify OUT``."""

from pathlib import Path

import click

from surgery_dsl.cli.options import output_format


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@output_format()
def command(folder: Path, output_format: str, color: str) -> None:
    """Check a result again: schema, digests, and the static proofs, without torch."""
    from surgery_dsl.certificate.verify import verify
    from surgery_dsl.cli.output import emit, exit_code_of, finish, show
    from surgery_dsl.diagnostics.render_json import render_json

    result = verify(folder)
    code = exit_code_of(result.diagnostics)
    if output_format == "json":
        checks = [{"check": f.check, "held": f.held, "text": f.text} for f in result.findings]
        emit({"verified": result.held, "checks": checks, **render_json(result.diagnostics), "exit_code": code})
    else:
        for finding in result.findings:
            show(f"{'ok  ' if finding.held else 'FAIL'} {finding.check:12} {finding.text}")
        click.echo("verified" if result.held else "NOT verified")
    finish(result.diagnostics, {}, output_format, color, code)
