"""One sentence on a comparison that does not hold, for findings and for proofs over ranges of a param."""

from fractions import Fraction

from surgery_dsl.language.plan import Comparison, Expression, Obligation, Quantified, Reading
from surgery_dsl.proof.deciding import Decided
from surgery_dsl.proof.verdict import rounded_text


def headline(obligation: Obligation, statement: Comparison, decided: Decided, left: Fraction, right: Fraction) -> str:
    """Say which line does not hold, with both numbers of the worst outcome and how far they lie apart."""
    distance = abs(left - right)
    share = f" ({rounded_text(distance / abs(right) * 100, 3)} %)" if right else ""
    how = f"{rounded_text(distance)}{share} {'above' if left > right else 'below'}" if distance else "exactly"
    verb = "can be" if is_open(decided) else "is"
    return (
        f"`{obligation.text}` does not hold: {side_text(statement.left)} {verb} {rounded_text(left)}, "
        f"{how} the limit of {rounded_text(right)}"
    )


def is_open(decided: Decided) -> bool:
    """Whether a choice leaves a side open, so that not every outcome gives the worst number."""
    open_axes = any(domain.kind == "axis" for domain in decided.reader.domains.values())
    return open_axes or bool(decided.left.loose + decided.right.loose)


def side_text(expression: Expression) -> str:
    """Write a side as a plan would: a reading by its name, else the value."""
    if isinstance(expression, Reading):
        point = expression.point
        name: str = expression.word.written()
        if point.at == "now":
            return name
        return f"{point.at}.{name}" if not point.name else f"{point.at}({point.name}).{name}"
    if isinstance(expression, Quantified):
        return str(expression.value)
    return "the left side"
