"""What came of applying a plan. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from surgery_dsl.certificate.model import Predicate
from surgery_dsl.diagnostics.code import Severity
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.proof.verdict import Verdict
from surgery_dsl.run.prepare import Checked


@dataclass(frozen=True)
class Outcome:
    """The outcome of ``apply``.

    Attributes:
        checked: What was known before a weight was read.
        verdicts: Every obligation and what became of it, measured ones included as far as the run came.
        diagnostics: All findings.
        predicate: What the certificate says; ``None`` where the plan was refused or not executed.
        output: The directory that was written; ``None`` where nothing was.
        timings: Seconds by phase.
    """

    checked: Checked
    verdicts: tuple[Verdict, ...]
    diagnostics: tuple[Diagnostic, ...]
    predicate: Predicate | None = None
    output: Path | None = None
    timings: Mapping[str, float] = field(default_factory=dict)

    @property
    def accepted(self) -> bool:
        """Whether the plan was executed to its end (or, in a dry run, whether it would be)."""
        return not any(found.severity is Severity.ERROR for found in self.diagnostics)
