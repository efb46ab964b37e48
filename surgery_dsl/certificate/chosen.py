"""The search that a result speaks of, held against its plan, its lock and the evidence of its lines."""

from pathlib import Path

from surgery_dsl.certificate.build import CERTIFICATE
from surgery_dsl.certificate.evidence import StatisticalEvidence
from surgery_dsl.certificate.finding import Log
from surgery_dsl.certificate.integrity import AGAIN, LOCK
from surgery_dsl.certificate.model import Statement
from surgery_dsl.certificate.reproof import plan_of
from surgery_dsl.certificate.searched import differences, read_record
from surgery_dsl.diagnostics.codes import certificates as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.staleness import read_lock
from surgery_dsl.language.plan import Plan
from surgery_dsl.proof.searching import search_of


def check_search(folder: Path, statement: Statement, log: Log) -> None:
    """Say what of a search follows from the files, and what is the word of whoever searched."""
    if log.has_failed("proofs"):  # then plan or lock may not even read
        return
    plan, lock = plan_of(folder, statement), read_lock(folder / LOCK)
    search, record = search_of(plan), statement.predicate.search
    if search is None and record is None:
        return
    more: tuple[Diagnostic, ...] = ()
    why = _unlike(folder, plan, statement)
    if not why and record is not None:
        more = differences(plan, lock, folder)
        why = more[0].message if more else ""
    if why:
        message = f"what the certificate says of the search does not stand: {why}"
        log.broke("search", Diagnostic(codes.EVIDENCE, message, file=CERTIFICATE, help=AGAIN), *more)
    elif record is not None and search is not None:
        count = len(record.order)
        text = f"`{record.param}` = {record.found} follows from the record of {count} candidates by {search.by.says}"
        log.rederived("search", text)
        log.trusted("search", "what other candidates measured, and that their order was fixed before the data was seen")


def _unlike(folder: Path, plan: Plan, statement: Statement) -> str:
    """Return what plan, certificate and files say otherwise of the search."""
    search, record = search_of(plan), statement.predicate.search
    if search is None or record is None:
        return "plan and certificate do not agree on whether there was one"
    if not search.record:
        return f"`{search.name}` of the plan was never made"
    try:
        if read_record(folder / search.record) != record:
            return f"`{search.record}` is not what the certificate says"
    except Refused as refused:
        return refused.diagnostics[0].message
    items = {
        (claim.step, claim.statement): claim.evidence.items
        for claim in statement.predicate.claims.measured
        if isinstance(claim.evidence, StatisticalEvidence)
    }
    chosen = next((one for one in record.candidates if one.value == record.found), None)
    said = {} if chosen is None else {(line.block, line.text): line.items for line in chosen.lines}
    return "" if said == items else "its lines rest on other values than the certified claims"
