"""Amounts with sums of axes, as chains: products of a variable with the sum of what stands before a place.

In a dense network layer k reads what all layers before it have written, so that its width is s_k = s_{k-1} + a_k. The
widths of all layers are sums of the first members of one *chain* a_0, a_1, …, and all products b_k·s_k together take as
much room as the layers do, where their monomials b_k·a_j are one for each pair of layers. What a value, a slope or a
bound needs of them comes of one walk along the chain.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from surgery_dsl.interface.polynomial import Sums, multiplied_out
from surgery_dsl.proof.amount import Amount, Monomial


@dataclass(slots=True)
class Chain:
    """Variables in a row, and what is multiplied with the sum of those before a place.

    Attributes:
        members: Variable and positive weight of each place; no variable twice where there are uses.
        uses: Coefficient of (variable)·Σ_{i < place} weight_i·member_i by place and variable; the variable is none of
            these members.
    """

    members: list[tuple[str, int]] = field(default_factory=list)
    uses: dict[tuple[int, str], Fraction] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unrolled:
    """An amount as monomials over variables and chains of them; their sum is the amount."""

    terms: Mapping[Monomial, Fraction]
    chains: tuple[Chain, ...] = ()

    @property
    def size(self) -> int:
        """How many numbers it takes to write it."""
        return len(self.terms) + sum(len(chain.members) + len(chain.uses) for chain in self.chains)


@dataclass(frozen=True, slots=True)
class _Place:
    """A sum: a constant and the first members of a chain."""

    chain: Chain
    length: int
    constant: int


def unrolled(amount: Amount) -> Unrolled:
    """Return an amount with its sums as chains; products of sums with sums, or with their own members, as monomials."""
    if not amount.sums:
        return Unrolled(amount.terms)
    places = _places(amount.sums)
    first: dict[int, dict[str, int]] = {}
    for place in places.values():
        at = first.setdefault(id(place.chain), {})
        if not at:
            for index, (name, _) in enumerate(place.chain.members):
                at.setdefault(name, index)
    terms: dict[Monomial, Fraction] = {}
    rest: dict[Monomial, Fraction] = {}
    alone: dict[int, dict[int, Fraction]] = {}
    for monomial, coefficient in amount.written.items():
        inside = [name for name in monomial if name in places]
        if not inside:
            terms[monomial] = terms.get(monomial, Fraction(0)) + coefficient
            continue
        place = places[inside[0]]
        others = tuple([name for name in monomial if name != inside[0]])
        if len(inside) > 1 or len(others) > 1 or (others and len(monomial) != 2):
            rest[monomial] = coefficient
            continue
        known = first[id(place.chain)]
        if others and (known.get(others[0], place.length) < place.length or len(known) < len(place.chain.members)):
            rest[monomial] = coefficient
            continue
        if place.constant:
            terms[others] = terms.get(others, Fraction(0)) + coefficient * place.constant
        if others:
            use = place.length, others[0]
            place.chain.uses[use] = place.chain.uses.get(use, Fraction(0)) + coefficient
        else:
            ends = alone.setdefault(id(place.chain), {})
            ends[place.length] = ends.get(place.length, Fraction(0)) + coefficient
    chains = list({id(place.chain): place.chain for place in places.values()}.values())
    for chain in chains:
        _add_alone(terms, chain, alone.get(id(chain), {}))
    for key, value in multiplied_out(rest, amount.sums).items() if rest else ():
        terms[key] = terms.get(key, Fraction(0)) + value
    used = tuple(chain for chain in chains if chain.uses)
    return Unrolled({key: value for key, value in terms.items() if value}, used)


def _add_alone(terms: dict[Monomial, Fraction], chain: Chain, ends: Mapping[int, Fraction]) -> None:
    """Add sums of the first members, by the place where each ends."""
    slope = Fraction(0)
    for place in range(len(chain.members), 0, -1):
        slope += ends.get(place, 0)
        name, weight = chain.members[place - 1]
        if slope:
            terms[name,] = terms.get((name,), Fraction(0)) + slope * weight


def _places(sums: Sums[str]) -> dict[str, _Place]:
    """Return where each sum ends; a sum that goes on where another ends shares its chain."""
    places: dict[str, _Place] = {}
    for name, parts in sums.items():
        longest: _Place | None = None
        for part, weight in parts.items():
            earlier = places.get(part[0]) if part and weight == 1 else None
            if earlier is not None and earlier.length == len(earlier.chain.members):
                longest = earlier if longest is None or earlier.length > longest.length else longest
        chain = Chain() if longest is None else longest.chain
        constant = 0 if longest is None else longest.constant
        for part, weight in parts.items():
            if not part:
                constant += weight
                continue
            earlier = places.get(part[0])
            if earlier is None:
                chain.members.append((part[0], weight))
            elif earlier is not longest:
                constant += weight * earlier.constant
                chain.members += [(each, weight * times) for each, times in earlier.chain.members[: earlier.length]]
        places[name] = _Place(chain, len(chain.members), constant)
    return places
