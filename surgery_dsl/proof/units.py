"""Units as types: what the two sides of an obligation count in, and whether they can be compared.

``count``, ``bytes``, ``share`` and ``number`` are units of quantities; ``plain`` is a bare number or a ratio of like
units, ``percent`` a relative share, ``points`` a difference of shares, ``seconds`` a duration.
"""

from typing import Literal

from surgery_dsl.diagnostics.codes import names
from surgery_dsl.diagnostics.diagnostic import Diagnostic, Sink
from surgery_dsl.language.plan import Apply, Arithmetic, Comparison, Expression, Obligation, Quantified, Reading
from surgery_dsl.vocabulary.values import Bytes, Percent, Points, Seconds

Unit = Literal["count", "bytes", "share", "number", "plain", "percent", "points", "seconds"]

SAYS: dict[Unit, str] = {
    "count": "a count",
    "bytes": "bytes",
    "share": "a share",
    "number": "a number",
    "plain": "a plain number",
    "percent": "a percentage",
    "points": "percentage points",
    "seconds": "a duration",
}
SCALES: frozenset[Unit] = frozenset({"plain", "percent"})
"""Units that a quantity may be multiplied with, or divided by."""

MATCHES: frozenset[frozenset[Unit]] = frozenset(
    frozenset(pair)
    for pair in (
        ("count", "plain"),
        ("number", "plain"),
        ("share", "plain"),
        ("share", "percent"),
        ("plain", "percent"),
    )
)
"""Different units that can be compared."""


def comparable(obligation: Obligation, comparison: Comparison, sink: Sink) -> bool:
    """Report, once, an obligation whose sides do not count in the same unit."""
    left, right = unit_of(comparison.left, sink), unit_of(comparison.right, sink)
    if left is None or right is None:
        return False
    if left == right or frozenset((left, right)) in MATCHES:
        return True
    sink.say(_mismatch(obligation, comparison, left, right, sink.file))
    return False


def _mismatch(obligation: Obligation, comparison: Comparison, left: Unit, right: Unit, file: str) -> Diagnostic:
    relative = "percent" in (left, right) and not {left, right} & {"share", "plain", "points", "seconds"}
    other = comparison.right if right != "percent" else comparison.left
    span = comparison.left.span if left == "percent" else comparison.right.span
    if relative:
        name = reading_text(comparison.left if right == "percent" else other)
        return Diagnostic(
            names.RELATIVE_LIMIT,
            f"`{obligation.text}` compares {SAYS[left]} with {SAYS[right]}: a percentage of what?",
            file=file,
            span=span or obligation.span,
            help=f"write `… * base.{name}` for a share of the base" if name else "say what it is a share of",
        )
    return Diagnostic(
        names.WRONG_UNIT,
        f"`{obligation.text}` compares {SAYS[left]} with {SAYS[right]}",
        file=file,
        span=span or obligation.span,
        facts={"left": left, "right": right},
        help=_fix(left, right),
    )


def _fix(left: Unit, right: Unit) -> str:
    units = {left, right}
    if units == {"count", "bytes"}:
        return "compare a count with a number (`500k`), or `weight_bytes` with bytes (`2MiB`)"
    if units == {"bytes", "plain"}:
        return "write the limit with its unit, such as `2MiB`"
    if "points" in units:
        return "percentage points are a difference: write `base.accuracy(test) - 1pp`, or a share such as `90%`"
    if "percent" in units:
        return "write a percentage times what it is a share of"
    return "compare quantities of one unit"


def unit_of(expression: Expression, sink: Sink) -> Unit | None:
    """Return the unit of an expression, or ``None`` after reporting that it has none."""
    if isinstance(expression, Quantified):
        for kind, unit in _LITERALS:
            if isinstance(expression.value, kind):
                return unit
        return "plain"
    if isinstance(expression, Reading):
        return expression.word.counts_in()
    if isinstance(expression, Arithmetic):
        left, right = unit_of(expression.left, sink), unit_of(expression.right, sink)
        if left is None or right is None:
            return None
        rule = _product if expression.operator in "*/" else _sum
        found = rule(expression.operator, left, right)
        if found is None:
            _refuse(expression, left, right, sink)
        return found
    if isinstance(expression, Apply):
        units = [unit_of(argument, sink) for argument in expression.arguments]
        return units[0] if units and None not in units else None
    return "number"


_LITERALS: tuple[tuple[type, Unit], ...] = (
    (Percent, "percent"),
    (Points, "points"),
    (Bytes, "bytes"),
    (Seconds, "seconds"),
)


def _product(operator: str, left: Unit, right: Unit) -> Unit | None:
    if operator == "/":
        if left == right:
            return "plain"
        return left if right in SCALES else None
    if left in SCALES and right in SCALES:
        return "plain" if left != right else left
    if left in SCALES:
        return right
    return left if right in SCALES else None


def _sum(operator: str, left: Unit, right: Unit) -> Unit | None:
    if left == right:
        return "points" if left == "share" and operator == "-" else left
    units = {left, right}
    if "plain" in units and units & {"count", "number", "share"}:
        return left if right == "plain" else right
    if units == {"share", "points"}:
        return "share"
    return None


def _refuse(expression: Arithmetic, left: Unit, right: Unit, sink: Sink) -> None:
    verb = {"+": "added to", "-": "subtracted from", "*": "multiplied by", "/": "divided by"}[expression.operator]
    first, second = (right, left) if expression.operator == "-" else (left, right)
    fix = "combine quantities of one unit"
    if {left, right} == {"share", "percent"}:
        fix = "a difference of shares is in percentage points: write `pp` in the place of `%`"
    elif "percent" in (left, right):
        fix = "say what it is a share of, such as `1.1 * base.params`"
    sink.say(
        Diagnostic(
            names.WRONG_UNIT,
            f"{SAYS[first]} cannot be {verb} {SAYS[second]}",
            file=sink.file,
            span=expression.span,
            facts={"left": left, "right": right},
            help=fix,
        )
    )


def reading_text(expression: Expression) -> str:
    """Return the name of the quantity that an expression reads, where it is just that."""
    return expression.word.name if isinstance(expression, Reading) else ""
