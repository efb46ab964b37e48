"""Whether a data set's targets fit a network's outputs, as the losses have it."""

from surgery_dsl.diagnostics.span import Span
from surgery_dsl.vocabulary import catalogue
from surgery_dsl.vocabulary.context import Static


def targets_fit(data: str, span: Span | None, context: Static, *, labels: bool) -> None:
    """Report targets that do not fit: class numbers where ``labels`` says so, else labels or numbers as they come."""
    facts = context.data.get(data)
    if facts is None:
        return
    loss = "cross_entropy" if labels or facts.label_range is not None else "mse"
    catalogue.find("losses", loss)(span=span).check(context.interface, facts, context)
