"""What a diagnostic code is."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How much a diagnostic weighs: an error refuses the plan, a warning does so under ``--strict``."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Code:
    """A stable kind of finding; its page is ``pages/<id>.md``.

    Attributes:
        id: ``SD`` and three digits, never reused. The hundreds say the family: 0 syntax, 1 names, 2 shapes,
            3 budgets, 4 trust, 5 run, 6 certificate, 7 lint, 9 a defect of this program.
        name: The same in kebab case, for people.
        summary: One line that holds for every occurrence (no user text).
        severity: Default weight.
        exit_code: What the command line returns when this is the worst finding.
    """

    id: str
    name: str
    summary: str
    severity: Severity = Severity.ERROR
    exit_code: int = 1
