"""Tier 1: normal forms. What is equal as a polynomial, or as a chain of floor quotients, is equal for every size."""

from surgery_dsl.interface.expression import Bounds, Expression, add, bounds, floor_divide, multiply
from surgery_dsl.proof.questions import Answer, BudgetQuestion, SizeQuestion

TIER = "normal form"


def sizes(question: SizeQuestion) -> Answer | None:
    """Decide a relation whose sides have the same normal form, or one of which is a factor of the other."""
    ranges: dict[str, Bounds] = {name: (least, most) for name, least, most in question.ranges}
    if question.relation in ("equal", "at_least"):
        same = question.left == question.right or flattened(question.left) == flattened(question.right)
        defined = same and all(positive_divisors(side, ranges) for side in (question.left, question.right))
        return Answer("proved", TIER) if defined else None
    least = bounds(question.left, ranges)[0]
    if least is None or least < 1 or not positive_divisors(question.right, ranges):
        return None
    divisor, rest = _factors(question.left)
    for term in _terms(question.right):
        number, factors = _factors(term)
        if number % divisor:
            return None
        for factor in rest:
            if factor not in factors:
                return None
            factors.remove(factor)
    return Answer("proved", TIER, reason="the divisor is a factor of every term")


def flattened(expression: Expression) -> Expression:
    """Make chains of floor quotients one quotient: ⌊(⌊n/a⌋ + r)/b⌋ = ⌊(n + a·r)/(a·b)⌋ for a, b ≥ 1.

    Graham, Knuth & Patashnik, Concrete Mathematics (1994), equation 3.11. A chain of convolutions with strides becomes
    ⌊(H + k)/d⌋, whose constants are canonical.
    """
    if not isinstance(expression, tuple):
        return expression
    parts = [flattened(part) for part in expression[1:]]
    if expression[0] == "+":
        return add(*parts)
    if expression[0] == "*":
        return multiply(*parts)
    numerator, divisor = parts
    if not isinstance(divisor, int) or divisor < 1:
        return floor_divide(numerator, divisor)
    for term in _terms(numerator):
        if isinstance(term, tuple) and term[0] == "//" and isinstance(term[2], int) and term[2] >= 1:
            rest = add(numerator, multiply(-1, term))
            return flattened(("//", add(term[1], multiply(term[2], rest)), term[2] * divisor))
    return floor_divide(numerator, divisor)


def positive_divisors(expression: Expression, ranges: dict[str, Bounds]) -> bool:
    """Whether every divisor inside is at least one for all sizes in the ranges."""
    if not isinstance(expression, tuple):
        return True
    if not all(positive_divisors(part, ranges) for part in expression[1:]):
        return False
    return expression[0] != "//" or (bounds(expression[2], ranges)[0] or 0) >= 1


def _terms(expression: Expression) -> tuple[Expression, ...]:
    return expression[1:] if isinstance(expression, tuple) and expression[0] == "+" else (expression,)


def _factors(expression: Expression) -> tuple[int, list[Expression]]:
    if isinstance(expression, int):
        return expression, []
    if isinstance(expression, tuple) and expression[0] == "*":
        number = expression[1] if isinstance(expression[1], int) else 1
        return number, [part for part in expression[1:] if not isinstance(part, int)]
    return 1, [expression]


def budget(question: BudgetQuestion) -> Answer | None:
    """Decide a budget by its coefficients: variables are never negative, so neither is a sum of positive monomials."""
    if question.relation == "==":
        same = not question.slack.terms
        return Answer("proved", TIER, reason="both sides are the same polynomial") if same else None
    if any(coefficient < 0 for coefficient in question.slack.written.values()):
        return None
    least = question.slack.at({name: question.domains[name].least for name in question.slack.variables})
    if question.relation == ">" and least <= 0:
        return None
    return Answer("proved", TIER, bound=least, reason="no monomial of the slack is negative")
