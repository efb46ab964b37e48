"""Which claims may stand under which grade.

A grade is a promise of how a claim was found. Whoever moves a measured number among the bounds, or a proof that failed
among what was decided for the outcome, changes no number, and yet what people read.
"""

from collections.abc import Iterator

from surgery_dsl.certificate.evidence import BoundEvidence, StatisticalEvidence
from surgery_dsl.certificate.explanations import KINDS
from surgery_dsl.certificate.model import Claim, Claims


def misgraded(claims: Claims) -> Iterator[str]:
    """Yield what is wrong with the grades of claims."""
    groups = {"proved": claims.proved, "bounded": claims.bounded, "measured": claims.measured}
    for grade, group in {**groups, "assumed": claims.assumed}.items():
        for claim in group:
            if claim.kind not in KINDS:
                yield f"`{claim.statement}` is of the kind `{claim.kind}`, which nobody knows"
            elif _grade(claim) != grade:
                yield f"`{claim.statement}` is {claim.status}, and stands under another grade"


def _grade(claim: Claim) -> str:
    """Return the grade of a claim: it follows from its verb, its status and its evidence."""
    if claim.status in ("proved", "assumed"):
        alone = claim.evidence is None and (claim.status == "proved" or claim.verb == "always")
        return claim.status if alone else ""
    if claim.verb == "certify":
        return "" if isinstance(claim.evidence, StatisticalEvidence) else "bounded"
    return "bounded" if isinstance(claim.evidence, BoundEvidence) else "measured"
