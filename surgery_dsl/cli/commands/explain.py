"""``surgery-dsl explain CODE``."""

import click


@click.command()
@click.argument("code")
def command(code: str) -> None:
    """Explain a diagnostic code, with a plan that gives it and one that does not."""
    from surgery_dsl.diagnostics.page import find_page

    page = find_page(code)
    if page is None:
        raise click.UsageError(f"there is no code {code!r}; {_nearest(code)}")
    click.echo(page.text.replace(f"needs: {page.needs}\n\n", "", 1) if page.needs else page.text, nl=False)


def _nearest(code: str) -> str:
    from difflib import get_close_matches

    from surgery_dsl.diagnostics.page import all_codes

    known = {name.casefold(): name for one in all_codes() for name in (one.id, one.name)}
    close = get_close_matches(code.strip().casefold(), known, 1)
    return f"did you mean {known[close[0]]}?" if close else "codes look like SD301 or width-mismatch"
