"""The result of a verification as a statement of its own, for those who trust whoever verified.

It follows the idea of SLSA's verification summary (slsa.dev/spec/v1.0/verification_summary): who verified what, against
which policy, and what came of it; with what was found again and what was taken on trust, line by line. It holds no time
and no place, so that the same verification always gives the same bytes.
"""

from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from surgery_dsl.certificate.build import CERTIFICATE, replace_file
from surgery_dsl.certificate.canonical import canonical
from surgery_dsl.certificate.envelope import sealed
from surgery_dsl.certificate.finding import Basis, Verification
from surgery_dsl.certificate.model import STATEMENT_TYPE, Digest, Subject
from surgery_dsl.certificate.signing import read_signing_key
from surgery_dsl.interface.model import Data

VERIFICATION_TYPE: Final = "urn:surgery-dsl:verification:1"


class Policy(Data):
    """What the verification asked for."""

    signature: Literal["of a given key", "not asked for"]
    reproduce: bool


class Check(Data):
    """One line of the verification."""

    check: str
    basis: Basis
    text: str


class VerificationResult(Data):
    """What was verified, by which rules, and what came of it.

    ``key`` is the id of the caller's key by which the certificate's signature held; empty where none was checked.
    ``certified`` is the verdict that the certificate gives.
    """

    format: Literal["1"] = "1"
    verifier: str
    policy: Policy
    result: Literal["passed", "failed"]
    key: str = Field(default="", pattern="^([0-9a-f]{64})?$")
    certified: Literal["accepted", "refused", ""] = ""
    rederived: tuple[str, ...]
    trusted: tuple[str, ...]
    checks: tuple[Check, ...]


class VerificationStatement(Data):
    """The statement about the files of a result and about their certificate."""

    type: Literal["https://in-toto.io/Statement/v1"] = Field(default=STATEMENT_TYPE, alias="_type")
    subject: tuple[Subject, ...]
    predicateType: Literal["urn:surgery-dsl:verification:1"] = VERIFICATION_TYPE
    predicate: VerificationResult


def attested(verification: Verification, reproduced: bool = False, required: bool = False) -> VerificationStatement:
    """Return a verification as a statement.

    Args:
        verification: What was found.
        reproduced: Whether numbers were measured again.
        required: Whether a signature was asked for, with or without a key to check it by.
    """
    statement = verification.statement
    subjects = statement.subject if statement is not None and verification.held else ()
    if verification.certificate:
        subjects = (Subject(name=CERTIFICATE, digest=Digest(sha256=verification.certificate)), *subjects)
    checks = tuple(Check(check=found.check, basis=found.basis, text=found.text) for found in verification.findings)
    return VerificationStatement(
        subject=subjects,
        predicate=VerificationResult(
            verifier=f"surgery-dsl {version('surgery-dsl')}",
            policy=Policy(
                signature="of a given key" if required or verification.key_id else "not asked for",
                reproduce=reproduced,
            ),
            result="passed" if verification.held else "failed",
            key=verification.key_id,
            certified="" if statement is None else statement.predicate.verdict,
            rederived=_names(checks, "re-derived"),
            trusted=_names(checks, "trusted"),
            checks=checks,
        ),
    )


def write_attestation(path: Path, statement: VerificationStatement, key_file: str = "") -> None:
    """Write a verification in an envelope, signed where a private key is given.

    Raises:
        Refused: The key cannot be used.
        OSError: The file cannot be written.
    """
    keys = (read_signing_key(Path(key_file)),) if key_file else ()
    replace_file(path, sealed(canonical(statement.model_dump(mode="json", by_alias=True)), keys))


def _names(checks: tuple[Check, ...], basis: Basis) -> tuple[str, ...]:
    return tuple(dict.fromkeys(check.check for check in checks if check.basis == basis))
