"""Stored bounds and statistics computed again from the files that they rest on: one pass each, and no search.

A claim whose evidence lies in the result is as good as that evidence, whoever wrote it; the rest of what was bounded
or measured is the word of the run. Bounds need torch, and nothing of the code that found them is asked.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from surgery_dsl.certificate.build import CERTIFICATE
from surgery_dsl.certificate.canonical import parse
from surgery_dsl.certificate.evidence import BoundEvidence, StatisticalEvidence
from surgery_dsl.certificate.finding import Log
from surgery_dsl.certificate.integrity import AGAIN
from surgery_dsl.certificate.model import Claim, Statement
from surgery_dsl.diagnostics.codes import certificates as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic

Recheck = Callable[[Path, Any], str]
"""Takes the result and a claim; returns why the evidence does not show it, or nothing."""
NAMES = {"bound": "bounds", "statistical": "statistics"}
LARGEST = 4 << 30
"""Bytes of one file of evidence beyond which it is not read."""


def check_evidence(folder: Path, statement: Statement, log: Log, origin: Path | None = None) -> None:
    """Check what bounds and statistics rest on, and say what is left to trust.

    Args:
        folder: The result.
        statement: Its statement.
        log: Hears what is found.
        origin: Where the plan's own files lie, if they are at hand: the weights of the base, and data.
    """
    claims = statement.predicate.claims
    every = (*claims.bounded, *claims.measured)
    for kind, name in NAMES.items():
        group = [claim for claim in every if _kind(claim) == kind]
        if group:
            _check(folder, group, name, statement, log, origin)
    bare = [claim for claim in claims.bounded if not _kind(claim)]
    if bare:
        log.trusted("bounds", f"{_several(len(bare), 'bound')} without stored evidence")
    word = [claim for claim in claims.measured if not _kind(claim)]
    if word:
        log.trusted("measured", f"{_several(len(word), 'claim')} measured by the run; `--reproduce` measures again")
    if claims.assumed:
        log.trusted("assumed", f"{_several(len(claims.assumed), 'assumption')}: {_kinds(claims.assumed)}")


def _check(folder: Path, group: list[Claim], name: str, statement: Statement, log: Log, origin: Path | None) -> None:
    kind = _kind(group[0])
    try:
        recheck = _recheck(kind)
    except ModuleNotFoundError as error:
        log.trusted(name, f"{_several(len(group), 'claim')} not re-checked: `{error.name}` is not installed")
        return
    for claim in group:
        why = _strange(folder, claim, statement) or _apart(claim, group, statement) or _why(recheck, folder, claim)
        if why:
            message = f"`{claim.statement}`: {why}"
            facts = {"line": claim.line}
            log.broke(name, Diagnostic(codes.EVIDENCE, message, file=CERTIFICATE, facts=facts, help=AGAIN))
    if kind == "bound" and not log.has_failed("proofs"):
        _tie(folder, group, statement, log, origin)
    if not log.has_failed(name):
        log.rederived(name, f"{_several(len(group), 'claim')} computed again from stored evidence: {_kinds(group)}")
        if kind in _TRUSTED:
            log.trusted(name, _TRUSTED[kind])


def _tie(folder: Path, group: list[Claim], statement: Statement, log: Log, origin: Path | None) -> None:
    """Say of each bound which networks and which region it was found to be about."""
    if log.has_failed("bounds"):
        return
    from surgery_dsl.certificate.linking import Linking, Tied, told

    linking = Linking(folder, statement, origin)
    for claim in group:
        try:
            tied = linking.tie(claim)
        except Exception as error:  # noqa: BLE001 - as in _why
            tied = Tied(f"its evidence cannot be read: {type(error).__name__}: {str(error)[:200]}")
        if tied.why:
            message, facts = f"`{claim.statement}`: {tied.why}", {"line": claim.line}
            log.broke("bounds", Diagnostic(codes.EVIDENCE, message, file=CERTIFICATE, facts=facts, help=AGAIN))
            continue
        for basis, text in told(claim, tied):
            (log.rederived if basis == "re-derived" else log.trusted)("bounds", text)


def _recheck(kind: str) -> Recheck:
    """Return what computes claims of a kind again; it needs torch, which whoever verifies may not have."""
    if kind == "bound":
        from surgery_dsl.evidence.bounds.recheck import recheck as of_change
        from surgery_dsl.evidence.silence_files import recheck as of_silence

        return lambda folder, claim: (of_change if claim.verb == "certify" else of_silence)(folder, claim)
    from surgery_dsl.evidence.statistics.recheck import recheck as of_statistics

    return of_statistics


_TRUSTED = {
    "statistical": "that the stored losses are those of the networks, and the sample is what it is said to be",
}


def _why(recheck: Recheck, folder: Path, claim: Claim) -> str:
    try:
        return recheck(folder, claim)
    except Exception as error:  # noqa: BLE001 - evidence is what a stranger wrote: whatever reading it raises is told
        return f"its evidence cannot be read: {type(error).__name__}: {str(error)[:200]}"


def _strange(folder: Path, claim: Claim, statement: Statement) -> str:
    """Return why files that a claim names are not read: they may lie in the result alone."""
    certified = {subject.name for subject in statement.subject}
    for name in _files(claim):
        if name not in certified:
            return f"its evidence `{name}` is not a file of the result"
        if (folder / name).stat().st_size > LARGEST:
            return f"`{name}` has more than {LARGEST} bytes"
        if name.endswith(".json"):
            try:
                parse((folder / name).read_bytes())
            except ValueError as error:
                return f"`{name}` is not JSON: {error}"
    return ""


def _apart(claim: Claim, group: list[Claim], statement: Statement) -> str:
    """Return what a statistic says otherwise than the certificate around it: its data, and who shares its risk."""
    evidence = claim.evidence
    if not isinstance(evidence, StatisticalEvidence):
        return ""
    data = {(entry.name, entry.digest.sha256) for entry in statement.predicate.inputs if entry.role == "data"}
    if (evidence.data, evidence.data_digest) not in data:
        return f"its examples are not those of `{evidence.data}` that the run read"
    if evidence.joint < len(group):
        return f"{len(group)} claims share a risk that is divided among {evidence.joint}"
    return ""


def _files(claim: Claim) -> tuple[str, ...]:
    evidence = claim.evidence
    if isinstance(evidence, BoundEvidence):
        names = (evidence.record, evidence.tensors, *evidence.digests)
    elif isinstance(evidence, StatisticalEvidence):
        names = (evidence.file,)
    else:
        names = ()
    return tuple(name for name in names if name)


def _kind(claim: Claim) -> str:
    return "" if claim.evidence is None else claim.evidence.kind


def _kinds(claims: Iterable[Claim]) -> str:
    return ", ".join(dict.fromkeys(claim.kind for claim in claims))


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"
