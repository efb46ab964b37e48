"""``surgery-dsl explain CODE|WORD|CLAIM``."""

import inspect

import click


@click.command()
@click.argument("code", metavar="CODE|WORD|CLAIM")
def command(code: str) -> None:
    """Explain a diagnostic code, with a plan that gives it and one that does not; a word; a claim; or an identity."""
    from surgery_dsl.diagnostics.page import find_page

    page = find_page(code)
    if page is not None:
        click.echo(page.text.replace(f"needs: {page.needs}\n\n", "", 1) if page.needs else page.text, nl=False)
        return
    from surgery_dsl.certificate.explanations import explanations
    from surgery_dsl.evidence.identities._identity import find
    from surgery_dsl.evidence.identities._identity import names as identities
    from surgery_dsl.vocabulary import catalogue

    found = [_word(kind, code) for kind in catalogue.elsewhere(code)]
    found += explanations(code)
    found += [find(code).page()] if code in identities() else []
    if not found:
        raise click.UsageError(f"there is no code, no word and no claim {code!r}; {_nearest(code)}")
    click.echo("\n".join(found), nl=False)


def _word(kind: str, name: str) -> str:
    """Return what a word does, with what it takes, as its own description says it."""
    from surgery_dsl.vocabulary import catalogue

    word = catalogue.find(kind, name)
    description = inspect.getdoc(word) or word.card.summary
    return f"# {name} ({kind})\n\n    {word.card.example}\n\n{description}\n"


def _nearest(code: str) -> str:
    from difflib import get_close_matches

    from surgery_dsl.certificate.explanations import names
    from surgery_dsl.diagnostics.page import all_codes
    from surgery_dsl.evidence.identities._identity import names as identities
    from surgery_dsl.vocabulary import catalogue

    known = {name.casefold(): name for kind in catalogue.kinds() for name in catalogue.names(kind)}
    known |= {name.casefold(): name for one in all_codes() for name in (one.id, one.name)}
    known |= {name: name for name in (*names(), *identities())}
    close = get_close_matches(code.strip().casefold(), known, 1)
    return f"did you mean {known[close[0]]}?" if close else "codes look like SD301 or width-mismatch; see `words`"
