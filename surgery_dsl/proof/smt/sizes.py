"""z3 on relations of symbolic sizes.

To prove a relation, its negation must have no solution. Each floor quotient ⌊n/d⌋ becomes an integer q with
d·q ≤ n < d·q + d. What divides is stated as a product equality, left · q = right, with q found by polynomial division
where there is one: z3 decides an equality of products in no time, and often never a remainder by a symbolic product.
Of a relation that fails the smallest sizes are found, first the greatest of them, then each in turn, by bisection.
"""

from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

from surgery_dsl.interface.expression import Expression, add, floor_divide, multiply
from surgery_dsl.proof.questions import SizeQuestion
from surgery_dsl.proof.smt.messages import sizes_in
from surgery_dsl.proof.smt.process import Message

MOST_QUOTIENTS = 16
"""Most quotients that are compared with each other."""
Ints = Mapping[str, Any]
"""z3's integer of each free size."""


def solve(job: Message, rlimit: int) -> Message:
    """Look for sizes that break a relation, and for the smallest such."""
    import z3

    question = sizes_in(job["question"])
    variables = {name: z3.Int(name) for name, _, _ in question.ranges}
    facts: list[Any] = []
    for name, least, most in question.ranges:
        facts += [variables[name] >= least, *([] if most is None else [variables[name] <= most])]
    translator = Translator(variables, facts.append, job.get("hints", True))
    broken = _broken(question, translator)
    solver = z3.Solver()
    solver.set("rlimit", rlimit)
    solver.add(*facts, broken)
    found = solver.check()
    if found == z3.unknown and (equations := _equations(facts, translator.quotients, rlimit)):
        solver.add(*equations)
        found = solver.check()
    if found != z3.sat:
        return {"status": str(found), "reason": solver.reason_unknown() if found == z3.unknown else ""}
    return {"status": "sat", "witness": _smallest(solver, question, variables)}


def replay(job: Message, rlimit: int) -> Message:
    """Evaluate a relation at given sizes: ``sat`` where they are in their ranges and break it."""
    import z3

    question = sizes_in(job["question"])
    solver = z3.Solver()
    solver.set("rlimit", rlimit)
    variables = {name: z3.IntVal(size) for name, size in job["witness"].items()}
    if any(name not in variables for name, _, _ in question.ranges):
        return {"status": "unsat", "reason": "the counterexample lacks a size"}
    for name, least, most in question.ranges:
        solver.add(variables[name] >= least, *([] if most is None else [variables[name] <= most]))
    solver.add(_broken(question, Translator(variables, solver.add, hints=False)))
    return {"status": str(solver.check())}


def _equations(facts: list[Any], quotients: list[Any], rlimit: int) -> list[Any]:
    """Return equations between quotients that differ by a number, each shown from the facts alone.

    A product of quotients is too hard for z3 where it does not know which of its factors are equal; that, of chains of
    quotients of one size, is linear arithmetic.
    """
    import z3

    solver = z3.Solver()
    solver.set("rlimit", max(rlimit // 10, 100_000))
    solver.add(*facts)
    if solver.check() != z3.sat:
        return []
    model = solver.model()
    found = []
    for one, other in combinations(quotients[:MOST_QUOTIENTS], 2):
        apart = model.eval(one, model_completion=True).as_long() - model.eval(other, model_completion=True).as_long()
        if solver.check(one - other != apart) == z3.unsat:
            found.append(one - other == apart)
    return found


def _broken(question: SizeQuestion, translator: "Translator") -> Any:
    """Return that the relation fails; what defines its quotients is stated by the translator."""
    import z3

    left, right = translator.term(question.left), translator.term(question.right)
    if question.relation == "equal":
        broken = left != right
    elif question.relation == "at_least":
        broken = left < right
    else:
        whole = divided(question.right, question.left) if translator.hints else None
        quotient = translator.quotient(right, left) if whole is None else translator.term(whole)
        broken = z3.Or(left < 1, left * quotient != right)
    return z3.Or(broken, *(divisor < 1 for divisor in translator.divisors))


class Translator:
    """Turns expressions into z3's terms."""

    def __init__(self, variables: Ints, state: Callable[..., None], hints: bool = True) -> None:
        self.divisors: list[Any] = []
        self.quotients: list[Any] = []
        self.hints = hints
        self._variables, self._state = variables, state
        self._known: dict[Expression, Any] = {}

    def term(self, expression: Expression) -> Any:
        """Return z3's term of an expression; equal quotients are one variable."""
        import z3

        if isinstance(expression, int):
            return z3.IntVal(expression)
        if isinstance(expression, str):
            return self._variables[expression]
        known = self._known.get(expression)
        if known is None:
            known = self._known[expression] = self._compound(expression)
        return known

    def _compound(self, expression: tuple[Any, ...]) -> Any:
        import z3

        if expression[0] == "//":
            return self._floor(expression[1], expression[2])
        parts = [self.term(part) for part in expression[1:]]
        return z3.Sum(parts) if expression[0] == "+" else z3.Product(parts)

    def _floor(self, numerator: Expression, divisor: Expression) -> Any:
        whole, rest = _taken_out(numerator, divisor) if self.hints else (0, numerator)
        if rest == 0:
            self.divisors.append(self.term(divisor))
            return self.term(whole)
        return self.term(whole) + self.quotient(self.term(rest), self.term(divisor))

    def quotient(self, numerator: Any, divisor: Any) -> Any:
        """Return a new integer that is the floor quotient, where the divisor is positive."""
        import z3

        self.divisors.append(divisor)
        result = z3.Int(f"quotient {len(self.divisors)}")
        fits = z3.And(divisor * result <= numerator, numerator < divisor * result + divisor)
        self._state(z3.Implies(divisor >= 1, fits))
        self.quotients.append(result)
        return result


def divided(dividend: Expression, divisor: Expression) -> Expression | None:
    """Return the quotient of two sums of products where a polynomial is one, by division of the monomials."""
    whole, rest = _taken_out(dividend, divisor)
    return whole if rest == 0 else None


def _taken_out(numerator: Expression, divisor: Expression) -> tuple[Expression, Expression]:
    """Write a numerator as whole · divisor + rest; the divisor is a product, else it must be the whole numerator."""
    if numerator == divisor:
        return 1, 0
    number, factors = _factors(divisor)
    if isinstance(divisor, int) or (isinstance(divisor, tuple) and divisor[0] == "+") or number < 1:
        return (0, numerator) if not isinstance(divisor, int) else _by_number(numerator, divisor)
    whole: list[Expression] = []
    rest: list[Expression] = []
    for term in numerator[1:] if isinstance(numerator, tuple) and numerator[0] == "+" else (numerator,):
        count, remaining = _factors(term)
        fits = count % number == 0
        for factor in factors:
            if factor in remaining:
                remaining.remove(factor)
            else:
                fits = False
        (whole if fits else rest).append(multiply(count // number, *remaining) if fits else term)
    return add(*whole), add(*rest)


def _by_number(numerator: Expression, divisor: int) -> tuple[Expression, Expression]:
    if divisor < 1:
        return 0, numerator
    quotient = floor_divide(numerator, divisor)
    parts = quotient[1:] if isinstance(quotient, tuple) and quotient[0] == "+" else (quotient,)
    whole = add(*(part for part in parts if not (isinstance(part, tuple) and part[0] == "//" and part[2] == divisor)))
    return whole, add(numerator, multiply(-divisor, whole))


def _factors(expression: Expression) -> tuple[int, list[Expression]]:
    if isinstance(expression, int):
        return expression, []
    parts = list(expression[1:]) if isinstance(expression, tuple) and expression[0] == "*" else [expression]
    number = 1
    for part in parts:
        number *= part if isinstance(part, int) else 1
    return number, [part for part in parts if not isinstance(part, int)]


def _smallest(solver: Any, question: SizeQuestion, variables: Ints) -> dict[str, int]:
    """Bisect the greatest size of all counterexamples, then each size in turn; the solver knows the relation."""
    import z3

    witness = _values(solver.model(), variables)

    def found_below(limits: list[Any]) -> dict[str, int] | None:
        solver.push()
        solver.add(*limits)
        values = _values(solver.model(), variables) if solver.check() == z3.sat else None
        solver.pop()
        return values

    for group in [tuple(variables), *((name,) for name in variables)]:
        low = max((least for name, least, _ in question.ranges if name in group), default=0)
        while low < (high := max((witness[name] for name in group), default=low)):
            middle = (low + high) // 2
            values = found_below([variables[name] <= middle for name in group])
            if values is None:
                low = middle + 1
            else:
                witness = values
        solver.add(*(variables[name] <= max(witness[name] for name in group) for name in group))
    return witness


def _values(model: Any, variables: Ints) -> dict[str, int]:
    return {name: model.eval(variable, model_completion=True).as_long() for name, variable in variables.items()}
