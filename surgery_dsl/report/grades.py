"""Claims by grade. One word for each, and no claim under two."""

from dataclasses import dataclass
from typing import final

from surgery_dsl.certificate.model import Claim, Predicate


@final
@dataclass(frozen=True, slots=True)
class Grade:
    """How sure a claim is: its word, and what the word means."""

    word: str
    title: str
    meaning: str


PROVED = Grade(
    "proved", "Proved", "Decided by exact reasoning, for every size left free and every outcome of identify."
)
CERTIFIED = Grade("certified", "Certified", "A sound bound: it holds for every input of the region that is named.")
STATISTICAL = Grade(
    "statistical",
    "Statistical",
    "Holds for the population that is named with the confidence that is given, if the examples were drawn from it.",
)
MEASURED = Grade("measured", "Measured", "Found on the examples that are named, and says nothing of any others.")
ASSUMED = Grade("assumed", "Assumed", "Not shown by anything here.")


def grades(predicate: Predicate) -> tuple[tuple[Grade, tuple[Claim, ...]], ...]:
    """Return every claim under its grade."""
    claims = predicate.claims
    sampled = tuple(claim for claim in claims.measured if is_statistical(claim))
    return (
        (PROVED, claims.proved),
        (CERTIFIED, claims.bounded),
        (STATISTICAL, sampled),
        (MEASURED, tuple(claim for claim in claims.measured if not is_statistical(claim))),
        (ASSUMED, claims.assumed),
    )


def is_statistical(claim: Claim) -> bool:
    """Whether a claim speaks of a population."""
    return claim.evidence is not None and claim.evidence.kind == "statistical"
