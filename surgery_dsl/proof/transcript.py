"""What the tiers were asked and what they answered, kept only where somebody wants to look at it again."""

from dataclasses import dataclass, field

from surgery_dsl.diagnostics.span import Span
from surgery_dsl.proof.questions import Answer, BudgetQuestion, SizeQuestion


@dataclass(frozen=True, slots=True)
class Entry:
    """One decided question.

    Attributes:
        claim: The obligation as the plan has it, or what is claimed, with the place it is claimed of.
        question: What was asked.
        answer: What a tier said.
        span: The line of the plan.
        vacuous: Whether the answer is that no outcome is there to be spoken of.
    """

    claim: str
    question: SizeQuestion | BudgetQuestion
    answer: Answer
    span: Span | None = None
    vacuous: bool = False


@dataclass
class Transcript:
    """Entries in the order in which they were decided."""

    entries: list[Entry] = field(default_factory=list)

    def note(self, entry: Entry) -> None:
        """Add an entry."""
        self.entries.append(entry)
