"""What evidence says, in words: they follow from its numbers, so that nobody can keep the numbers and change the words.

People read the words of a claim and not its hexadecimal floats. The run writes them by these functions, and whoever
verifies writes them again.
"""

import re
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction
from typing import Final

from surgery_dsl.certificate.evidence import AssumedFunction, BoundEvidence, SampledTerm, StatisticalEvidence
from surgery_dsl.certificate.model import Claim
from surgery_dsl.vocabulary.values import Point, number_text

BY_BOUND: Final = (
    "the lesser of differential and joint CROWN for each output, in float64, with the rounding of its own arithmetic"
)
"""How bounds over regions are found."""
BY_STATISTICS: Final = "statistics"
"""How claims about a population are found."""
GRADES: Final = {
    "real": "real arithmetic",
    "float32": "deployed fp32, any summation order",
}
_SILENT = re.compile(r"; `[^`]+`(, `[^`]+`)* does not say which data made it")


def changed_words(claim: Claim, chosen: str = "") -> str:
    """Return which words of a claim that passed do not follow from its evidence; empty where all do.

    Args:
        claim: The claim.
        chosen: How the plan's search chose on the evidence itself, in words, if it did.
    """
    evidence = claim.evidence
    if claim.status != "passed":
        return ""
    if isinstance(evidence, BoundEvidence):
        pairs = {"note": (claim.note, bound_words(evidence)), "method": (claim.method, BY_BOUND)}
        pairs["method of its evidence"] = evidence.method, BY_BOUND
    elif isinstance(evidence, StatisticalEvidence):
        said = sampled_words(evidence)
        pairs = {"note": (claim.note, said), "method": (claim.method, BY_STATISTICS)}
        pairs["claim in words"] = evidence.says, said
        pairs["population"] = (
            _SILENT.sub("", evidence.population),
            population_words(evidence.count, evidence.data, chosen),
        )
    else:
        return ""
    return next(
        (f"its {name} does not follow from its evidence" for name, (one, other) in pairs.items() if one != other), ""
    )


# ---- bounds ------------------------------------------------------------------------------------------------------


def bound_words(evidence: BoundEvidence) -> str:
    """Return what a bound says of every input of its region, with the gap to what an attack reached."""
    boxes = f"{evidence.boxes} box{'es' * (evidence.boxes != 1)} of {evidence.dimensions} dimensions"
    many = f" in {evidence.parts} parts" if evidence.parts != evidence.boxes else ""
    assumed = "".join(map(_assumed, evidence.assumes))
    return (
        f"certified ({GRADES[evidence.arithmetic]}{assumed}): for {evidence.region} ({boxes}{many}), "
        f"{evidence.claims} ≤ {rounded(float.fromhex(evidence.bound), up=True, digits=6)}; an attack reached "
        f"{rounded(float.fromhex(evidence.attack), up=False, digits=6)}"
    )


def _assumed(one: AssumedFunction) -> str:
    return (
        f"; assuming that {one.function} in float32 is at most {one.units} · 2⁻²⁴ · max(1, |z|) off, and "
        f"{float.fromhex(one.seen):.2g} were seen at {one.points} arguments"
    )


# ---- statistics --------------------------------------------------------------------------------------------------


def population_words(count: int, data: str, chosen: str) -> str:
    """Return what a statistical claim speaks of, and what is assumed of the examples."""
    return (
        f"what the {count} examples of `{data}` were drawn from; assumed: they are "
        "independent draws, and neither they nor their likes had a part in making the base or in choosing this plan"
        f"{chosen}"
    )


def sampled_words(evidence: StatisticalEvidence) -> str:
    """Return what a statistic says of a population: its confidence, what is bounded, and what the examples gave."""
    bound, value = float.fromhex(evidence.bound), float.fromhex(evidence.value)
    joint = f" (joint over {evidence.joint} claims)" if evidence.joint > 1 else ""
    head = f"STATISTICAL {number_text(Fraction(evidence.confidence) * 100)}%{joint}:"
    up = evidence.relation in ("<=", "<")
    side, where = "at most" if up else "at least", f"from the population of `{evidence.data}`"
    differ = f", {evidence.distinct} of which differ" if evidence.distinct < evidence.count else ""
    seen = f"{round(value * evidence.count)} of {evidence.count}{differ}"
    share, first = f"{rounded(bound * 100, up=up)}%", evidence.terms[0]
    if evidence.threshold:
        what = f"lie above {number_text(Fraction(evidence.threshold))} in {first.quantity}"
        return f"{head} {side} {share} of inputs {where} {what} ({seen})."
    if evidence.method != "betting" and Fraction(first.factor) > 0:
        what = "flip from right to wrong" if first.quantity.startswith("flips(") else "are classified rightly"
        return f"{head} {side} {share} of inputs {where} {what} ({seen})."
    what = " ".join(_term(term, first=not index) for index, term in enumerate(evidence.terms))
    seen = f"{value:.4g} over {evidence.count} examples{differ}"
    return f"{head} the mean of {what} over inputs {where} is {side} {rounded(bound, up=up)} ({seen})."


def point_words(point: Point) -> str:
    """Return a place in a plan, as evidence names it."""
    return f"{point.at}({point.name})" if point.name else point.at


def _term(term: SampledTerm, *, first: bool) -> str:
    factor = Fraction(term.factor)
    point = "" if term.point == "now" else f"{term.point}."
    sign = "−" if factor < 0 else "" if first else "+"
    scale = "" if abs(factor) == 1 else f"{number_text(abs(factor))} · "
    return f"{sign}{'' if first else ' '}{scale}{point}{term.quantity}"


def rounded(value: float, *, up: bool, digits: int = 3) -> str:
    """Write a bound with some digits, never on the better side of what it is."""
    exact = Decimal(value)
    if not exact:
        return "0"
    step = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    return f"{exact.quantize(step, rounding=ROUND_CEILING if up else ROUND_FLOOR):f}"
