"""Questions as JSON: exact integers, and fractions as text."""

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from surgery_dsl.interface.expression import from_json
from surgery_dsl.proof.amount import Amount, Domain
from surgery_dsl.proof.questions import BudgetQuestion, Cell, DualCertificate, SizeQuestion, Sum


def sizes_out(question: SizeQuestion) -> list[Any]:
    """Write a question about sizes."""
    return [question.relation, question.left, question.right, question.ranges]


def sizes_in(data: list[Any]) -> SizeQuestion:
    """Read a question about sizes."""
    relation, left, right, ranges = data
    triples = tuple((name, least, most) for name, least, most in ranges)
    return SizeQuestion(relation, from_json(left), from_json(right), triples)


def budget_out(question: BudgetQuestion) -> dict[str, Any]:
    """Write a question about counts."""
    return {
        "relation": question.relation,
        "slack": _amount_out(question.slack),
        "reached": None if question.reached is question.slack else _amount_out(question.reached),
        "domains": {name: [d.least, d.most, d.step, d.kind, d.expression] for name, d in question.domains.items()},
        "sums": [[[[n, w, str(f)] for n, w, f in fixed.parts], fixed.least, fixed.most] for fixed in question.sums],
    }


def budget_in(data: Mapping[str, Any]) -> BudgetQuestion:
    """Read a question about counts."""
    slack = _amount_in(data["slack"])
    return BudgetQuestion(
        relation=data["relation"],
        slack=slack,
        reached=slack if data["reached"] is None else _amount_in(data["reached"]),
        domains={
            name: Domain(least, most, step, kind, "", from_json(expression))
            for name, (least, most, step, kind, expression) in data["domains"].items()
        },
        sums=tuple(
            Sum(tuple((name, whole, Fraction(weight)) for name, whole, weight in parts), low, high)
            for parts, low, high in data["sums"]
        ),
    )


def certificate_out(certificate: DualCertificate) -> list[Any]:
    """Write a certificate."""
    cells = [
        {
            "bound": str(cell.bound),
            "multipliers": [str(multiplier) for multiplier in cell.multipliers],
            "powers": cell.powers,
            "corner": cell.corner,
            "box": cell.box,
            "tangents": [[name, str(point)] for name, point in cell.tangents],
            "triangles": cell.triangles,
        }
        for cell in certificate.cells
    ]
    return [str(certificate.bound), cells]


def certificate_in(data: list[Any]) -> DualCertificate:
    """Read a certificate."""
    bound, cells = data
    return DualCertificate(
        Fraction(bound),
        tuple(
            Cell(
                bound=Fraction(cell["bound"]),
                multipliers=tuple(Fraction(multiplier) for multiplier in cell["multipliers"]),
                powers=tuple(cell["powers"]),
                corner=tuple((name, value) for name, value in cell["corner"]),
                box=tuple((name, least, most) for name, least, most in cell["box"]),
                tangents=tuple((name, Fraction(point)) for name, point in cell["tangents"]),
                triangles=tuple((a, b, c) for a, b, c in cell["triangles"]),
            )
            for cell in cells
        ),
    )


def _amount_out(amount: Amount) -> list[Any]:
    return [[monomial, str(coefficient)] for monomial, coefficient in amount.terms.items()]


def _amount_in(data: list[Any]) -> Amount:
    return Amount({tuple(monomial): Fraction(coefficient) for monomial, coefficient in data})
