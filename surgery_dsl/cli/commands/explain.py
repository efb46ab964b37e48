"""``surgery-dsl explain CODE``."""

import click


@click.command()
@click.argument("code")
def command(code: str) -> None:
    """Explain a diagnostic code, with a plan that gives it and one that does not."""
    from surgery_dsl.diagnostics.page import find_page

    page = find_page(code)
    if page is None:
        raise click.UsageError(f"there is no code {code!r}; codes look like SD301 or budget-exceeded")
    click.echo(page.text)
