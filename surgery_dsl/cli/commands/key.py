"""``surgery-dsl key new KEYFILE``."""

from pathlib import Path

import click


@click.group()
def command() -> None:
    """Make keys that sign certificates."""


@command.command()
@click.argument("keyfile", type=click.Path(path_type=Path))
def new(keyfile: Path) -> None:
    """Make a pair: KEYFILE, readable by you alone, and KEYFILE.pub to give to others; print the key's id."""
    from surgery_dsl.certificate.signing import new_key
    from surgery_dsl.cli.output import exit_code_of, finish, show
    from surgery_dsl.diagnostics.diagnostic import Refused

    try:
        show(new_key(keyfile))
    except Refused as refused:
        finish(refused.diagnostics, {}, "text", "auto", exit_code_of(refused.diagnostics))
