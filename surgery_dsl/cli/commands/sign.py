"""``surgery-dsl sign OUT --key KEYFILE``."""

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--key", required=True, type=click.Path(path_type=Path), metavar="KEYFILE", help="Private key.")
def command(folder: Path, key: Path) -> None:
    """Sign a result that verifies, in place of whoever signed it before; print the key's id."""
    from surgery_dsl.certificate.build import write_payload
    from surgery_dsl.certificate.integrity import read_payload
    from surgery_dsl.certificate.signing import read_signing_key
    from surgery_dsl.certificate.verify import verify
    from surgery_dsl.cli.output import exit_code_of, finish, show
    from surgery_dsl.diagnostics.diagnostic import Refused

    try:
        signer = read_signing_key(key)
        verification = verify(folder)
        if not verification.held:
            raise Refused(*verification.diagnostics)
        write_payload(folder, read_payload(folder), str(key))
    except Refused as refused:
        finish(refused.diagnostics, {}, "text", "auto", exit_code_of(refused.diagnostics))
    show(signer.key_id)
