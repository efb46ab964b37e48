"""``surgery-dsl words``."""

import click


@click.command()
@click.argument("kind", required=False)
def command(kind: str | None) -> None:
    """List the words of the language by kind, each with its summary."""
    from surgery_dsl.vocabulary import catalogue

    kinds = catalogue.kinds()
    if kind is not None and kind not in kinds:
        raise click.UsageError(f"there is no kind {kind!r}; there are {', '.join(kinds)}")
    for one in [kind] if kind else kinds:
        click.echo(f"{one}:")
        for name in catalogue.names(one):
            click.echo(f"  {name:18} {catalogue.find(one, name).card.summary}")
