"""Checks a result directory as a stranger would, and says of each line what was found again and what is trusted.

The order is that of trust: the form of the file, the caller's key, the schema, the files, the proofs, the evidence.
Nothing holds because the certificate says so, no code of the user runs, and nothing of the executor is imported.
"""

from pathlib import Path

from surgery_dsl.certificate.chosen import check_search
from surgery_dsl.certificate.finding import Finding as Finding
from surgery_dsl.certificate.finding import Log, Verification
from surgery_dsl.certificate.integrity import check_digests, check_signature, check_statement, read_envelope
from surgery_dsl.certificate.model import Statement
from surgery_dsl.certificate.recheck import check_evidence
from surgery_dsl.certificate.reproof import check_verdict, prove_again
from surgery_dsl.certificate.signing import read_public_key
from surgery_dsl.diagnostics.codes import certificates as codes
from surgery_dsl.diagnostics.diagnostic import Refused

CHECKS = {codes.UNREADABLE: "certificate", codes.NO_SIGNATURE: "signature"}


def verify(
    folder: Path | str, key: Path | str | None = None, require_signature: bool = False, origin: Path | None = None
) -> Verification:
    """Check a directory that ``apply`` wrote; never raises for what the directory holds.

    Args:
        folder: The result.
        key: Public key by which the certificate must be signed.
        require_signature: Whether a certificate fails that no given key signed.
        origin: Where the plan's own files lie, if they are at hand: what the run began with, and its data.

    Raises:
        Refused: The key cannot be used.
    """
    folder = Path(folder)
    public = None if key is None else read_public_key(Path(key))
    log = Log()
    statement: Statement | None = None
    try:
        envelope, body = read_envelope(folder, log)
        check_signature(envelope, body, public, require_signature, log)
        statement = check_statement(body, log)
        intact = check_digests(folder, statement, log)
    except Refused as refused:
        log.broke(CHECKS.get(refused.diagnostics[0].code, "schema"), *refused.diagnostics)
        return log.end(statement)
    if intact:
        prove_again(folder, statement, log)
        check_evidence(folder, statement, log, origin)
        check_search(folder, statement, log)
        check_verdict(statement, log)
    return log.end(statement)
