"""What became of an obligation."""

from fractions import Fraction
from typing import Literal

from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.model import Data
from surgery_dsl.language.plan import Obligation
from surgery_dsl.vocabulary.values import number_text

Verb = Literal["always", "prove", "certify", "measure"]
Status = Literal[
    "proved", "refuted", "undecided", "passed", "failed", "too weak", "vacuous", "to measure", "to certify"
]


class Verdict(Data):
    """One obligation and what was found.

    Attributes:
        verb: ``prove``, ``certify``, ``measure``; ``always`` for what holds without being written.
        text: The obligation as the plan has it, or what is claimed. Unique within its verb and block.
        kind: ``budget``, ``exact``, ``frozen``, ``shapes``, ``non-empty``, ``divisibility``, ``contract``, ``effect``,
            ``metric`` or ``bound``.
        block: The block it stands in, or speaks of.
        status: What was found. Only ``proved`` and ``passed`` let a plan go on, and ``vacuous`` of a gate that no
            outcome could fail (with a warning). Of a proof, ``vacuous`` says that the plan contradicts itself.
        tier: What decided: a tier's name, or ``measurement``.
        span: The line, where there is one.
        value: What the left side is at its worst, as exact text.
        limit: What the right side is there.
        margin: How far the value lies inside the limit; negative where it does not.
        reason: Why, in a few words.
        paths: Modules and tensors meant.
        facts: Numbers by name.
    """

    verb: Verb
    text: str
    kind: str
    block: str
    status: Status
    tier: str = ""
    span: Span | None = None
    value: str = ""
    limit: str = ""
    margin: str = ""
    reason: str = ""
    paths: tuple[str, ...] = ()
    facts: dict[str, str | int] = {}

    @property
    def line(self) -> int | None:
        """Line of the plan."""
        return None if self.span is None else self.span.line

    @property
    def holds(self) -> bool:
        """Whether a plan may go on with it."""
        if self.status == "vacuous":
            return self.verb in ("measure", "certify")
        return self.status in ("proved", "passed", "to measure", "to certify")

    @property
    def waits(self) -> bool:
        """Whether a run has yet to decide it, if only to give the number of a gate that no outcome could fail."""
        return self.holds and self.status not in ("proved", "passed")


def verdict_of(
    obligation: Obligation,
    block: str,
    kind: str,
    status: Status,
    tier: str = "",
    value: str = "",
    limit: str = "",
    margin: str = "",
    reason: str = "",
    paths: tuple[str, ...] = (),
) -> Verdict:
    """Return the verdict on one line of a control block; nothing is validated."""
    return Verdict.model_construct(
        verb=obligation.verb,
        text=obligation.text,
        kind=kind,
        block=block,
        status=status,
        tier=tier,
        span=obligation.span,
        value=value,
        limit=limit,
        margin=margin,
        reason=reason,
        paths=paths,
        facts={},
    )


def exact_text(value: Fraction) -> str:
    """Write an exact number: whole ones in full, others as a short decimal or a fraction."""
    return number_text(value)


SCALES = ((10**9, " G"), (10**6, " M"))
"""Units in which large counts are written beside one another."""


def apart_texts(*values: Fraction) -> tuple[str, ...]:
    """Write numbers beside one another in one unit, with as many decimals as tell unlike ones apart."""
    greatest = max(map(abs, values), default=Fraction(0))
    unit, sign = next(((unit, sign) for unit, sign in SCALES if greatest >= unit), (1, ""))
    if unit == 1:
        return tuple(rounded_text(value) for value in values)
    for decimals in range(2, 10):
        found = tuple(f"{float(value / unit):.{decimals}f}{sign}" for value in values)
        if len(set(found)) == len(set(values)):
            return found
    return tuple(exact_text(value) for value in values)


def rounded_text(value: Fraction | float, digits: int = 6) -> str:
    """Write a number for people: whole ones with separators, others to some significant digits."""
    exact = Fraction(value)
    if exact.denominator == 1:
        return f"{exact.numerator:,}"
    if abs(exact) >= 1000:
        return f"{float(exact):,.1f}"
    return f"{float(exact):.{digits}g}"
