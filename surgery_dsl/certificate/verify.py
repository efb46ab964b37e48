"""Checks a result directory as a stranger would: schema, digests both ways, and the static proofs again.

Every check becomes one :class:`Finding`; nothing is trusted because the certificate says so. An unsigned certificate
shows integrity alone, and the report says that.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from surgery_dsl.certificate.build import CERTIFICATE
from surgery_dsl.certificate.digest import sha256_of
from surgery_dsl.certificate.model import Claim, Statement
from surgery_dsl.diagnostics.codes import certificates as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.lock import Lock
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.check import check
from surgery_dsl.resources import read_resource

LARGEST = 64 << 20
"""Bytes of a certificate beyond which it is not read."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its name, whether it held, and what was compared."""

    check: str
    held: bool
    text: str


@dataclass(frozen=True, slots=True)
class Verification:
    """All checks in order, the diagnostics of those that failed, and the statement where it could be read."""

    findings: tuple[Finding, ...]
    diagnostics: tuple[Diagnostic, ...]
    statement: Statement | None

    @property
    def held(self) -> bool:
        """Whether every check held."""
        return not self.diagnostics


class _Log:
    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.diagnostics: list[Diagnostic] = []

    def held(self, check_name: str, text: str) -> None:
        self.findings.append(Finding(check_name, True, text))

    def broke(self, check_name: str, diagnostic: Diagnostic) -> None:
        self.findings.append(Finding(check_name, False, diagnostic.message))
        self.diagnostics.append(diagnostic)

    def end(self, statement: Statement | None) -> Verification:
        return Verification(tuple(self.findings), tuple(self.diagnostics), statement)


def verify(folder: Path) -> Verification:
    """Check a directory that ``apply`` wrote; never raises for what the directory holds."""
    log = _Log()
    document = _read(folder, log)
    if document is None or not _fits_schema(document, log):
        return log.end(None)
    try:
        statement = Statement.model_validate(document)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        log.broke("schema", Diagnostic(codes.SCHEMA, f"`{place}`: {problem['msg']}", file=CERTIFICATE))
        return log.end(None)
    _digests(folder, statement, log)
    if log.diagnostics:
        return log.end(statement)
    _proofs(folder, statement, log)
    _verdict(statement, log)
    log.held("signature", "none: digests show integrity, not who made the certificate")
    return log.end(statement)


def _read(folder: Path, log: _Log) -> dict[str, Any] | None:
    path = folder / CERTIFICATE

    def refuse(message: str, help_text: str) -> None:
        log.broke("certificate", Diagnostic(codes.UNREADABLE, message, file=CERTIFICATE, help=help_text))

    if not path.is_file():
        refuse(f"there is no `{CERTIFICATE}` in this directory", "name a directory that `surgery-dsl apply` wrote")
        return None
    if path.stat().st_size > LARGEST:
        refuse(f"the certificate has {path.stat().st_size} bytes; at most {LARGEST} are read", "it is not one of ours")
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        refuse(f"the certificate is not JSON: {error}", "restore the file, or apply the plan again")
        return None
    if not isinstance(document, dict):
        refuse("the certificate is not a JSON object", "restore the file, or apply the plan again")
        return None
    return document


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return result


def _fits_schema(document: dict[str, Any], log: _Log) -> bool:
    import jsonschema

    validator = jsonschema.Draft202012Validator(json.loads(read_resource("specs/certificate.schema.json")))
    errors = sorted(validator.iter_errors(document), key=lambda error: list(error.absolute_path))
    if not errors:
        log.held("schema", "certificate.schema.json, version 1")
        return True
    place = ".".join(str(part) for part in errors[0].absolute_path) or "the document"
    message = f"`{place}` does not fit the schema: {errors[0].message[:200]}"
    notes = (f"{len(errors)} places in all",) if len(errors) > 1 else ()
    log.broke("schema", Diagnostic(codes.SCHEMA, message, file=CERTIFICATE, notes=notes))
    return False


def _digests(folder: Path, statement: Statement, log: _Log) -> None:
    """Compare files with subjects both ways; the certificate itself is not among them."""
    claimed = {subject.name: subject.digest.sha256 for subject in statement.subject}
    present = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != CERTIFICATE
    }
    for name in sorted(claimed.keys() | present.keys()):
        if name not in present:
            log.broke("digests", Diagnostic(codes.FILE_MISSING, f"`{name}` is certified but missing", file=name))
        elif name not in claimed:
            log.broke("digests", Diagnostic(codes.FILE_EXTRA, f"`{name}` is not part of the certificate", file=name))
        elif (found := sha256_of(present[name])) != claimed[name]:
            facts = {"certified": claimed[name], "found": found}
            message = f"`{name}` was changed after it was certified"
            help_text = "restore the file, or apply the plan again"
            log.broke("digests", Diagnostic(codes.TAMPERED, message, file=name, facts=facts, help=help_text))
    if not log.diagnostics:
        log.held("digests", f"{len(claimed)} files, none missing, none extra, none changed")


def _proofs(folder: Path, statement: Statement, log: _Log) -> None:
    """Prove every static obligation again from the plan and the lock in the directory."""
    text = (folder / "plan.surg").read_text(encoding="utf-8")
    sets = {parameter.name: parameter.value for parameter in statement.predicate.parameters}
    plan, found = read_plan(text, "plan.surg", sets)
    if plan is None:
        log.broke("proofs", Diagnostic(codes.NOT_PROVED_AGAIN, "the certified plan does not read", file="plan.surg"))
        log.diagnostics.extend(found)
        return
    report = check(plan, Lock.model_validate_json((folder / "plan.surg.lock").read_bytes()))
    again = {(verdict.verb, verdict.block, verdict.text): verdict for verdict in report.verdicts}
    claims = statement.predicate.claims.proved
    for claim in claims:
        verdict = again.get((claim.verb, claim.step, claim.statement))
        if verdict is None or verdict.status != "proved":
            log.broke("proofs", _not_again(claim, verdict.status if verdict else "no such obligation in the plan"))
    if not any(finding.check == "proofs" for finding in log.findings):
        log.held("proofs", f"{len(claims)} static claims proved again from plan and lock")


def _not_again(claim: Claim, found: str) -> Diagnostic:
    message = f"`{claim.statement}` is certified as proved but now is: {found}"
    return Diagnostic(codes.NOT_PROVED_AGAIN, message, file="plan.surg", facts={"line": claim.line})


def _verdict(statement: Statement, log: _Log) -> None:
    """An accepted certificate may hold no claim that failed or stayed open."""
    bad = [
        claim
        for group in (statement.predicate.claims.proved, statement.predicate.claims.measured)
        for claim in group
        if claim.status not in ("proved", "passed", "vacuous")
    ]
    if statement.predicate.verdict == "accepted" and bad:
        message = f"the verdict is `accepted`, but `{bad[0].statement}` is {bad[0].status}"
        log.broke("verdict", Diagnostic(codes.VERDICT, message, file=CERTIFICATE))
    else:
        log.held("verdict", statement.predicate.verdict)
