"""Checks a result directory as a stranger would: schema, digests both ways, and the static proofs again.

Every check becomes one :class:`Finding`; nothing is trusted because the certificate says so. An unsigned certificate
shows integrity alone, and the report says that.
"""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from surgery_dsl.certificate.build import CERTIFICATE
from surgery_dsl.certificate.digest import sha256_of
from surgery_dsl.certificate.model import Claim, Statement
from surgery_dsl.diagnostics.codes import certificates as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.staleness import read_lock
from surgery_dsl.language.file import read_text
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.check import check
from surgery_dsl.proof.verdict import Verdict
from surgery_dsl.resources import read_resource

PLAN, LOCK = "plan.surg", "plan.surg.lock"
PROOF_FILES = (PLAN, LOCK)
"""Files that the static proofs are made from; a result has them whatever its certificate says."""
AGAIN = "do not rely on this result: apply the plan again"
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
        log.broke("schema", Diagnostic(codes.SCHEMA, f"`{place}`: {problem['msg']}", file=CERTIFICATE, help=AGAIN))
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
    log.broke("schema", Diagnostic(codes.SCHEMA, message, file=CERTIFICATE, notes=notes, help=AGAIN))
    return False


def _digests(folder: Path, statement: Statement, log: _Log) -> None:
    """Compare files with subjects both ways; the certificate itself is not among them."""
    claimed = {subject.name: subject.digest.sha256 for subject in statement.subject}
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    present = {name: path for name, path in files.items() if name != CERTIFICATE}
    for name in sorted(claimed.keys() | present.keys() | set(PROOF_FILES)):
        if name not in present:
            message = f"`{name}` is certified but missing" if name in claimed else f"`{name}` is missing"
            help_text = "restore the file, or apply the plan again"
            log.broke("digests", Diagnostic(codes.FILE_MISSING, message, file=name, help=help_text))
        elif name not in claimed:
            message = f"`{name}` is not part of the certificate"
            help_text = "keep files of your own outside of the result"
            log.broke("digests", Diagnostic(codes.FILE_EXTRA, message, file=name, help=help_text))
        elif (found := sha256_of(present[name])) != claimed[name]:
            facts = {"certified": claimed[name], "found": found}
            message = f"`{name}` was changed after it was certified"
            help_text = "restore the file, or apply the plan again"
            log.broke("digests", Diagnostic(codes.TAMPERED, message, file=name, facts=facts, help=help_text))
    if not log.diagnostics:
        log.held("digests", f"{len(claimed)} files, none missing, none extra, none changed")


def _proofs(folder: Path, statement: Statement, log: _Log) -> None:
    """Prove every static obligation again from the plan and the lock in the directory, and compare the numbers."""
    text, found = read_text(folder / PLAN)
    sets = {parameter.name: parameter.value for parameter in statement.predicate.parameters}
    plan, more = read_plan(text, PLAN, sets) if not found else (None, found)
    if plan is None:
        log.broke("proofs", _unproved("the certified plan does not read"))
        log.diagnostics.extend(more)
        return
    try:
        lock = read_lock(folder / LOCK)
    except Refused as refused:
        log.broke("proofs", _unproved("the certified lock does not read"))
        log.diagnostics.extend(refused.diagnostics)
        return
    again: dict[_Key, list[Verdict]] = {}
    for verdict in check(plan, lock).verdicts:
        again.setdefault((verdict.verb, verdict.block, verdict.text), []).append(verdict)
    claims = statement.predicate.claims
    for claim in claims.proved:
        _again(claim, again.get(_key(claim), []), log)
    if any(finding.check == "proofs" for finding in log.findings):
        return
    log.held("proofs", f"{len(claims.proved)} static claims proved again from plan and lock")
    made = {_key(claim) for group in (claims.proved, claims.bounded, claims.measured) for claim in group}
    for key in again.keys() - made:
        message = f"the plan asks for `{key[0]} {key[2]}`, and the certificate says nothing of it"
        log.broke("verdict", Diagnostic(codes.VERDICT, message, file=CERTIFICATE, help=AGAIN))


_Key = tuple[str, str, str]


def _key(claim: Claim) -> _Key:
    return claim.verb, claim.step, claim.statement


def _again(claim: Claim, verdicts: list[Verdict], log: _Log) -> None:
    proved = [verdict for verdict in verdicts if verdict.status == "proved"]
    numbers = (claim.value, claim.limit, claim.margin)
    if not proved:
        found = verdicts[0].status if verdicts else "no such obligation in the plan"
        log.broke("proofs", _unproved(f"`{claim.statement}` is certified as proved but now is: {found}", claim))
    elif all(numbers != (verdict.value, verdict.limit, verdict.margin) for verdict in proved):
        one = proved[0]
        message = f"`{claim.statement}` is certified with {claim.value or 'no value'} against {claim.limit or 'none'}"
        message += f", and proves with {one.value or 'no value'} against {one.limit or 'none'}"
        log.broke("proofs", _unproved(message, claim))


def _unproved(message: str, claim: Claim | None = None) -> Diagnostic:
    facts = {"line": claim.line} if claim is not None else {}
    return Diagnostic(codes.NOT_PROVED_AGAIN, message, file=PLAN, facts=facts, help=AGAIN)


def _verdict(statement: Statement, log: _Log) -> None:
    """The verdict must follow from the claims, and the numbers of a claim from one another."""
    if any(finding.check == "verdict" for finding in log.findings):
        return
    verdict, claims = statement.predicate.verdict, statement.predicate.claims
    every = [*claims.proved, *claims.bounded, *claims.measured]
    bad = [claim for claim in every if claim.status not in ("proved", "passed", "vacuous")]
    odd = [claim for claim in every if not _numbers_agree(claim)]
    message = ""
    if verdict == "accepted" and bad:
        message = f"the verdict is `accepted`, but `{bad[0].statement}` is {bad[0].status}"
    elif verdict != "accepted" and not bad:
        message = f"the verdict is `{verdict}`, and every claim holds"
    elif odd:
        message = f"`{odd[0].statement}`: {odd[0].value} against {odd[0].limit} leaves no margin of {odd[0].margin}"
    if message:
        log.broke("verdict", Diagnostic(codes.VERDICT, message, file=CERTIFICATE, help=AGAIN))
    else:
        log.held("verdict", verdict)


def _numbers_agree(claim: Claim) -> bool:
    """Whether the margin is the distance from value to limit, with the sign of the status; text is not judged."""
    try:
        value, limit, margin = (Fraction(text) for text in (claim.value, claim.limit, claim.margin))
    except (ValueError, ZeroDivisionError):
        return True
    slack = Fraction(1, 10**9) * max(Fraction(1), abs(value), abs(limit))  # measured numbers are written with 17 digits
    return abs(abs(margin) - abs(value - limit)) <= slack and (margin >= 0 or claim.status not in ("proved", "passed"))
