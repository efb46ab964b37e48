"""What became of an obligation."""

from fractions import Fraction
from typing import Literal

from surgery_dsl.diagnostics.span import Span
from surgery_dsl.interface.model import Data
from surgery_dsl.vocabulary.values import number_text

Verb = Literal["always", "prove", "certify", "measure"]
Status = Literal["proved", "refuted", "undecided", "passed", "failed", "too weak", "vacuous", "to measure"]


class Verdict(Data):
    """One obligation and what was found.

    Attributes:
        verb: ``prove``, ``certify``, ``measure``; ``always`` for what holds without being written.
        text: The obligation as the plan has it, or what is claimed. Unique within its verb and block.
        kind: ``budget``, ``exact``, ``frozen``, ``shapes``, ``non-empty``, ``divisibility``, ``contract``, ``effect``,
            ``metric`` or ``bound``.
        block: The block it stands in, or speaks of.
        status: What was found. Only ``proved`` and ``passed`` (and ``vacuous``, with a warning) let a plan go on.
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
        return self.status in ("proved", "passed", "vacuous", "to measure")


def exact_text(value: Fraction) -> str:
    """Write an exact number: whole ones in full, others as a short decimal or a fraction."""
    return number_text(value)


def rounded_text(value: Fraction | float, digits: int = 6) -> str:
    """Write a number for people: whole ones with separators, others to some significant digits."""
    exact = Fraction(value)
    if exact.denominator == 1:
        return f"{exact.numerator:,}"
    if abs(exact) >= 1000:
        return f"{float(exact):,.1f}"
    return f"{float(exact):.{digits}g}"
