"""Diagnostics as JSON for programs; ``specs/diagnostic.schema.json`` describes one of them."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from surgery_dsl.diagnostics.diagnostic import Diagnostic, Fact
from surgery_dsl.diagnostics.fix import Fix
from surgery_dsl.diagnostics.span import Span


@dataclass(frozen=True, slots=True)
class LabelJson:
    """A secondary place."""

    line: int
    column: int
    end_line: int
    end_column: int
    text: str


@dataclass(frozen=True, slots=True)
class ReplacementJson:
    """What stands in the place of a range of characters; an empty range inserts."""

    line: int
    column: int
    end_line: int
    end_column: int
    text: str


@dataclass(frozen=True, slots=True)
class FixJson:
    """An edit of the plan that ends the finding; it was made and the plan checked again.

    Attributes:
        title: What it does.
        file: Path of the plan as it was given.
        verified: ``accepted`` where the edited plan is accepted; ``ended`` where this finding is gone, none is new and
            others remain; ``read`` where it is gone and there was no network to check the rest against.
        loosens: Whether the edited plan lets pass, do or rest on more, or whether that cannot be excluded; a program
            should not apply such an edit by itself.
        replacements: What changes, as places of the text before any of them; they do not overlap.
    """

    title: str
    file: str
    verified: str
    loosens: bool
    replacements: tuple[ReplacementJson, ...]


@dataclass(frozen=True, slots=True)
class DiagnosticJson:
    """One diagnostic. Lines and columns count from 1 in Unicode code points; ``end_column`` is exclusive.

    Attributes:
        code: ``SD`` and three digits, never reused.
        name: The same in kebab case.
        severity: ``error``, ``warning`` or ``note``.
        file: Path of the plan as it was given; empty where none is meant.
        line: Place in the plan; null, as the three that follow, where there is none.
        column: See ``line``.
        end_line: See ``line``.
        end_column: See ``line``.
        path: Full path of the module or tensor of the network; empty where none is meant.
        facts: The numbers that disagree, by name.
        message: What is wrong; stands alone.
        label: A few words about the place.
        notes: Context, a sentence each.
        help: The fix, in words.
        fixes: Edits of the plan that end it.
        labels: Secondary places.
    """

    code: str
    name: str
    severity: str
    file: str
    line: int | None
    column: int | None
    end_line: int | None
    end_column: int | None
    path: str
    facts: Mapping[str, Fact]
    message: str
    label: str
    notes: tuple[str, ...]
    help: str
    fixes: tuple[FixJson, ...]
    labels: tuple[LabelJson, ...]


def diagnostic_json(diagnostic: Diagnostic) -> DiagnosticJson:
    """Return one diagnostic as the published shape."""
    span = diagnostic.span
    return DiagnosticJson(
        code=diagnostic.code.id,
        name=diagnostic.code.name,
        severity=str(diagnostic.severity),
        file=diagnostic.file,
        line=span.line if span else None,
        column=span.column if span else None,
        end_line=span.end_line if span else None,
        end_column=span.end_column if span else None,
        path=diagnostic.path,
        facts=dict(diagnostic.facts),
        message=diagnostic.message,
        label=diagnostic.label,
        notes=diagnostic.notes,
        help=diagnostic.help,
        fixes=tuple(_fix(fix, diagnostic.file) for fix in diagnostic.fixes),
        labels=tuple(_label(label.span, label.text) for label in diagnostic.labels),
    )


def render_json(diagnostics: Iterable[Diagnostic]) -> dict[str, Any]:
    """Return ``{"diagnostics": […]}``, ready for :func:`json.dumps`."""
    return {"diagnostics": [asdict(diagnostic_json(diagnostic)) for diagnostic in diagnostics]}


def _label(span: Span, text: str) -> LabelJson:
    return LabelJson(span.line, span.column, span.end_line, span.end_column, text)


def _fix(fix: Fix, file: str) -> FixJson:
    changes = tuple(
        ReplacementJson(one.span.line, one.span.column, one.span.end_line, one.span.end_column, one.text)
        for one in fix.replacements
    )
    return FixJson(fix.title, file, fix.verified, fix.loosens, changes)
