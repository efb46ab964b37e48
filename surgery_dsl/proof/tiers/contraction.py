"""Polynomials over the unit cube with some variables put in, and how those with runs of products are minimised.

A dense network has a product for each pair of layers. Most variables are decided by the range of their own slope: where
it is never negative, 0 is best, where it is never positive, 1 (Hammer, Hansen & Simeone, Roof duality, complementation
and persistency, 1984). Along a chain the ranges of all slopes take one walk, and what is put in shortens it. Products
are multiplied out only among the variables that stay open.
"""

from collections.abc import Sequence

from surgery_dsl.proof.tiers.chords import Run, UnitBox
from surgery_dsl.proof.tiers.elimination import Elimination, Lowest

WORTH = 16
"""Another walk is made while the last one decided at least this part of the variables."""


class Dense:
    """How a polynomial with runs is minimised: as :class:`Elimination` would, with all products multiplied out."""

    def __init__(self, box: UnitBox) -> None:
        self._box = box
        coefficients = [c for run in box.runs for _, _, c in run.uses]
        self.nested = max(coefficients) <= 0 and max(box.pairs.values(), default=0) <= 0
        self.triangles: list[tuple[int, int, int]] = []

    def lowest(self, prices: Sequence[tuple[int, int]], denominator: int) -> Lowest:
        """Return what :meth:`Elimination.lowest` would; :attr:`triangles` grows by those that the value needs."""
        labels = self._decided(prices, denominator)
        decided = len(labels) - labels.count(-1)
        rest = Contracted(self._box, labels, multiplied_out=WORTH * decided < len(labels))
        found = rest.lowest(prices, denominator)
        self.triangles += rest.triangles
        return found

    def _decided(self, prices: Sequence[tuple[int, int]], denominator: int) -> list[int]:
        """Return the value of each variable whose slope has one sign wherever the others are, else -1."""
        box = self._box
        own = [value * denominator for value in box.linear]
        for variable, price in prices:
            own[variable] += price
        falls, rises = _ranges_of_slopes(box)
        return [
            0 if value + fall * denominator >= 0 else 1 if value + rise * denominator <= 0 else -1
            for value, fall, rise in zip(own, falls, rises, strict=True)
        ]


def _ranges_of_slopes(box: UnitBox) -> tuple[list[int], list[int]]:
    """Return what products take from the slope of each variable at most, and what they add at most."""
    falls, rises = [0] * len(box.linear), [0] * len(box.linear)
    for (i, j), value in box.pairs.items():
        side = falls if value < 0 else rises
        side[i] += value
        side[j] += value
    for run in box.runs:
        at = before = 0
        for place, variable, coefficient in run.uses:
            while at < place:
                before += run.members[at][1]
                at += 1
            side = falls if coefficient < 0 else rises
            side[variable] += coefficient * before
        fall = rise = 0
        last = len(run.uses) - 1
        for at in range(len(run.members) - 1, -1, -1):
            while last >= 0 and run.uses[last][0] > at:
                coefficient = run.uses[last][2]
                if coefficient < 0:
                    fall += coefficient
                else:
                    rise += coefficient
                last -= 1
            variable, amount = run.members[at]
            falls[variable] += fall * amount
            rises[variable] += rise * amount
    return falls, rises


class Contracted:
    """A polynomial with some variables put in."""

    def __init__(self, box: UnitBox, labels: list[int], *, multiplied_out: bool = False) -> None:
        self._labels = labels
        self.variables = [i for i, label in enumerate(labels) if label < 0]
        self._number = number = {variable: index for index, variable in enumerate(self.variables)}
        linear = [box.linear[variable] for variable in self.variables]
        rest = UnitBox([], box.constant, linear, {}, box.scale)
        rest.constant += sum([c for c, label in zip(box.linear, labels, strict=True) if label > 0])
        pairs = rest.pairs
        for (i, j), value in box.pairs.items():
            if labels[i] < 0:
                if labels[j] < 0:
                    pairs[number[i], number[j]] = value
                elif labels[j]:
                    linear[number[i]] += value
            elif labels[i]:
                if labels[j] < 0:
                    linear[number[j]] += value
                elif labels[j]:
                    rest.constant += value
        for run in box.runs:
            self._shorten(run, rest)
        if multiplied_out:
            for run in rest.runs:
                for pair, value in run.pairs():
                    pairs[pair] = pairs.get(pair, 0) + value
            rest.runs = []
        self._graph = minimiser(rest)

    def _shorten(self, run: Run, rest: UnitBox) -> None:
        """Put the known variables of a run in."""
        labels, number, linear = self._labels, self._number, rest.linear
        members: list[tuple[int, int]] = []
        ones, places = [0], [0]
        for variable, amount in run.members:
            label = labels[variable]
            if label < 0:
                members.append((number[variable], amount))
            ones.append(ones[-1] + amount if label > 0 else ones[-1])
            places.append(len(members))
        slopes = [0] * (len(members) + 1)
        uses = []
        for place, variable, coefficient in run.uses:
            label = labels[variable]
            if label < 0:
                linear[number[variable]] += coefficient * ones[place]
                if places[place]:
                    uses.append((places[place], number[variable], coefficient))
            elif label:
                rest.constant += coefficient * ones[place]
                slopes[places[place]] += coefficient
        slope = 0
        for place in range(len(members), 0, -1):
            slope += slopes[place]
            variable, amount = members[place - 1]
            linear[variable] += slope * amount
        if uses:
            rest.runs.append(Run(members, uses))

    @property
    def triangles(self) -> list[tuple[int, int, int]]:
        """Triples of variables that were eliminated together, as the whole polynomial numbers them."""
        variables = self.variables
        count = len(variables)
        return [(variables[i], variables[j], variables[k]) for i, j, k in self._graph.triangles if max(i, j, k) < count]

    def lowest(self, prices: Sequence[tuple[int, int]], denominator: int) -> Lowest:
        """Return what :meth:`Elimination.lowest` would of the whole polynomial."""
        labels, number = self._labels, self._number
        open_ = [(number[variable], price) for variable, price in prices if labels[variable] < 0]
        offset = sum([price for variable, price in prices if labels[variable] > 0])
        found = self._graph.lowest(open_, denominator)
        vertices = []
        for vertex in (found.vertex, found.other):
            whole = list(labels)
            for variable, label in zip(self.variables, vertex, strict=True):
                whole[variable] = label
            vertices.append(whole)
        return Lowest(found.value + offset, vertices[0], vertices[1])


def minimiser(box: UnitBox) -> "Dense | Elimination":
    """Return what minimises a polynomial for many prices."""
    return Dense(box) if box.runs else Elimination(box)
