"""Which edits end a finding: each that its help names is made in the plan's text, and the text is checked again.

A help knows what ends a finding in general. Whether it does so here, and what else it breaks, only the whole plan
tells: an edit is offered where the finding is gone and no other error came. What does not end it is left out of the
help, or told with what it leads to. Imported only where something was found.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from surgery_dsl.diagnostics.code import Severity
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.diagnostics.fix import Fix, Replacement, Verified, applied
from surgery_dsl.language.meaning import meaning
from surgery_dsl.language.offers import Offer, alternatives, offers
from surgery_dsl.language.plan import Plan
from surgery_dsl.language.rewriting import Rewriter

MOST_TRIED = 16
"""Most edited texts that are checked for one plan."""
MOST_ALIKE = 3
"""Findings of one code whose helps are tried."""


@dataclass(frozen=True)
class Judged:
    """What checking a text found.

    Attributes:
        plan: The plan, where it could be read.
        found: All findings.
        checked: Whether the plan was followed and its lines decided; not where reading failed, or no lock was there.
    """

    plan: Plan | None
    found: tuple[Diagnostic, ...]
    checked: bool


Judge = Callable[[str], Judged]
"""Checks a text in the place of the plan's; writes nothing."""


def mended(text: str, judged: Judged, judge: Judge, most: int = MOST_TRIED) -> tuple[Diagnostic, ...]:
    """Return the findings with the edits that end them, and with helps that name no other edits.

    Args:
        text: The plan's text.
        judged: What checking it found.
        judge: Checks an edited text.
        most: How many edited texts are checked at most.
    """
    mender = _Mender(text, judged, judge, most)
    return tuple(mender.mended(finding) for finding in judged.found)


@dataclass
class _Mender:
    """Tries edits as long as there is something left to spend."""

    text: str
    judged: Judged
    judge: Judge
    left: int
    rewriter: Rewriter = field(init=False)
    known: dict[str, Judged] = field(default_factory=dict)
    alike: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rewriter = Rewriter(self.text)

    def mended(self, finding: Diagnostic) -> Diagnostic:
        """Return a finding with what ends it."""
        if finding.span is None or not finding.help or finding.severity is Severity.NOTE:
            return finding
        self.alike[finding.code.id] = self.alike.get(finding.code.id, 0) + 1
        if self.alike[finding.code.id] > MOST_ALIKE:
            return finding
        parts = offers(finding, self.rewriter)
        tried = [self._first(part, finding) for part in parts]
        fixes = [fix for fix, _ in tried if fix is not None]
        why = next((against for _, against in tried if against is not None), None)
        if why is None or (self.judged.plan is None and finding.code.id < "SD1"):
            return replace(finding, fixes=tuple(fixes))  # of a text that cannot be read, what a help means is a guess
        kept = [part for part, (_, against) in zip(parts, tried, strict=True) if against is None]
        if not fixes:
            fixes = self._others(finding)
            kept = [*(Offer(fix.title, ()) for fix in fixes), *kept]
        told = f"{finding.help}; but this alone leads to {why.code.id}: {why.message}"
        return replace(finding, help=_joined(kept) or told, fixes=tuple(fixes))

    def _others(self, finding: Diagnostic) -> list[Fix]:
        """Return the first edit besides those of the help that ends a finding."""
        for text in alternatives(finding, self.rewriter):
            for part in offers(replace(finding, help=text), self.rewriter):
                fix, _ = self._first(part, finding)
                if fix is not None:
                    return [fix]
        return []

    def _first(self, part: Offer, finding: Diagnostic) -> tuple[Fix | None, Diagnostic | None]:
        """Return the first reading that ends a finding, or what stands against the first that was tried."""
        against = None
        for reading in part.readings:
            changed = applied(self.text, reading)
            judged = self._judged(changed)
            if judged is None:
                return None, None
            still = _standing(finding, self.judged, judged, reading)
            if still is None:
                verified = _verified(judged)
                return Fix(part.text, reading, verified, self._loosens(changed, judged, reading)), None
            against = against or still
        return None, against

    def _judged(self, changed: str) -> Judged | None:
        if changed not in self.known:
            if not self.left:
                return None
            self.left -= 1
            self.known[changed] = self.judge(changed)
        return self.known[changed]

    def _loosens(self, changed: str, judged: Judged, reading: Sequence[Replacement]) -> bool:
        """Whether an edit loosens the plan.

        A plan that could not be read cannot be compared: what takes something out of it, or is about its claims, then
        counts as loosening.
        """
        if self.judged.plan is None or judged.plan is None:
            blocks = [self.rewriter.block_at(change.span) for change in reading]
            claims = any(block is None or block.kind.text in ("control", "param") for block in blocks)
            return claims or not all(change.text for change in reading)
        return meaning(self.judged.plan, judged.plan, (self.text, changed)).loosened > 0


def _verified(judged: Judged) -> Verified:
    if not judged.checked:
        return "read"
    return "ended" if any(one.severity is Severity.ERROR for one in judged.found) else "accepted"


def _standing(finding: Diagnostic, before: Judged, after: Judged, reading: Sequence[Replacement]) -> Diagnostic | None:
    """Return what an edit leaves of a finding or brings anew; ``None`` where it ends it.

    A text that could not be read hides what checking finds. What comes to light then counts against an edit only where
    it is about a line that was edited.
    """
    there = {_key(one) for one in before.found}
    again = next((one for one in after.found if _key(one) == _key(finding)), None)
    if again is not None and _count(finding, after.found) >= _count(finding, before.found):
        return again
    heavy = (Severity.ERROR,) if finding.severity is Severity.ERROR else (Severity.ERROR, Severity.WARNING)
    new = [one for one in after.found if one.severity in heavy and _key(one) not in there]
    if not before.checked and after.plan is not None:
        edited = {change.span.line for change in reading}
        new = [one for one in new if one.span is not None and one.span.line in edited]
    return next(iter(new), None)


def _count(finding: Diagnostic, found: Iterable[Diagnostic]) -> int:
    return sum(_key(one) == _key(finding) for one in found)


def _key(finding: Diagnostic) -> tuple[str, str, str]:
    """Return what makes two findings the same, wherever they stand."""
    return finding.code.id, re.sub(r"line \d+", "line", finding.message), finding.path


def _joined(parts: Sequence[Offer]) -> str:
    """Put parts of a help together again."""
    first, *rest = [*parts] or [Offer("", ())]
    return first.text + "".join((part.joint or ", or ") + part.text for part in rest)
