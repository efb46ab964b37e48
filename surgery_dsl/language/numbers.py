"""Numbers as values: units multiplied out, constant arithmetic folded, always exact."""

from collections.abc import Mapping
from fractions import Fraction

from surgery_dsl.language import syntax as tree
from surgery_dsl.language.scope import ungroup
from surgery_dsl.vocabulary.values import Bytes, Percent, Plain, Points, Seconds

Amount = Plain | Percent | Points | Bytes | Seconds

_PLAIN = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}
_BYTES = {
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "TB": 10**12,
}
_SECONDS = {"ms": Fraction(1, 1000), "s": Fraction(1), "min": Fraction(60), "h": Fraction(3600)}


def amount(number: tree.Number) -> Amount:
    """Return the exact value of one number."""
    value = Fraction(number.digits.replace("_", ""))
    if number.unit in _PLAIN:
        return Plain.model_construct(value=value * _PLAIN[number.unit])
    if number.unit == "%":
        return Percent.model_construct(value=value)
    if number.unit == "pp":
        return Points.model_construct(value=value)
    if number.unit in _BYTES:
        return Bytes.model_construct(value=value * _BYTES[number.unit])
    return Seconds.model_construct(value=value * _SECONDS[number.unit])


def fold(value: tree.Value, params: Mapping[str, Amount | str] | None = None) -> Amount | None:
    """Return the value of constant arithmetic (``1/255``, ``-2``, ``2 * 40%``), ``None`` for anything else.

    A product or quotient of a unit and a bare number keeps the unit; sums need equal units. Division by zero gives
    ``None``. Names of ``params`` stand for their values.
    """
    value = ungroup(value)
    if isinstance(value, tree.Number):
        return amount(value)
    if isinstance(value, tree.Reference):
        found = (params or {}).get(value.name)
        return None if isinstance(found, str) else found
    if isinstance(value, tree.Negative):
        inner = fold(value.operand, params)
        return None if inner is None else inner.replaced(value=-inner.value)
    if not isinstance(value, tree.Binary):
        return None
    left, right = fold(value.left, params), fold(value.right, params)
    if left is None or right is None:
        return None
    if value.operator in "+-":
        if type(left) is not type(right):
            return None
        return left.replaced(value=left.value + right.value if value.operator == "+" else left.value - right.value)
    if value.operator == "*" and (isinstance(left, Plain) or isinstance(right, Plain)):
        unit = right if isinstance(left, Plain) else left
        return unit.replaced(value=left.value * right.value)
    if value.operator == "/" and isinstance(right, Plain) and right.value:
        return left.replaced(value=left.value / right.value)
    return None
