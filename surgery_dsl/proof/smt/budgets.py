"""z3 on counts: is a polynomial below a bound for some outcome?

First linear arithmetic over reals: each product of two sizes becomes a number within McCormick's envelope
(Computability of global solutions to factorable nonconvex programs, 1976), longer products step by step. No solution
there means none among outcomes. A size N without end is written as its least value plus a number n ≥ 0; then the
coefficient of n⁰ must keep the bound, and that of every other power must not be negative. Multilinear polynomials over
a box have their least value at a corner, so that corners may be asked for. What stays open goes to z3 as it stands,
over integers.
"""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from surgery_dsl.proof.amount import Amount, Monomial
from surgery_dsl.proof.cells import by_powers
from surgery_dsl.proof.questions import BudgetQuestion
from surgery_dsl.proof.smt.messages import budget_in
from surgery_dsl.proof.smt.process import Message
from surgery_dsl.proof.smt.sizes import Translator


def prove(job: Message, rlimit: int) -> Message:
    """Look for outcomes below the limits of some claims, the strongest first: ``unsat``, or an outcome that is one.

    A claim [limit, strict] is that no outcome has a slack below a limit, nor of that limit where it is strict. One that
    stays open passes the question on to the next.
    """
    question = budget_in(job["question"])
    reply: Message = {"status": "unknown", "reason": "nothing is claimed"}
    for limit, strict in job["claims"]:
        below = Fraction(limit)
        if _by_envelopes(question, below, strict, rlimit):
            return {"status": "unsat"}
        reply = _over_integers(question, below, strict, rlimit)
        if reply["status"] != "unknown":
            break
    return reply


def possible(job: Message, rlimit: int) -> Message:
    """Look for any outcome."""
    import z3

    solver = z3.Solver()
    solver.set("rlimit", rlimit)
    outcomes(budget_in(job["question"]), solver)
    found = solver.check()
    return {"status": str(found), "reason": solver.reason_unknown() if found == z3.unknown else ""}


def replay(job: Message, rlimit: int) -> Message:
    """Evaluate an outcome: ``sat`` where it is one and has the slack that is claimed, which breaks the claim."""
    import z3

    question = budget_in(job["question"])
    sizes = {name: int(size) for name, size in job["witness"].items()}
    missing = sorted(_names(question) - sizes.keys())
    if missing:
        return {"status": "unsat", "reason": f"the outcome lacks {missing[0]}"}
    solver = z3.Solver()
    solver.set("rlimit", rlimit)
    variables = outcomes(question, solver)
    for name, variable in variables.items():
        if name in sizes:
            solver.add(variable == sizes[name])
    values = {name: z3.IntVal(size) for name, size in sizes.items()}
    slack = amount_term(question.reached, values)
    if job["least"] is not None:
        solver.add(slack == rational(Fraction(job["least"])))
    if job["breaks"]:
        solver.add({">=": slack < 0, ">": slack <= 0, "==": slack != 0}[question.relation])
    return {"status": str(solver.check())}


# ---- terms -------------------------------------------------------------------------------------------------------


def rational(value: Fraction) -> Any:
    """Return an exact number of z3."""
    import z3

    return z3.RatVal(value.numerator, value.denominator)


def amount_term(amount: Amount, variables: Mapping[str, Any]) -> Any:
    """Return the term of a polynomial, every product as it stands."""
    import z3

    terms = [
        rational(coefficient) * z3.ToReal(z3.Product([variables[name] for name in monomial]))
        if monomial
        else rational(coefficient)
        for monomial, coefficient in amount.terms.items()
    ]
    return z3.Sum(terms) if terms else z3.RealVal(0)


def _names(question: BudgetQuestion) -> frozenset[str]:
    """Return every variable that binds: of the polynomials, of sums that touch them, and free sizes of quotients."""
    return question.slack.variables | question.reached.variables


def outcomes(question: BudgetQuestion, solver: Any) -> dict[str, Any]:
    """Return integers that are the sizes of an outcome: in their domains, quotients of free sizes, every sum kept."""
    import z3

    used = _names(question) | {name for fixed in question.sums for name, _, _ in fixed.parts}
    used |= {name for name, domain in question.domains.items() if domain.kind == "free"}
    variables = {name: z3.Int(name) for name in sorted(used)}
    translator = Translator({n: v for n, v in variables.items() if question.domains[n].kind == "free"}, solver.add)
    for name, variable in variables.items():
        domain = question.domains[name]
        if domain.kind == "quotient":
            solver.add(variable == translator.term(domain.expression))
            continue
        solver.add(variable >= domain.least)
        if domain.most is not None:
            solver.add(variable <= domain.most)
        if domain.step != 1:
            steps = z3.Int(f"steps of {name}")
            solver.add(variable == domain.least + domain.step * steps)
    for fixed in question.sums:
        removed = z3.Sum([rational(w) * z3.ToReal(whole - variables[name]) for name, whole, w in fixed.parts])
        solver.add(removed >= fixed.least, removed <= fixed.most)
    return variables


# ---- linear arithmetic -------------------------------------------------------------------------------------------


def _by_envelopes(question: BudgetQuestion, below: Fraction, strict: bool, rlimit: int) -> bool:
    for powers, terms in by_powers(question).items():
        limit, open_end = (below, strict) if not powers else (Fraction(0), False)
        corners = not question.sums and all(len(set(monomial)) == len(monomial) for monomial in terms)
        if _reached(question, terms, limit, open_end, rlimit, corners=False) and (
            not corners or _reached(question, terms, limit, open_end, rlimit, corners=True)
        ):
            return False
    return True


def _reached(
    question: BudgetQuestion,
    terms: Mapping[Monomial, Fraction],
    below: Fraction,
    strict: bool,
    rlimit: int,
    corners: bool,
) -> bool:
    """Whether the envelope of a polynomial over bounded sizes may go below a number; sums are kept."""
    import z3

    solver = z3.SolverFor("QF_LRA")
    solver.set("rlimit", rlimit)
    touched = {name for monomial in terms for name in monomial}
    sums = [fixed for fixed in question.sums if any(name in touched for name, _, _ in fixed.parts)]
    names = sorted(touched | {name for fixed in sums for name, _, _ in fixed.parts})
    ranges = {name: (question.domains[name].least, question.domains[name].most or 0) for name in names}
    envelope = Envelope(ranges, solver)
    slack = envelope.polynomial(terms)
    for fixed in sums:
        removed = z3.Sum([rational(weight) * (whole - envelope.sizes[name]) for name, whole, weight in fixed.parts])
        solver.add(removed >= fixed.least, removed <= fixed.most)
    if corners:
        for name, (least, most) in ranges.items():
            solver.add(z3.Or(envelope.sizes[name] == least, envelope.sizes[name] == most))
    solver.add(slack <= rational(below) if strict else slack < rational(below))
    return bool(solver.check() != z3.unsat)


class Envelope:
    """Numbers for products of bounded sizes, each within McCormick's four inequalities of its factors."""

    def __init__(self, ranges: Mapping[str, tuple[int, int]], solver: Any) -> None:
        import z3

        self.sizes = {name: z3.Real(name) for name in ranges}
        self._solver = solver
        self._products: dict[Monomial, tuple[Any, int, int]] = {}
        for name, (least, most) in ranges.items():
            solver.add(self.sizes[name] >= least, self.sizes[name] <= most)
            self._products[name,] = (self.sizes[name], least, most)

    def polynomial(self, terms: Mapping[Monomial, Fraction]) -> Any:
        """Return a polynomial with a number for each product."""
        import z3

        parts = [rational(c) * self._product(m)[0] if m else rational(c) for m, c in terms.items()]
        return z3.Sum(parts) if parts else z3.RealVal(0)

    def _product(self, monomial: Monomial) -> tuple[Any, int, int]:
        known = self._products.get(monomial)
        if known is not None:
            return known
        import z3

        left, low_left, high_left = self._product(monomial[:-1])
        right, low_right, high_right = self._products[monomial[-1:]]
        result = z3.Real("·".join(monomial))
        self._solver.add(
            result >= low_left * right + low_right * left - low_left * low_right,
            result >= high_left * right + high_right * left - high_left * high_right,
            result <= high_left * right + low_right * left - high_left * low_right,
            result <= low_left * right + high_right * left - low_left * high_right,
        )
        found = self._products[monomial] = (result, low_left * low_right, high_left * high_right)
        return found


def _over_integers(question: BudgetQuestion, below: Fraction, strict: bool, rlimit: int) -> Message:
    """Ask for an outcome as it stands; z3's nonlinear arithmetic often gives up here."""
    import z3

    solver = z3.Solver()
    solver.set("rlimit", rlimit)
    variables = outcomes(question, solver)
    slack = amount_term(question.slack, variables)
    solver.add(slack <= rational(below) if strict else slack < rational(below))
    found = solver.check()
    if found == z3.sat:
        model = solver.model()
        values = {name: model.eval(v, model_completion=True).as_long() for name, v in variables.items()}
        return {"status": "sat", "witness": {name: values[name] for name in values if name in _names(question)}}
    return {"status": str(found), "reason": solver.reason_unknown() if found == z3.unknown else ""}
