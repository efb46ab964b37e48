"""``check --cross-check``: every verdict of the tiers below z3, once more, by z3, from the question alone.

None of the tiers' code is used: sizes are asked as negated claims, budgets as linear arithmetic over products of sizes,
bounds under global rankings by their certificates, counterexamples by evaluation. Where z3 says otherwise, the program
contradicts itself, which is an error of its own (SD907). Where z3 gives up, that is said, and never taken for a yes.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

from surgery_dsl.diagnostics.codes import defects
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.interface.expression import symbols
from surgery_dsl.proof.questions import Answer, BudgetQuestion, SizeQuestion
from surgery_dsl.proof.smt.messages import budget_out, certificate_out, sizes_out
from surgery_dsl.proof.smt.process import Limits, Message, Replies, ask
from surgery_dsl.proof.transcript import Entry, Transcript

LIMITS = Limits(rlimit=50_000_000, cpu_seconds=600, wall_seconds=3600.0)
"""Ten times what a check may use for one question: who asks for this has time."""


@dataclass(frozen=True, slots=True)
class CrossChecked:
    """What z3 said to the verdicts of the other tiers.

    Attributes:
        verdicts: How many verdicts were looked at.
        agree: To how many z3 says the same.
        gave_up: (claim, reason) of each that z3 left open.
        disagreements: One finding for each that z3 denies.
        version: Version of z3; empty where nothing was asked.
    """

    verdicts: int
    agree: int
    gave_up: tuple[tuple[str, str], ...]
    disagreements: tuple[Diagnostic, ...]
    version: str

    @property
    def summary(self) -> str:
        """The counts in one line."""
        solver = f" (z3 {self.version})" if self.version else ""
        return (
            f"cross-check: {self.verdicts} verdict{'s' * (self.verdicts != 1)}, {self.agree} agree{solver}, "
            f"{len(self.gave_up)} gave up, {len(self.disagreements)} disagree"
        )


@dataclass(frozen=True, slots=True)
class _Asked:
    """A job, and what z3 answers if the verdict is right: ``unsat`` or ``sat``."""

    message: Message
    expected: str


def cross_check(transcript: Transcript, file: str = "", limits: Limits = LIMITS) -> CrossChecked:
    """Replay verdicts through z3 in a child process; equal jobs are done once."""
    entries = [entry for entry in transcript.entries if entry.answer.tier != "z3" and _claims(entry)]
    asked = [list(_jobs(entry)) for entry in entries]
    keys = [[json.dumps(job.message) for job in jobs] for jobs in asked]
    unique = {
        key: job.message for jobs, names in zip(asked, keys, strict=True) for key, job in zip(names, jobs, strict=True)
    }
    replies = ask(list(unique.values()), limits) if unique else Replies([])
    said = dict(zip(unique, replies.messages, strict=True))
    agree = 0
    gave_up: list[tuple[str, str]] = []
    found: list[Diagnostic] = []
    for entry, jobs, names in zip(entries, asked, keys, strict=True):
        wrong = _unfounded(entry)
        denied = [(job, said[key]) for job, key in zip(jobs, names, strict=True) if _denies(job, said[key])]
        open_ = [said[key] for key in names if said[key]["status"] not in ("sat", "unsat")]
        if wrong or denied:
            found.append(_differs(entry, wrong or _denial(*denied[0]), file))
        elif open_:
            gave_up.append((entry.claim, open_[0].get("reason") or "z3 does not say why"))
        else:
            agree += 1
    return CrossChecked(len(entries), agree, tuple(gave_up), tuple(found), replies.version)


def _denies(job: _Asked, reply: Message) -> bool:
    return reply["status"] in ("sat", "unsat") and reply["status"] != job.expected


def _claims(entry: Entry) -> bool:
    """Whether an answer claims something: an undecided one claims its interval, if it has one."""
    answer = entry.answer
    return entry.vacuous or answer.status != "undecided" or answer.bound is not None or answer.least is not None


# ---- jobs --------------------------------------------------------------------------------------------------------


def _jobs(entry: Entry) -> Iterator[_Asked]:
    if isinstance(entry.question, SizeQuestion):
        yield _sizes(entry.question, entry.answer)
    elif entry.vacuous:
        yield _Asked({"kind": "outcomes", "question": budget_out(entry.question)}, "unsat")
    else:
        yield from _budget(entry.question, entry.answer)


def _sizes(question: SizeQuestion, answer: Answer) -> _Asked:
    used = symbols(question.left) | symbols(question.right)
    question = replace(question, ranges=tuple(ends for ends in question.ranges if ends[0] in used))
    asked: Message = {"kind": "sizes", "hints": False, "question": sizes_out(question)}
    if answer.status == "proved":
        return _Asked(asked, "unsat")
    if question.ranges and not answer.witness:
        return _Asked(asked, "sat")
    return _Asked({**asked, "kind": "size witness", "witness": dict(answer.witness)}, "sat")


def _budget(question: BudgetQuestion, answer: Answer) -> Iterator[_Asked]:
    asked: Message = {"question": budget_out(question)}
    if answer.status != "refuted":
        yield from _bound(question, answer, asked)
    if answer.status == "refuted" or (answer.status == "undecided" and answer.least is not None):
        least = None if answer.least is None else str(answer.least)
        breaks = answer.status == "refuted"
        witness = {**asked, "kind": "outcome", "witness": dict(answer.witness), "least": least, "breaks": breaks}
        yield _Asked(witness, "sat")


def _bound(question: BudgetQuestion, answer: Answer, asked: Message) -> Iterator[_Asked]:
    """Yield what shows that no outcome goes below a bound: the certificate, or the whole question."""
    if answer.certificate is not None:
        yield _Asked({**asked, "kind": "certificate", "certificate": certificate_out(answer.certificate)}, "unsat")
        return
    if question.relation == "==":
        sides = (question.slack, question.slack.scale(Fraction(-1))) if answer.status == "proved" else ()
        for side in sides:
            turned = budget_out(replace(question, slack=side, reached=side, relation=">="))
            yield _Asked({"kind": "budget", "question": turned, "claims": [["0", False]]}, "unsat")
        return
    claims = [[str(answer.bound), False]] if answer.bound is not None else []
    if answer.status == "proved":
        claims.append(["0", question.relation == ">"])
    if claims:
        yield _Asked({**asked, "kind": "budget", "claims": claims}, "unsat")


# ---- findings ----------------------------------------------------------------------------------------------------


def _unfounded(entry: Entry) -> str:
    """Say why a verdict does not follow from the numbers it rests on; empty where it does."""
    question, answer = entry.question, entry.answer
    if isinstance(question, SizeQuestion) or answer.status == "refuted" or entry.vacuous:
        return ""
    bound = answer.bound if answer.certificate is None else answer.certificate.bound
    if answer.status == "proved" and bound is not None and question.relation != "==" and question.breaks(bound):
        return f"a slack of {bound} breaks it"
    if answer.certificate is not None and answer.bound is not None and answer.bound > answer.certificate.bound:
        return f"the certificate shows {answer.certificate.bound}, not {answer.bound}"
    return ""


def _denial(job: _Asked, reply: Message) -> str:
    witness = reply.get("witness")
    if witness:
        return "it fails at " + ", ".join(f"{name} = {value}" for name, value in witness.items())
    if job.expected == "sat":
        return reply.get("reason") or "its counterexample is none"
    return reply.get("reason") or "there are outcomes that break it"


def _differs(entry: Entry, why: str, file: str) -> Diagnostic:
    answer = entry.answer
    status = "vacuous" if entry.vacuous else answer.status
    return Diagnostic(
        defects.CROSS_CHECK,
        f"`{entry.claim}` is {status} by tier `{answer.tier}`, and z3 denies it: {why}",
        file=file,
        span=entry.span,
        facts={"tier": answer.tier, "tier_says": status, "z3_says": why},
        help="this is a defect of surgery-dsl, not of your plan; please report it with the plan and its lock",
    )
