"""A finding, as a value."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from surgery_dsl.diagnostics.code import Code, Severity
from surgery_dsl.diagnostics.fix import Fix
from surgery_dsl.diagnostics.span import Span

Fact = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Label:
    """A secondary place with a few words about it."""

    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding: what is wrong, where, the numbers that disagree, and one fix that works.

    Attributes:
        code: The kind of finding.
        message: Stands alone; starts in lower case; no final full stop. May hold user text in backticks.
        file: The plan's path as the user gave it, or empty where no file is meant.
        span: The primary place, where there is one.
        label: A few words under the primary place.
        labels: Secondary places.
        path: Full path of the module or tensor of the network, where one is meant.
        facts: The numbers that disagree, by name.
        notes: Context, one sentence each.
        help: The fix, in words.
        fixes: Edits of the plan that end the finding; each was made and checked again.
        severity_override: Where this occurrence weighs differently from its code.
    """

    code: Code
    message: str
    file: str = ""
    span: Span | None = None
    label: str = ""
    labels: tuple[Label, ...] = ()
    path: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    help: str = ""
    fixes: tuple[Fix, ...] = ()
    severity_override: Severity | None = None

    @property
    def severity(self) -> Severity:
        """The weight of this occurrence."""
        return self.severity_override or self.code.severity


class Refused(Exception):
    """Work stopped because of the user's input; carries what to tell them."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(f"{d.code.id}: {d.message}" for d in diagnostics))
        self.diagnostics = diagnostics


class Sink:
    """Collects diagnostics in the order found, each once."""

    def __init__(self, file: str = "") -> None:
        self.file = file
        self._found: list[Diagnostic] = []

    def say(self, diagnostic: Diagnostic) -> None:
        """Add a finding unless the very same one was already made."""
        if diagnostic not in self._found:
            self._found.append(diagnostic)

    def extend(self, diagnostics: Iterable[Diagnostic]) -> None:
        """Add several findings."""
        for diagnostic in diagnostics:
            self.say(diagnostic)

    @property
    def found(self) -> tuple[Diagnostic, ...]:
        """All findings, errors first in the order of the file."""
        order = {Severity.ERROR: 0, Severity.WARNING: 1, Severity.NOTE: 2}
        last = Span(1 << 30, 0, 1 << 30, 0)
        return tuple(sorted(self._found, key=lambda d: (order[d.severity], d.span or last)))

    @property
    def failed(self) -> bool:
        """Whether any finding is an error."""
        return any(d.severity is Severity.ERROR for d in self._found)
