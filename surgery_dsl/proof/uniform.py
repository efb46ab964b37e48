"""How far the worst outcome of a global ranking lies above the uniform one, where every layer gives the same share.

A budget that is proved holds for every outcome, and the worst may be far from what the author has in mind: 40 % of all
units, taken where a layer is thin and left where it is wide, keeps half as much again as 40 % of each layer. Both
numbers are exact, so that a plan can be read for what it allows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from surgery_dsl.proof.amount import Domain
from surgery_dsl.proof.questions import Sum
from surgery_dsl.proof.verdict import Verdict, exact_text, rounded_text

if TYPE_CHECKING:
    from surgery_dsl.proof.deciding import Decided

FAR = Fraction(1, 4)
"""Share above the uniform outcome from which on a verdict says so."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The worst outcome beside the uniform one, both in the quantity's own unit; ``exact`` where some outcome is it."""

    worst: Fraction
    uniform: Fraction
    exact: bool = True

    @property
    def share(self) -> Fraction:
        """How far the worst lies above, as a share of the uniform outcome."""
        return self.worst / self.uniform - 1

    @property
    def text(self) -> str:
        """The finding in words."""
        worst, uniform = rounded_text(self.worst), rounded_text(self.uniform)
        above = f"{'' if self.exact else 'at most '}{round(float(self.share * 100))} %"
        return f"the worst outcome is {above} above the uniform one ({worst} against {uniform})"

    @property
    def facts(self) -> dict[str, str | int]:
        """The numbers by name."""
        return {"uniform": exact_text(self.uniform), "above_uniform": round(float(self.share * 100))}


def uniform_sizes(sums: Sequence[Sum], domains: Mapping[str, Domain]) -> dict[str, int]:
    """Return what each layer keeps where all of one ranking lose the same share, as near as whole legal counts come.

    With K of Σ w·n units gone, a layer of n keeps n·(1 − K / Σ w·n), brought onto its own steps and bounds.
    """
    found: dict[str, int] = {}
    for fixed in sums:
        whole = sum((weight * size for _, size, weight in fixed.parts), Fraction(0))
        share = Fraction(fixed.least + fixed.most, 2) / whole if whole else Fraction(0)
        for name, size, _ in fixed.parts:
            domain = domains.get(name)
            if domain is not None:
                found[name] = _nearest(size * (1 - share), domain)
    return found


def _nearest(size: Fraction, domain: Domain) -> int:
    steps = (2 * (size - domain.least) + domain.step) // (2 * domain.step)
    near = domain.least + max(0, int(steps)) * domain.step
    return near if domain.most is None else min(near, domain.most - (domain.most - domain.least) % domain.step)


def noted(verdict: Verdict, decided: "Decided", sums: Sequence[Sum], worst: Mapping[str, int]) -> Verdict:
    """Return the verdict on a limit from above, with the gap in its reason and facts where that is more than a quarter.

    Args:
        verdict: A verdict that is proved.
        decided: The comparison.
        sums: What the rankings so far fix.
        worst: The worst outcome that is known, every variable of the left side included.
    """
    amount, domains = decided.left.high, decided.reader.domains
    even = uniform_sizes([fixed for fixed in sums if all(name in domains for name, _, _ in fixed.parts)], domains)
    if even.keys().isdisjoint(amount.variables):
        return verdict
    exact = not decided.answer.witness.keys().isdisjoint(even)
    most = amount.at(worst)
    limit, bound = decided.right.low.number, decided.answer.bound
    if not exact and limit is not None and bound is not None:
        most = min(most, limit - bound)
    found = Gap(most, amount.at({**worst, **even}), exact)
    if found.uniform <= 0 or found.share <= FAR:
        return verdict
    reason = f"{verdict.reason}; {found.text}" if verdict.reason else found.text
    return verdict.replaced(reason=reason, facts={**verdict.facts, **found.facts})
