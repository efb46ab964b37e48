"""What a verification finds, one line a check, and on what each line rests."""

from dataclasses import dataclass
from typing import Literal, final

from surgery_dsl.certificate.model import Statement
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.plain import plain

Basis = Literal["re-derived", "trusted", "failed"]
"""``re-derived`` here, from the files; ``trusted``: taken from the certificate or the caller; ``failed``: neither."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its name, what it rests on, and what was compared or taken on trust."""

    check: str
    basis: Basis
    text: str

    @property
    def held(self) -> bool:
        """Whether nothing spoke against it."""
        return self.basis != "failed"


@dataclass(frozen=True, slots=True)
class Verification:
    """What came of a verification.

    Attributes:
        findings: All checks in order; those after one that makes them meaningless were not made.
        diagnostics: Of the checks that failed.
        statement: What is certified, where it could be read.
        key_id: The caller's key by which a signature held; empty where none was checked.
        certificate: SHA-256 of the certificate file; empty where there is none.
    """

    findings: tuple[Finding, ...]
    diagnostics: tuple[Diagnostic, ...]
    statement: Statement | None
    key_id: str = ""
    certificate: str = ""

    @property
    def held(self) -> bool:
        """Whether every check held."""
        return not self.diagnostics


@final
class Log:
    """Findings as they come, each one line: no text of a certificate can pass for a line of ours."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.diagnostics: list[Diagnostic] = []
        self.key_id = ""
        self.certificate = ""

    def rederived(self, check: str, text: str) -> None:
        """Note what was found again from the files alone."""
        self.findings.append(Finding(check, "re-derived", plain(text)))

    def trusted(self, check: str, text: str) -> None:
        """Note what was not found again, and whose word it is."""
        self.findings.append(Finding(check, "trusted", plain(text)))

    def broke(self, check: str, diagnostic: Diagnostic, *more: Diagnostic) -> None:
        """Note what does not hold."""
        self.findings.append(Finding(check, "failed", plain(diagnostic.message)))
        self.diagnostics += [diagnostic, *more]

    def has_failed(self, check: str) -> bool:
        """Whether a check of this name failed."""
        return any(finding.check == check and not finding.held for finding in self.findings)

    def end(self, statement: Statement | None) -> Verification:
        """Return all of it."""
        return Verification(tuple(self.findings), tuple(self.diagnostics), statement, self.key_id, self.certificate)
