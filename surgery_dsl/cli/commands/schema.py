"""``surgery-dsl schema NAME``."""

import click

NAMES = ("certificate", "diagnostic", "lock", "meaning", "plan", "preview", "record", "saved_plan", "verification")


@click.command()
@click.argument("name", type=click.Choice(NAMES))
def command(name: str) -> None:
    """Print a JSON Schema (dialect 2020-12) of a file that this program reads or writes."""
    from surgery_dsl.resources import read_resource

    click.echo(read_resource(f"specs/{name}.schema.json"), nl=False)
