"""Reads a result for its report: what is claimed, what was changed, and whether the files are those certified.

The check is the cheap one: form, schema, seal and digests. Nothing is proved again; ``verify`` does that.
"""

import math
import sys
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import final

from surgery_dsl.certificate.evidence import StatisticalEvidence
from surgery_dsl.certificate.finding import Log
from surgery_dsl.certificate.integrity import (
    LOCK,
    PLAN,
    check_digests,
    check_statement,
    read_envelope,
    read_statement,
)
from surgery_dsl.certificate.model import Predicate, Statement, Subject
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.safetensors_header import read_header
from surgery_dsl.interface.staleness import read_lock
from surgery_dsl.language.file import read_text
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.carried_out import carried_out
from surgery_dsl.proof.plan_changes import PlanChanges, plan_changes
from surgery_dsl.report.numbers import number_of

REPORTS = ("report.md", "report.html")
"""Files that are made from all others of a result."""
MOST_VALUES = 4_000_000
"""Numbers of one evidence file beyond which its plot is left out."""


@final
@dataclass(frozen=True)
class Result:
    """A result as it is reported.

    Attributes:
        folder: Where it lies.
        predicate: What its certificate says.
        subjects: Its files with their digests, the reports left out: they are made from the others.
        changes: What the plan changed, with the counts that were taken; ``None`` where that cannot be followed.
        unfollowed: Why not.
        findings: What is wrong with the files or the certificate.
    """

    folder: Path
    predicate: Predicate
    subjects: tuple[Subject, ...]
    changes: PlanChanges | None
    unfollowed: str = ""
    findings: tuple[Diagnostic, ...] = ()


def read_result(folder: Path) -> Result:
    """Read a directory that ``apply`` wrote, and compare its files with its certificate.

    Raises:
        Refused: There is no certificate, or none of ours.
    """
    log = Log()
    _, body = read_envelope(folder, log)
    try:
        statement = check_statement(body, log)
        check_digests(folder, statement, log)
    except Refused as refused:
        try:
            return result_of(folder, read_statement(folder), refused.diagnostics)
        except (OSError, ValueError):
            raise refused from None
    return result_of(folder, statement, tuple(log.diagnostics))


def result_of(folder: Path, statement: Statement, findings: tuple[Diagnostic, ...] = ()) -> Result:
    """Return what is reported of a result whose certificate is known."""
    subjects = tuple(subject for subject in statement.subject if subject.name not in REPORTS)
    changed = {found.file for found in findings} & {PLAN, LOCK}
    changes, why = (None, "plan and lock are not those certified") if changed else _changes(folder, statement.predicate)
    return Result(folder, statement.predicate, subjects, changes, why, findings)


def _changes(folder: Path, predicate: Predicate) -> tuple[PlanChanges | None, str]:
    text, found = read_text(folder / PLAN)
    sets = {parameter.name: parameter.value for parameter in predicate.parameters}
    plan, more = read_plan(text, PLAN, sets) if not found else (None, found)
    if plan is None:
        return None, f"`{PLAN}` does not read: {more[0].message}"
    try:
        lock = read_lock(folder / LOCK)
        taken = {
            (record.step, record.stage): {pool.pool: pool.taken for pool in record.pools}
            for record in predicate.selections
        }
        return plan_changes(plan, carried_out(plan, lock, taken), lock), ""
    except Refused as refused:
        return None, f"`{LOCK}` does not read: {refused.diagnostics[0].message}"
    except OSError as error:
        return None, f"`{LOCK}` does not read: {error.strerror or error}"
    except KeyError as error:
        return None, f"`{LOCK}` is not the lock of this plan: it lacks {error}"


def sampled(result: Result, evidence: StatisticalEvidence) -> list[float]:
    """Return what each example gave, Σ factor · quantity, from the evidence file; nothing where it cannot be read.

    Only a file that the statement names is opened, and what it holds is not trusted.
    """
    if evidence.file not in {subject.name for subject in result.subjects}:
        return []
    path = result.folder / evidence.file
    try:
        if path.is_symlink() or not path.is_file():
            return []
        header = read_header(path)
        entry = header.tensors.get("terms")
        count = len(evidence.terms)
        if entry is None or entry.dtype != "f64" or entry.shape != (count, evidence.count) or count == 0:
            return []
        if count * evidence.count > MOST_VALUES:
            return []
        values = array("d")
        with path.open("rb") as file:
            file.seek(header.start + entry.first)
            values.frombytes(file.read(8 * count * evidence.count))
    except (Refused, OSError):
        return []
    if sys.byteorder == "big":
        values.byteswap()
    return _added(values, [_factor(term.factor) for term in evidence.terms], evidence.count)


def _added(values: "array[float]", factors: list[float], count: int) -> list[float]:
    rows = [values[at * count : (at + 1) * count] for at in range(len(factors))]
    found = [math.fsum(factor * row[at] for factor, row in zip(factors, rows, strict=True)) for at in range(count)]
    return found if all(map(math.isfinite, found)) else []


def _factor(text: str) -> float:
    value = number_of(text)
    return math.nan if value is None else value
