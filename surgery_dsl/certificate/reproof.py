"""Every static claim proved again from the plan and the lock in the result, and held against what is stored."""

from fractions import Fraction
from pathlib import Path

from surgery_dsl.certificate.asked import unlike
from surgery_dsl.certificate.build import CERTIFICATE
from surgery_dsl.certificate.finding import Log
from surgery_dsl.certificate.grades import misgraded
from surgery_dsl.certificate.integrity import AGAIN, LOCK, PLAN
from surgery_dsl.certificate.model import Claim, Claims, Statement
from surgery_dsl.certificate.numbers import number
from surgery_dsl.certificate.outcome import check_outcome
from surgery_dsl.diagnostics.code import Severity
from surgery_dsl.diagnostics.codes import budgets
from surgery_dsl.diagnostics.codes import certificates as codes
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Refused
from surgery_dsl.interface.lock import Lock
from surgery_dsl.interface.staleness import declared_data, declared_model, read_lock
from surgery_dsl.language.file import read_text
from surgery_dsl.language.params import value_text
from surgery_dsl.language.plan import Control, Obligation, Plan
from surgery_dsl.language.read import read_plan
from surgery_dsl.proof.check import check
from surgery_dsl.proof.verdict import Verdict

_Key = tuple[str, str, str]


def prove_again(folder: Path, statement: Statement, log: Log) -> None:
    """Prove every static obligation again, compare the numbers, and look for what is claimed and was not asked."""
    try:
        plan, lock = plan_of(folder, statement), read_lock(folder / LOCK)
    except Refused as refused:
        log.broke("proofs", _unproved("the certified plan or its lock does not read"), *refused.diagnostics)
        return
    _inputs(statement, plan, lock, log)
    report = check(plan, lock)
    again: dict[_Key, list[Verdict]] = {}
    for verdict in report.verdicts:
        again.setdefault((verdict.verb, verdict.block, verdict.text), []).append(verdict)
    claims = statement.predicate.claims
    for claim in claims.proved:
        _again(claim, again.get(_key(claim), []), log)
    _refuse_refused(report.diagnostics, log)
    if not log.has_failed("proofs"):
        log.rederived("proofs", f"{len(claims.proved)} static claims proved again from plan and lock")
        log.trusted("proofs", "that the lock describes the network: it was made by tracing it")
        _scope(again, claims, log)
        _lines(plan, lock, claims, log)
        check_outcome(folder, plan, lock, statement, log)


def _refuse_refused(found: tuple[Diagnostic, ...], log: Log) -> None:
    """Nobody could apply a plan that `check` refuses, but for claims that were left to the outcome."""
    errors = [one for one in found if one.severity is Severity.ERROR and one.code is not budgets.UNDECIDED]
    if errors and not log.has_failed("proofs"):
        log.broke("proofs", _unproved(f"`check` refuses the certified plan: {errors[0].message}"))


def plan_of(folder: Path, statement: Statement) -> Plan:
    """Return the plan in a result, with the values of its params that were in force; raise :class:`Refused`."""
    text, found = read_text(folder / PLAN)
    if found:
        raise Refused(*found)
    plan, more = read_plan(text, PLAN, {entry.name: entry.value for entry in statement.predicate.parameters})
    if plan is None:
        raise Refused(*more)
    return plan


def _inputs(statement: Statement, plan: Plan, lock: Lock, log: Log) -> None:
    """Compare what is said to have been read with what plan and lock in the result say."""
    said: dict[str, set[tuple[str, str]]] = {}
    for entry in statement.predicate.inputs:
        said.setdefault(entry.role, set()).add((entry.name, entry.digest.sha256))
    wanted = {
        "plan": {(statement.predicate.plan, plan.digest)},
        "data": {(facts.name, facts.digest) for facts in lock.data},
        "source": {(Path(source.path).name, source.sha256) for model in lock.models for source in model.sources},
    }
    why = _otherwise(statement, plan, lock)
    for role, entries in wanted.items():
        if said.get(role, set()) != entries:
            why = why or f"what the certificate says was read as {role} is not what the lock in the result says"
    if why:
        log.broke("inputs", Diagnostic(codes.INPUTS, why, file=CERTIFICATE, help=AGAIN))
        return
    counts = f"{len(wanted['data'])} of data, {len(wanted['source'])} of sources"
    log.rederived("inputs", f"digests of the plan ({plan.digest[:16]}…), {counts}: those of plan and lock")
    if said.get("weights"):
        log.trusted("inputs", "digests of the weights that were read, which are not in the result")


def _otherwise(statement: Statement, plan: Plan, lock: Lock) -> str:
    """Return what the plan declares otherwise than the lock, or the certificate otherwise than the plan."""
    models, data = {one.name: one for one in lock.models}, {one.name: one for one in lock.data}
    for model in plan.models:
        if model.name not in models or models[model.name].declared != declared_model(model):
            return f"the plan in the result declares the model `{model.name}` otherwise than the lock"
    for block in plan.data:
        if block.name not in data or data[block.name].declared != declared_data(block):
            return f"the plan in the result loads `{block.name}` otherwise than the lock"
    said = [(one.name, one.value, one.default) for one in statement.predicate.parameters]
    if said != [(param.name, value_text(param.value), value_text(param.default)) for param in plan.params]:
        return "the params that the certificate names are not those of the plan"
    return ""


def _key(claim: Claim) -> _Key:
    return claim.verb, claim.step, claim.statement


def _again(claim: Claim, verdicts: list[Verdict], log: Log) -> None:
    proved = [verdict for verdict in verdicts if verdict.status == "proved"]
    stored = (claim.kind, claim.line, claim.method, claim.value, claim.limit, claim.margin, claim.note)
    if not proved:
        found = verdicts[0].status if verdicts else "no such obligation in the plan"
        log.broke("proofs", _unproved(f"`{claim.statement}` is certified as proved but now is: {found}", claim))
    elif all(stored != _stored(verdict) for verdict in proved):
        one = proved[0]
        if (claim.value, claim.limit, claim.margin) == (one.value, one.limit, one.margin):
            message = f"`{claim.statement}` is certified as {stored}, and proves as {_stored(one)}"
        else:
            message = f"`{claim.statement}` is certified with {claim.value or 'no value'} against "
            message += (
                f"{claim.limit or 'none'}, and proves with {one.value or 'no value'} against {one.limit or 'none'}"
            )
        log.broke("proofs", _unproved(message, claim))


def _stored(verdict: Verdict) -> tuple[str, int | None, str, str, str, str, str]:
    """Return what a claim stores of a verdict."""
    method = verdict.tier or "static"
    return verdict.kind, verdict.line, method, verdict.value, verdict.limit, verdict.margin, verdict.reason


def _unproved(message: str, claim: Claim | None = None) -> Diagnostic:
    facts = {"line": claim.line} if claim is not None else {}
    return Diagnostic(codes.NOT_PROVED_AGAIN, message, file=PLAN, facts=facts, help=AGAIN)


def _scope(again: dict[_Key, list[Verdict]], claims: Claims, log: Log) -> None:
    """Neither may a line of the plan be left out, nor one be claimed that it does not have."""
    made = {_key(claim): claim for group in (claims.proved, claims.bounded, claims.measured) for claim in group}
    for key in again.keys() - made:
        _contradiction(log, f"the plan asks for `{key[0]} {key[2]}`, and the certificate says nothing of it")
    for key in made.keys() - again.keys():
        if key[0] != "always":
            _contradiction(log, f"the certificate speaks of `{key[0]} {key[2]}`, which the plan does not ask for")
    for key in made.keys() & again.keys():
        claim, (verdict, *_) = made[key], again[key]
        if claim.status != "proved" and (claim.line, claim.kind) != (verdict.line, verdict.kind):
            _contradiction(log, f"`{claim.statement}` is not what line {claim.line} of the plan asks for")
        elif claim.status != "proved" and not verdict.waits and verdict.status != "undecided":
            _contradiction(log, f"`{claim.statement}` is certified as {claim.status}, and is {verdict.status}")
        elif verdict.status == "vacuous":
            log.rederived("proofs", f"`{claim.statement}` says nothing: {verdict.reason}")


def _lines(plan: Plan, lock: Lock, claims: Claims, log: Log) -> None:
    """What a line of the plan asks for is what its claim answers."""
    asked: dict[_Key, Obligation] = {
        (one.verb, step.name, one.text): one
        for step in plan.steps
        if isinstance(step, Control)
        for one in step.obligations
    }
    for claim in (*claims.bounded, *claims.measured):
        why = unlike(claim, asked[_key(claim)], plan, lock) if _key(claim) in asked else ""
        if why:
            _contradiction(log, f"`{claim.statement}`: {why}")


def check_verdict(statement: Statement, log: Log) -> None:
    """Hold the verdict against the claims, and the numbers of each claim against one another."""
    if log.has_failed("verdict"):
        return
    verdict, claims = statement.predicate.verdict, statement.predicate.claims
    every = [*claims.proved, *claims.bounded, *claims.measured]
    bad = [claim for claim in every if claim.status not in ("proved", "passed")]
    odd = [claim for claim in every if not numbers_agree(claim)]
    graded = next(misgraded(claims), "")
    if verdict == "accepted" and bad:
        _contradiction(log, f"the verdict is `accepted`, but `{bad[0].statement}` is {bad[0].status}")
    elif verdict != "accepted" and not bad:
        _contradiction(log, f"the verdict is `{verdict}`, and every claim holds")
    elif odd:
        one = odd[0]
        _contradiction(log, f"`{one.statement}`: {one.value} against {one.limit} leaves no margin of {one.margin}")
    elif graded:
        _contradiction(log, graded)
    else:
        log.rederived("verdict", f"{verdict}: it follows from the {len(every)} claims")


def _contradiction(log: Log, message: str) -> None:
    log.broke("verdict", Diagnostic(codes.VERDICT, message, file=CERTIFICATE, help=AGAIN))


def numbers_agree(claim: Claim) -> bool:
    """Whether the margin is the distance from value to limit, with the sign of the status; text is not judged."""
    value, limit, margin = (number(text) for text in (claim.value, claim.limit, claim.margin))
    if value is None or limit is None or margin is None:
        return True
    slack = Fraction(1, 10**9) * max(Fraction(1), abs(value), abs(limit))  # measured numbers are written with 17 digits
    return abs(abs(margin) - abs(value - limit)) <= slack and (margin >= 0 or claim.status not in ("proved", "passed"))
