"""Deciding ``measure`` lines on a live network, and saying so where the data is too small to decide."""

from dataclasses import replace
from fractions import Fraction

from surgery_dsl.diagnostics.codes import runs
from surgery_dsl.diagnostics.diagnostic import Diagnostic
from surgery_dsl.language.plan import Arithmetic, Comparison, Control, Expression, Obligation, Quantified, Reading
from surgery_dsl.proof import gates
from surgery_dsl.proof.verdict import Verdict
from surgery_dsl.run.points import Values, readings_of
from surgery_dsl.run.session import Session
from surgery_dsl.vocabulary.values import Points


def decide(
    control: Control, obligation: Obligation, values: Values, session: Session
) -> tuple[Verdict, tuple[Diagnostic, ...]]:
    """Measure one obligation; the verdict is ``passed``, ``failed`` or ``too weak``.

    Raises:
        Refused: The network fails while it is measured.
    """

    def read(reading: Reading) -> float:
        return values.value(reading.point, reading.word)

    verdict, found = gates.decide(obligation, control.name, read, session.file)
    counts = _counts(obligation, session)
    count = min(counts.values(), default=0)
    remarks = _remarks(obligation, values)
    verdict = verdict.replaced(
        reason="; ".join(part for part in (_method(obligation, counts), verdict.reason, *remarks) if part),
        facts={"n": count} if count else {},
    )
    weak = _too_weak(obligation, count)
    if weak:
        return verdict.replaced(status="too weak", reason=weak), (_weakness(verdict, weak, session.file),)
    help_text = "change less, recover longer, or relax the limit"
    return verdict, tuple(
        replace(finding, help=finding.help or help_text, notes=(*finding.notes, *remarks)) for finding in found
    )


def _remarks(obligation: Obligation, values: Values) -> tuple[str, ...]:
    """Return what words said of the numbers that a line compares: which layer is the worst."""
    found = (values.remark(reading.point, reading.word) for reading in readings_of(obligation))
    return tuple(dict.fromkeys(remark for remark in found if remark))


def _counts(obligation: Obligation, session: Session) -> dict[str, int]:
    """Return how many examples of each data set a line reads."""
    found: dict[str, int] = {}
    for reading in readings_of(obligation):
        name = getattr(reading.word, "data", None)
        if isinstance(name, str):
            found[name] = max(found.get(name, 0), reading.word.examples(session.data(name).facts))
    return found


def _method(obligation: Obligation, counts: dict[str, int]) -> str:
    if not counts and any(reading.word.certifies == "count" for reading in readings_of(obligation)):
        return "counted are proofs"
    if not counts:
        return "measured on the network itself"
    return "measured on " + ", ".join(f"{count} examples of `{name}`" for name, count in counts.items())


def _too_weak(obligation: Obligation, count: int) -> str:
    """Say why the data cannot resolve a tolerance in percentage points: one example weighs more than it."""
    statement = obligation.statement
    if not isinstance(statement, Comparison) or not count:
        return ""
    shares = any(reading.word.counts_in() == "share" for reading in readings_of(obligation))
    tolerances = [p for side in (statement.left, statement.right) for p in _points(side) if p.value > 0]
    if not shares or not tolerances:
        return ""
    finest = min(tolerances, key=lambda points: points.value)
    if finest.value / 100 >= Fraction(1, count):
        return ""
    return f"one of {count} examples weighs {100 / count:.3g}pp, more than the tolerance of {finest}"


def _points(expression: Expression) -> list[Points]:
    if isinstance(expression, Quantified):
        return [expression.value] if isinstance(expression.value, Points) else []
    if isinstance(expression, Arithmetic):
        return [*_points(expression.left), *_points(expression.right)]
    return []


def _weakness(verdict: Verdict, why: str, file: str) -> Diagnostic:
    return Diagnostic(
        runs.GATE_TOO_WEAK,
        f"`{verdict.text}` cannot be decided on this data: {why}",
        file=file,
        span=verdict.span,
        facts={"value": verdict.value, "limit": verdict.limit, "examples": verdict.facts.get("n", 0)},
        help="use more examples, or a wider tolerance",
    )
