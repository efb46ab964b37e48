"""From a polynomial over ranges to one of degree two over the unit cube, never above it: what a dual bound minimises.

With a = least + width·u each axis becomes a number u from 0 to 1, and a multilinear polynomial is least at a vertex.
What is not multilinear or has more factors is replaced:

- u^k that pulls down (negative coefficient) by its chord u, exact at both ends; u^k that pulls up by a tangent.
- A product of three or more that pulls down by an auxiliary variable w: -c·Πu = min over w of c·w·(d - 1 - Σu),
  exact at every vertex (Freedman & Drineas, Energy minimization via graph cuts, CVPR 2005).
- One that pulls up by c·Π = c·Π' - c·Π'·(1 - z), z its last factor: a shorter one, and one that pulls down.

All numbers are integers: the polynomial is scaled by the common denominator of its coefficients.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import accumulate
from math import lcm

from surgery_dsl.proof.amount import Monomial
from surgery_dsl.proof.questions import Sum
from surgery_dsl.proof.running_sums import Chain, Unrolled

TANGENTS = 64
"""Tangents touch at multiples of this part."""
Ranges = Mapping[str, tuple[int, int]]
"""Least and greatest size of each axis."""


@dataclass(slots=True)
class UnitSum:
    """What a sum removes, in integers: ``at_least`` where all u are 0, less ``amounts[i]`` for each u_i.

    Attributes:
        amounts: (variable, what is removed less when its u goes from 0 to 1).
        whole: What is removed where every u is 0.
        least: Least total.
        most: Greatest total.
        scale: What all four are multiplied by.
    """

    amounts: list[tuple[int, int]]
    whole: int
    least: int
    most: int
    scale: int


@dataclass(slots=True)
class Run:
    """Products of variables with the sum of all members of a chain before a place.

    Attributes:
        members: (variable, positive amount) in the order of the chain; no variable twice.
        uses: (place, variable, coefficient), places ascending: coefficient·variable·Σ_{i < place} amount_i·member_i.
    """

    members: list[tuple[int, int]]
    uses: list[tuple[int, int, int]]

    def value(self, vertex: Sequence[int]) -> int:
        """Return the sum of all products at a vertex."""
        before = list(accumulate([amount if vertex[variable] else 0 for variable, amount in self.members], initial=0))
        return sum([c * before[place] for place, variable, c in self.uses if vertex[variable]])

    @property
    def size(self) -> int:
        """The sum of all products' absolute coefficients."""
        before = list(accumulate([amount for _, amount in self.members], initial=0))
        return sum([abs(c) * before[place] for place, _, c in self.uses])

    def pairs(self) -> Iterator[tuple[tuple[int, int], int]]:
        """Yield every product by itself."""
        for place, variable, coefficient in self.uses:
            for member, amount in self.members[:place]:
                yield (member, variable) if member < variable else (variable, member), coefficient * amount


@dataclass(slots=True)
class UnitBox:
    """A polynomial of degree two over the unit cube, and the sums that outcomes keep.

    Attributes:
        names: Axis of each variable; auxiliary variables follow without a name.
        constant: Coefficient of the constant.
        linear: Coefficient of each variable.
        pairs: Coefficient of each product of two variables, the smaller number first.
        scale: What these are multiplied by.
        sums: The sums.
        powers: Axes whose powers pull up.
        runs: More products of two variables, along chains; a pair may be in several of these and in ``pairs``.
    """

    names: list[str]
    constant: int
    linear: list[int]
    pairs: dict[tuple[int, int], int]
    scale: int
    sums: list[UnitSum] = field(default_factory=list)
    powers: frozenset[str] = frozenset()
    runs: list[Run] = field(default_factory=list)


def unit_box(
    amount: Unrolled,
    ranges: Ranges,
    sums: Sequence[Sum] = (),
    tangents: Mapping[str, Fraction] | None = None,
) -> UnitBox:
    """Return a lower estimate of a polynomial, exact at vertices where no power pulls up.

    Args:
        amount: The polynomial; every variable has a range.
        ranges: Ranges of the variables of the polynomial and of the sums, ends included.
        sums: Sums over axes; axes that do not occur in the polynomial count as well.
        tangents: Where powers that pull up are touched, from 0 to 1 in parts of :data:`TANGENTS`; one half by default.
    """
    coefficients = [amount.terms.values(), *(chain.uses.values() for chain in amount.chains)]
    scale = lcm(*{coefficient.denominator for values in coefficients for coefficient in values})
    names = [name for name, (least, most) in ranges.items() if least < most]
    number = {name: index for index, name in enumerate(names)}
    box = UnitBox(names, 0, [0] * len(names), {}, scale)
    higher = _expand(box, amount.terms, ranges, number)
    for chain in amount.chains:
        _run(box, chain, ranges, number)
    if higher:
        _flatten(box, higher, tangents or {})
    for fixed in sums:
        box.sums.append(_unit_sum(fixed, ranges, number))
    return box


def _expand(
    box: UnitBox, terms: Mapping[Monomial, Fraction], ranges: Ranges, number: Mapping[str, int]
) -> dict[tuple[int, ...], int]:
    """Fill in what has degree two at most, and return the rest."""
    linear, pairs, scale = box.linear, box.pairs, box.scale
    constant = 0
    higher: dict[tuple[int, ...], int] = {}
    for monomial, coefficient in terms.items():
        factor = coefficient.numerator * (scale // coefficient.denominator)
        if len(monomial) == 2 and monomial[0] != monomial[1]:
            left, right = monomial
            low_left, high_left = ranges[left]
            low_right, high_right = ranges[right]
            constant += factor * low_left * low_right
            width_left, width_right = high_left - low_left, high_right - low_right
            if width_left:
                i = number[left]
                linear[i] += factor * width_left * low_right
                if width_right:
                    j = number[right]
                    linear[j] += factor * width_right * low_left
                    key = (i, j) if i < j else (j, i)
                    pairs[key] = pairs.get(key, 0) + factor * width_left * width_right
            elif width_right:
                linear[number[right]] += factor * width_right * low_left
        elif not monomial:
            constant += factor
        else:
            for key_, value in _multiplied(monomial, factor, ranges, number).items():
                if not key_:
                    constant += value
                elif len(key_) == 1:
                    linear[key_[0]] += value
                elif len(key_) == 2 and key_[0] != key_[1]:
                    pairs[key_[0], key_[1]] = pairs.get((key_[0], key_[1]), 0) + value
                else:
                    higher[key_] = higher.get(key_, 0) + value
    box.constant = constant
    return higher


def _run(box: UnitBox, chain: Chain, ranges: Ranges, number: Mapping[str, int]) -> None:
    """Add the products along a chain: (least + width·u)·Σ_{i < place} weight_i·(least_i + width_i·u_i)."""
    members: list[tuple[int, int]] = []
    before = [0]
    open_before = [0]
    for name, weight in chain.members:
        least, most = ranges[name]
        if least < most:
            members.append((number[name], weight * (most - least)))
        before.append(before[-1] + weight * least)
        open_before.append(len(members))
    slopes = [0] * (len(members) + 1)
    uses = []
    for (place, name), coefficient in sorted(chain.uses.items()):
        factor = coefficient.numerator * (box.scale // coefficient.denominator)
        least, most = ranges[name]
        box.constant += factor * least * before[place]
        slopes[open_before[place]] += factor * least
        if least < most:
            box.linear[number[name]] += factor * (most - least) * before[place]
            uses.append((open_before[place], number[name], factor * (most - least)))
    slope = 0
    for place in range(len(members), 0, -1):
        slope += slopes[place]
        variable, amount = members[place - 1]
        box.linear[variable] += slope * amount
    if uses and members:
        box.runs.append(Run(members, uses))


def _multiplied(
    monomial: Monomial, factor: int, ranges: Ranges, number: Mapping[str, int]
) -> dict[tuple[int, ...], int]:
    """Multiply out one monomial: {numbers of variables in order: coefficient}."""
    result: dict[tuple[int, ...], int] = {(): factor}
    for name in monomial:
        least, most = ranges[name]
        after: dict[tuple[int, ...], int] = {}
        for key, value in result.items():
            if least:
                after[key] = after.get(key, 0) + value * least
            if most > least:
                longer = tuple(sorted((*key, number[name])))
                after[longer] = after.get(longer, 0) + value * (most - least)
        result = after
    return result


def _flatten(box: UnitBox, higher: dict[tuple[int, ...], int], tangents: Mapping[str, Fraction]) -> None:
    """Replace powers and long products, the longest first."""
    rising = [key for key, value in higher.items() if value > 0 and len(set(key)) < len(key)]
    if rising:
        more = TANGENTS ** max(len(key) for key in rising)
        box.scale *= more
        box.constant *= more
        box.linear[:] = [value * more for value in box.linear]
        box.pairs = {key: value * more for key, value in box.pairs.items()}
        for run in box.runs:
            run.uses = [(place, variable, coefficient * more) for place, variable, coefficient in run.uses]
        higher = {key: value * more for key, value in higher.items()}
    touched: set[str] = set()
    flat: dict[tuple[int, ...], int] = {}
    for key, value in higher.items():
        _without_powers(box, flat, touched, key, value, tangents)
    box.powers = frozenset(touched)
    for length in range(max((len(key) for key in flat), default=0), 2, -1):
        for key in [key for key in flat if len(key) == length]:
            _shortened(box, flat, key, flat.pop(key))
    for key, value in flat.items():
        if not key:
            box.constant += value
        elif len(key) == 1:
            box.linear[key[0]] += value
        else:
            box.pairs[key[0], key[1]] = box.pairs.get((key[0], key[1]), 0) + value


def _without_powers(
    box: UnitBox,
    flat: dict[tuple[int, ...], int],
    touched: set[str],
    key: tuple[int, ...],
    value: int,
    tangents: Mapping[str, Fraction],
) -> None:
    """Replace powers by chords (pulling down) or tangents (pulling up)."""
    if not value:
        return
    if value < 0 or len(set(key)) == len(key):
        once = tuple(dict.fromkeys(key))
        flat[once] = flat.get(once, 0) + value
        return
    variable = next(i for i in key if key.count(i) > 1)
    power = key.count(variable)
    others = tuple(i for i in key if i != variable)
    touched.add(box.names[variable])
    point = tangents.get(box.names[variable], Fraction(1, 2))
    slope, offset = power * point ** (power - 1) * value, (power - 1) * point**power * value
    single = tuple(sorted((*others, variable)))
    # Where the rest still holds powers, the part that is taken away would pull them down: exact chords are sound.
    _without_powers(box, flat, touched, single, _whole(slope), tangents)
    _without_powers(box, flat, touched, others, -_whole(offset), tangents)


def _whole(value: Fraction) -> int:
    if value.denominator != 1:
        raise AssertionError(f"{value} is not a whole number: the scale of tangents is too small")
    return value.numerator


def _shortened(box: UnitBox, flat: dict[tuple[int, ...], int], key: tuple[int, ...], value: int) -> None:
    """Replace a product of three or more by products of two with a variable of its own."""
    if not value:
        return
    size = len(key)
    if value > 0:
        flat[key[:-1]] = flat.get(key[:-1], 0) + value
    amount = abs(value)
    new = len(box.linear)
    box.linear.append(amount * (size - 1 if value < 0 else size - 2))
    for variable in key[:-1]:
        box.pairs[variable, new] = -amount
    box.pairs[key[-1], new] = -amount if value < 0 else amount


def _unit_sum(fixed: Sum, ranges: Ranges, number: Mapping[str, int]) -> UnitSum:
    scale = lcm(*(weight.denominator for _, _, weight in fixed.parts)) if fixed.parts else 1
    amounts: dict[int, int] = {}
    whole = 0
    for name, size, weight in fixed.parts:
        each = weight.numerator * (scale // weight.denominator)
        least, most = ranges[name]
        whole += each * (size - least)
        if most > least:
            amounts[number[name]] = amounts.get(number[name], 0) + each * (most - least)
    return UnitSum(list(amounts.items()), whole, fixed.least * scale, fixed.most * scale, scale)
