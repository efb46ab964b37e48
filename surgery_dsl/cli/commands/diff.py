"""``surgery-dsl diff PLAN --against REV|FILE``."""

import click

from surgery_dsl.cli.options import output_format, plan_argument


@click.command()
@plan_argument()
@click.option("--against", required=True, metavar="REV|FILE", help="The earlier plan: a file, or a revision in git.")
@output_format()
def command(plan: str, against: str, output_format: str, color: str) -> None:
    """Say what a change to a plan loosens, by meaning; exit code 1 where it loosens anything."""
    from surgery_dsl.cli.diff_text import meaning_text
    from surgery_dsl.cli.output import emit, exit_code_of, finish, show
    from surgery_dsl.diagnostics.render_json import render_json
    from surgery_dsl.run.difference import diff

    compared = diff(plan, against)
    found = compared.meaning
    code = exit_code_of(compared.diagnostics) or int(found is not None and found.loosened > 0)
    if output_format == "json":
        document = None if found is None else found.model_dump(mode="json")
        emit({"meaning": document, **render_json(compared.diagnostics), "exit_code": code})
    elif found is not None:
        show(meaning_text(found))
    finish(compared.diagnostics, compared.texts, output_format, color, code)
