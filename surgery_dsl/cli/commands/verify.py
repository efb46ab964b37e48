"""``surgery-dsl verify OUT``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from surgery_dsl.cli.options import grants, output_format

if TYPE_CHECKING:
    from surgery_dsl.certificate.finding import Verification

KEY = click.Path(path_type=Path)


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--key", type=KEY, metavar="PUB", help="Public key; the certificate must be signed by it.")
@click.option("--require-signature", is_flag=True, help="Fail unless a given key signed the certificate.")
@click.option("--reproduce", is_flag=True, help="Measure again: runs the network and its code, and needs grants.")
@click.option(
    "--from",
    "origin",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Where the plan's own files lie: its data, and the weights of the base.",
)
@click.option("--attest", type=KEY, metavar="FILE", help="Write what came of it as a statement of its own.")
@click.option("--sign", type=KEY, metavar="KEYFILE", help="Sign what `--attest` writes with this private key.")
@grants()
@output_format()
def command(
    folder: Path,
    key: Path | None,
    require_signature: bool,
    reproduce: bool,
    origin: Path | None,
    attest: Path | None,
    sign: Path | None,
    allow_code: tuple[str, ...],
    output_format: str,
    color: str,
) -> None:
    """Check a result again, without running it: signature, schema, digests, proofs, and what evidence is stored."""
    if sign is not None and attest is None:
        raise click.UsageError("--sign needs --attest FILE")
    if attest is not None and attest.resolve().is_relative_to(folder.resolve()):
        raise click.UsageError("--attest FILE must lie outside of the result")
    if allow_code and not reproduce:
        raise click.UsageError("--allow-code needs --reproduce: nothing else runs code")
    from surgery_dsl.cli.output import emit, exit_code_of, finish, show
    from surgery_dsl.diagnostics.diagnostic import Refused
    from surgery_dsl.diagnostics.render_json import render_json
    from surgery_dsl.report.same import verify

    try:
        result = verify(folder, key, require_signature, origin)
        if reproduce and result.held:
            result = _reproduced(folder, result, allow_code, origin)
        if attest is not None:
            _attest(attest, result, reproduce, require_signature, sign)
    except Refused as refused:
        finish(refused.diagnostics, {}, "text", color, exit_code_of(refused.diagnostics))
    code = exit_code_of(result.diagnostics)
    if output_format == "json":
        checks = [{"check": f.check, "held": f.held, "basis": f.basis, "text": f.text} for f in result.findings]
        emit(
            {
                "verified": result.held,
                "key": result.key_id,
                "checks": checks,
                **render_json(result.diagnostics),
                "exit_code": code,
            }
        )
    else:
        for finding in result.findings:
            show(f"{finding.basis.replace('failed', 'FAILED'):11} {finding.check:12} {finding.text}")
        click.echo(_summary(result))
    finish(result.diagnostics, {}, output_format, color, code)


def _summary(result: "Verification") -> str:
    if not result.held:
        return "NOT verified"
    return f"verified, and signed by {result.key_id}" if result.key_id else "verified; by whom it was made is not known"


def _reproduced(
    folder: Path, result: "Verification", allow_code: tuple[str, ...], origin: Path | None
) -> "Verification":
    import gc

    gc.enable()
    from surgery_dsl.run.reproduce import reproduce

    return reproduce(folder, result, allow_code, origin)


def _attest(path: Path, result: "Verification", reproduced: bool, required: bool, key: Path | None) -> None:
    from surgery_dsl.certificate.attest import attested, write_attestation

    try:
        write_attestation(path, attested(result, reproduced, required), "" if key is None else str(key))
    except OSError as error:
        raise click.UsageError(f"{path} cannot be written: {error.strerror or error}") from None
