"""Diagnostics as JSON for programs; ``specs/diagnostic.schema.json`` describes one of them."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from surgery_dsl.diagnostics.diagnostic import Diagnostic, Fact
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
        help: The fix.
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
        labels=tuple(_label(label.span, label.text) for label in diagnostic.labels),
    )


def render_json(diagnostics: Iterable[Diagnostic]) -> dict[str, Any]:
    """Return ``{"diagnostics": […]}``, ready for :func:`json.dumps`."""
    return {"diagnostics": [asdict(diagnostic_json(diagnostic)) for diagnostic in diagnostics]}


def _label(span: Span, text: str) -> LabelJson:
    return LabelJson(span.line, span.column, span.end_line, span.end_column, text)
