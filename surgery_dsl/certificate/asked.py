"""What a line of the plan asks for, held against what its claim and the evidence behind it say.

Evidence shows what it shows; whether that is what the plan asked for is a question of its own. A bound for another
limit, a risk shared among fewer lines, or a number without the evidence that such a line leaves, is found here.
"""

from fractions import Fraction

from surgery_dsl.certificate.evidence import BoundEvidence, SampledTerm, StatisticalEvidence
from surgery_dsl.certificate.model import Claim
from surgery_dsl.certificate.numbers import number
from surgery_dsl.certificate.wording import changed_words, point_words
from surgery_dsl.diagnostics.diagnostic import Refused
from surgery_dsl.interface.lock import Lock
from surgery_dsl.language.plan import Comparison, Obligation, Plan, Quantified, Reading
from surgery_dsl.proof.certified import asked
from surgery_dsl.proof.gates import readings
from surgery_dsl.proof.searching import chosen_text
from surgery_dsl.proof.statistical import form_of, risk, sharing, with_confidence
from surgery_dsl.vocabulary.quantities.proved_dead import ProvedDead

SETTLED = ("passed", "failed", "too weak")


def unlike(claim: Claim, obligation: Obligation, plan: Plan, lock: Lock) -> str:
    """Return what a claim says otherwise than the line that it speaks of; empty where it says the same."""
    if claim.status not in SETTLED or not isinstance(obligation.statement, Comparison):
        return ""
    if with_confidence(obligation):
        return _statistic(claim, obligation, plan, lock) or changed_words(claim, chosen_text(plan))
    if obligation.verb == "certify":
        return _bound(claim, obligation.statement) or changed_words(claim)
    if claim.evidence is not None:
        return _silent(claim, obligation.statement)
    right = obligation.statement.right
    if isinstance(right, Quantified) and claim.limit:
        return _numbers({"limit": (claim.limit, Fraction(right.number))})
    return ""


def _bound(claim: Claim, statement: Comparison) -> str:
    evidence, wanted = claim.evidence, asked(statement)
    if not isinstance(evidence, BoundEvidence) or isinstance(wanted, str):
        return "a bound over a region leaves evidence, and there is none"
    return _numbers(
        {
            "limit": (claim.limit, wanted.limit),
            "limit of its evidence": (evidence.limit, wanted.limit),
            "value": (claim.value, float.fromhex(evidence.bound if claim.status != "failed" else evidence.attack)),
        }
    )


def _silent(claim: Claim, statement: Comparison) -> str:
    """A count of units that are proved dead is the one measured number that rests on a bound."""
    read, evidence = list(readings(statement.left)) + list(readings(statement.right)), claim.evidence
    word = read[0].word if len(read) == 1 else None
    if not isinstance(word, ProvedDead) or not isinstance(evidence, BoundEvidence):
        return "it has evidence of a kind that its line does not leave"
    if evidence.region != word.region.said():
        return "its evidence speaks of another region than its line"
    if isinstance(statement.left, Reading) and isinstance(statement.right, Quantified):
        return _numbers({"limit": (claim.limit, Fraction(statement.right.number))})
    return ""


def _statistic(claim: Claim, obligation: Obligation, plan: Plan, lock: Lock) -> str:
    evidence = claim.evidence
    if not isinstance(evidence, StatisticalEvidence):
        return "a line with confidence leaves evidence, and there is none"
    facts = {one.name: one for one in lock.data}
    try:
        form = form_of(obligation, facts, plan.file)
    except Refused as refused:
        return refused.diagnostics[0].message
    said = (evidence.form, evidence.data, evidence.relation, evidence.method != "betting", evidence.terms)
    terms = tuple(
        SampledTerm(factor=str(term.factor), quantity=term.word.written(), point=point_words(term.point))
        for term in form.terms
    )
    if said != (form.kind, form.data, form.relation, form.counted(facts[form.data]), terms):
        return f"its evidence is of another claim than line {claim.line} makes"
    if evidence.data_digest != facts[form.data].digest:
        return f"its examples are not those of `{form.data}` that the lock names"
    return _numbers(
        {
            "limit": (claim.limit, form.limit),
            "limit of its evidence": (evidence.limit, form.limit),
            "value": (claim.value, float.fromhex(evidence.bound)),
            "confidence": (evidence.confidence, form.confidence),
            "risk": (evidence.risk, risk(form, plan)),
            "number of claims that share the risk": (str(evidence.joint), Fraction(sharing(plan))),
            "least value": (evidence.low, form.low),
            "greatest value": (evidence.high, form.high),
            "threshold": (evidence.threshold, form.threshold),
            "clip": (evidence.clip, None if form.clip is None else Fraction(str(form.clip))),
        }
    )


def _numbers(pairs: dict[str, tuple[str, Fraction | float | None]]) -> str:
    """Return the first number that is not the one which follows from the plan; ``None`` stands for no text."""
    for name, (text, wanted) in pairs.items():
        if wanted is None and not text:
            continue
        if wanted is None or not _same(text, wanted):
            return f"its {name} is {text or 'none'}, and {'none' if wanted is None else wanted} by the plan"
    return ""


def _same(text: str, wanted: Fraction | float) -> bool:
    """Whether a text is a number: an exact one exactly, a measured one as the float that it is."""
    found = number(text)
    return found is not None and (float(found) == wanted if isinstance(wanted, float) else found == wanted)
