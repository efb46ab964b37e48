"""Whether the reports of a result say what its certificate says: made again, they come out byte for byte."""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from surgery_dsl.certificate.build import CERTIFICATE
from surgery_dsl.certificate.finding import Basis, Finding, Verification
from surgery_dsl.certificate.verify import verify as without_reports
from surgery_dsl.diagnostics.codes import certificates as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.report.contents.order import document
from surgery_dsl.report.files import RENDERERS
from surgery_dsl.report.result import result_of

HELP = "read what `surgery-dsl report` prints instead, and ask how the file came to be"


def verify(
    folder: Path | str, key: Path | str | None = None, require_signature: bool = False, origin: Path | None = None
) -> Verification:
    """Check a directory that ``apply`` wrote, its reports included; never raises for what the directory holds.

    Args:
        folder: The result.
        key: Public key by which the certificate must be signed.
        require_signature: Whether a certificate fails that no given key signed.
        origin: Where the plan's own files lie, if they are at hand: what the run began with, and its data.

    Raises:
        Refused: The key cannot be used.
    """
    return with_reports(Path(folder), without_reports(folder, key, require_signature, origin))


def with_reports(folder: Path, verification: Verification) -> Verification:
    """Make the reports of a verified result again, and add what came of it.

    A report that another version of this program wrote may be worded otherwise: then nothing is compared, and that is
    said.
    """
    statement = verification.statement
    if statement is None or not verification.held:
        return verification
    certified = {subject.name for subject in statement.subject}
    names = [f"report.{ending}" for ending in RENDERERS if f"report.{ending}" in certified]
    here, by = f"surgery-dsl {version('surgery-dsl')}", statement.predicate.environment.tool
    if not names:
        return verification
    if by != here:
        return _with(verification, "trusted", f"{_listed(names)} not made again: written by {by}, this is {here}")
    made = document(result_of(folder, statement))
    for name in names:
        if RENDERERS[name.removeprefix("report.")](made).encode("utf-8") != (folder / name).read_bytes():
            message = f"`{name}` says other than the certificate"
            failed = _with(verification, "failed", message)
            found = Diagnostic(codes.REPORT, message, file=CERTIFICATE, help=HELP)
            return replace(failed, diagnostics=(*failed.diagnostics, found))
    return _with(verification, "re-derived", f"{_listed(names)} made again, byte for byte")


def _with(verification: Verification, basis: Basis, text: str) -> Verification:
    finding = Finding("reports", basis, text)
    return replace(verification, findings=(*verification.findings, finding))


def _listed(names: list[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)
