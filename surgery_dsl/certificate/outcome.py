"""The plan followed once more with the counts that the run says it took, and held against what it wrote.

Proofs speak of every outcome; a result is one of them. Which one, the certificate says, and the files show it: the
weights have the names, sizes and dtypes that plan, lock and counts give, and the code that builds the network is the
code that the lock was made from. So neither other weights nor other counts stand beside a proof. No torch: the headers
of the weights are read, not their values.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import TypeAdapter

from surgery_dsl.certificate.build import CERTIFICATE
from surgery_dsl.certificate.canonical import parse
from surgery_dsl.certificate.finding import Log
from surgery_dsl.certificate.integrity import AGAIN
from surgery_dsl.certificate.model import Claim, Statement
from surgery_dsl.diagnostics.code import Code
from surgery_dsl.diagnostics.codes import certificates as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.lock import Lock
from surgery_dsl.interface.model import Interface
from surgery_dsl.interface.safetensors_header import read_header
from surgery_dsl.interface.shards import INDEX, WEIGHTS, weight_files
from surgery_dsl.language.plan import Comparison, Control, Identify, Plan
from surgery_dsl.proof.carried_out import carried_out
from surgery_dsl.proof.check import CheckReport
from surgery_dsl.proof.deciding import decide, numbers
from surgery_dsl.proof.readings import NotStatic
from surgery_dsl.vocabulary.kinds import ModelLoaderSlot
from surgery_dsl.vocabulary.models.result import Result

RECORD, BUFFERS, ORIGINAL = "surgery.json", "buffers.safetensors", "original"
CODE = (".py", ".pyc", ".pyd", ".pyi", ".so", ".dll", ".dylib", ".pth")
"""Endings of files that a program which loads the result may run."""


def check_outcome(folder: Path, plan: Plan, lock: Lock, statement: Statement, log: Log) -> None:
    """Hold the written network, and what was decided for the outcome alone, against plan, lock and recorded counts."""
    taken = {
        (record.step, record.stage): {pool.pool: pool.taken for pool in record.pools}
        for record in statement.predicate.selections
    }
    report = carried_out(plan, lock, taken)
    for claim in statement.predicate.claims.measured:
        why = _undecided(claim, report) if claim.verb == "prove" else ""
        if why:
            log.broke("proofs", _found(codes.NOT_PROVED_AGAIN, f"`{claim.statement}` {why}"))
    for step in _unshown(plan, statement):
        log.broke("verdict", _found(codes.VERDICT, f"nothing shows that the units which `{step}` took are dead"))
    miscounted = next(_miscounted(report, statement), "")
    if miscounted:
        log.broke("weights", _found(codes.WEIGHTS, miscounted))
    try:
        _weights(folder, report.states[-1].interface if report.states else report.start.interface, log)
        _code(folder, plan, lock, statement, log)
    except Refused as refused:
        log.broke("weights", _found(codes.WEIGHTS, refused.diagnostics[0].message), *refused.diagnostics)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.broke("weights", _found(codes.WEIGHTS, f"`{RECORD}` cannot be read: {type(error).__name__}: {error}"))


def _undecided(claim: Claim, report: CheckReport) -> str:
    """Return why a claim that was decided for the outcome does not hold for the counts that were taken."""
    for run, state in zip(report.runs, report.states, strict=True):
        if not isinstance(run.step, Control) or run.step.name != claim.step:
            continue
        line = next((one.statement for one in run.step.obligations if one.text == claim.statement), None)
        if not isinstance(line, Comparison):
            return "is no claim that an outcome decides"
        try:
            decided = decide(state, line)
        except NotStatic as reason:
            return f"is not decided by the counts: {reason}"
        if decided.answer.status != "proved":
            return f"is {decided.answer.status} for the counts that the certificate says were taken"
        said, again = (claim.value, claim.limit, claim.margin), numbers(decided, line)
        return "" if said == again else f"is certified with {said}, and the counts that were taken give {again}"
    return "stands in no block of the plan"


def _unshown(plan: Plan, statement: Statement) -> Iterator[str]:
    """Yield steps that take what is proved dead, where no claim shows that it is."""
    shown = {claim.step for claim in statement.predicate.claims.bounded if claim.kind == "silence"}
    taken = {record.step for record in statement.predicate.selections if any(pool.taken for pool in record.pools)}
    for step in plan.steps:
        proved = isinstance(step, Identify) and step.take is not None and step.take.silent_on() is not None
        if proved and step.name in taken - shown:
            yield step.name


def _miscounted(report: CheckReport, statement: Statement) -> Iterator[str]:
    """Yield what the certificate says was taken, and no run of the plan can take."""
    records = {(record.step, record.stage): record for record in statement.predicate.selections}
    for run, state in zip(report.runs, report.states, strict=True):
        if not isinstance(run.step, Identify) or run.step.name not in state.selections:
            continue
        selection, record = state.selections[run.step.name], records.pop((run.step.name, max(1, run.stage)), None)
        counts = {} if record is None else {pool.pool: pool for pool in record.pools}
        for pool, taken in zip(selection.pools, selection.taken, strict=True):
            said = counts.pop(pool.key, None)
            if said is None:
                yield f"the certificate does not say what `{run.step.name}` took of `{pool.key}`"
            elif (said.units, said.kept) != (pool.size, pool.size - said.taken) or taken.least != said.taken:
                yield f"`{run.step.name}` cannot have taken {said.taken} of {said.units} units of `{pool.key}`"
        if counts:
            yield f"`{run.step.name}` does not choose among `{next(iter(counts))}`"
    if records:
        yield f"the certificate says that `{next(iter(records))[0]}` took something, which the plan does not run"


# ---- the weights ---------------------------------------------------------------------------------------------------


def _weights(folder: Path, network: Interface, log: Log) -> None:
    files = [*weight_files(folder), *((folder / BUFFERS,) if (folder / BUFFERS).is_file() else ())]
    stored: dict[str, tuple[str, tuple[int, ...]]] = {}
    for file in files:
        for name, entry in read_header(file).tensors.items():
            if name in stored:
                raise ValueError(f"`{name}` stands in two files")
            stored[name] = entry.dtype, entry.shape
    found = list(_unlike(stored, network))
    for why in found[:3]:
        log.broke("weights", _found(codes.WEIGHTS, why))
    if not found:
        exact = f"{len(stored)} tensors have the names, sizes and dtypes that plan, lock and the counts taken give"
        log.rederived("weights", exact)
        log.trusted("weights", "their values")


def _unlike(stored: dict[str, tuple[str, tuple[int, ...]]], network: Interface) -> Iterator[str]:
    """Yield what keeps stored tensors from being those of a network; a tied tensor stands once, by any of its names."""
    groups: dict[str, list[str]] = {}
    for tensor in network.tensors:
        groups.setdefault(tensor.tied_to or tensor.name, []).append(tensor.name)
        if tensor.name not in stored:
            continue
        sizes = tuple(network.exact(dim) for dim in tensor.dims)
        dtype, shape = stored[tensor.name]
        same = len(sizes) == len(shape) and all(size in (None, own) for size, own in zip(sizes, shape, strict=True))
        if dtype != tensor.dtype or not same:
            yield (
                f"`{tensor.name}` is {dtype} {list(shape)} in the weights, and by plan, lock and the counts taken "
                f"{tensor.dtype} {list(sizes)}"
            )
    known = {tensor.name for tensor in network.tensors}
    yield from (
        f"the weights hold `{name}`, which the changed network does not have" for name in stored if name not in known
    )
    for names in groups.values():
        if not any(name in stored for name in names):
            yield f"the weights lack `{names[0]}`, which the changed network has"


# ---- the code ------------------------------------------------------------------------------------------------------


def _code(folder: Path, plan: Plan, lock: Lock, statement: Statement, log: Log) -> None:
    """Hold the record that a loader follows, and the code that it runs, against the plan, the lock and the files."""
    record: Any = parse((folder / RECORD).read_bytes())
    why = _other_files(record, statement)
    if not why and not isinstance(plan.patient.load, Result):  # the record of a result goes back to what began it
        why = _other_code(record, plan, lock, statement)
    if why:
        log.broke("inputs", _found(codes.INPUTS, why))


def _other_files(record: Any, statement: Statement) -> str:
    """Return what the record says otherwise than the certificate of the files that a loader reads."""
    certified = {subject.name: subject.digest.sha256 for subject in statement.subject}
    named = {entry["path"]: entry["sha256"] for part in ("sources", "shards", "buffers") for entry in record[part]}
    named[INDEX if record["shards"] else WEIGHTS] = record["weights"]
    for name, digest in named.items():
        if certified.get(name) != digest:
            return f"`{RECORD}` names another `{name}` than the certificate"
    if (INDEX in certified) != bool(record["shards"]) or (WEIGHTS in certified) == bool(record["shards"]):
        return f"`{RECORD}` does not name the weights that a loader finds first"
    return ""


def _other_code(record: Any, plan: Plan, lock: Lock, statement: Statement) -> str:
    """Return which code a loader would run that the lock was not made from."""
    locked = {source.sha256 for model in lock.models for source in model.sources}
    for subject in statement.subject:
        if PurePosixPath(subject.name).suffix.lower() in CODE and subject.digest.sha256 not in locked:
            return f"`{subject.name}` is code that the lock does not name"
    loader = TypeAdapter(ModelLoaderSlot).validate_python(record["loader"])
    load = plan.patient.load.replaced(span=None)
    if loader not in (load, load.moved(ORIGINAL)):
        return f"`{RECORD}` builds the network otherwise than the plan loads it"
    return ""


def _found(code: Code, message: str) -> Diagnostic:
    return Diagnostic(code, message, file=CERTIFICATE, help=AGAIN)
