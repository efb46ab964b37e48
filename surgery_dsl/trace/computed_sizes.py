"""Sizes that Python code computes from the shapes it reads, as expressions in the free sizes.

``pad = (7 - W % 7) % 7`` is a number at each sample of the free sizes, and may be the same at all of them by chance:
the remainders of two odd sizes by 2 always are. So what code does to a size is followed as it was written, not read off
numbers: quotients and remainders are floor divisions, rounded quotients as well, and a question that decides on a way
(``if W % 7``) is a relation that has to hold for every size of the range. What cannot be followed is never taken for a
constant: it is required to stay what it was, or told with its place.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

from surgery_dsl.interface.branches import question
from surgery_dsl.interface.expression import (
    Bounds,
    Expression,
    add,
    bounds,
    evaluate,
    floor_divide,
    multiply,
    text,
)
from surgery_dsl.trace.axes import Axes
from surgery_dsl.trace.recorder import Ref
from surgery_dsl.trace.step import State
from surgery_dsl.trace.taint import Asked, Uses, numbers_of
from surgery_dsl.trace.traced_numbers import Origin, reads_size

_DENOMINATOR = 1 << 16
"""Greatest denominator of a number with a point that is followed exactly: 0.5 and 0.25 are, 0.1 is not."""


@dataclass(frozen=True, slots=True)
class _Ratio:
    """``numerator / denominator``; a rounded one was divided by no power of two, and is only followed when rounded."""

    numerator: Expression
    denominator: int = 1
    rounded: bool = False


class NotFollowed(Exception):
    """A number that follows from free sizes in a way that expressions cannot say."""


@dataclass
class ComputedSizes:
    """What the numbers of one forward are, as far as its shapes are known.

    Attributes:
        uses: What the forward did with sizes.
        axes: The algebra of its axes.
        states: What is known of each tensor.
        ranges: The ranges of the free sizes.
        open: Questions that cannot be said as relations.
    """

    uses: Uses
    axes: Axes
    states: dict[Ref, State]
    ranges: dict[str, Bounds]
    open: list[Asked] = field(default_factory=list)
    _known: dict[Origin, _Ratio | None] = field(default_factory=dict)

    def size(self, origin: Origin) -> Expression:
        """Return a whole number as an expression; raise :class:`NotFollowed` where it cannot be said."""
        ratio = self._ratio(origin)
        if ratio.denominator != 1 or ratio.rounded:
            raise NotFollowed
        return ratio.numerator

    def _ratio(self, origin: Origin) -> _Ratio:
        if origin not in self._known:
            try:
                self._known[origin] = self._computed(origin)
            except NotFollowed:
                self._known[origin] = None
        found = self._known[origin]
        if found is None:
            raise NotFollowed
        return found

    def _computed(self, origin: Origin) -> _Ratio:
        kind = origin[0]
        if kind == "number":
            value = Fraction(origin[1])
            if value.denominator > _DENOMINATOR:
                raise NotFollowed
            return _Ratio(value.numerator, value.denominator)
        if kind == "attribute":
            return _Ratio(self.uses.values[origin[1], origin[2]])
        if kind == "size":
            state = self.states.get(Ref(origin[1]))
            known = None if state is None else self.axes.expression(state.dims[origin[2]])
            if known is None:
                raise NotFollowed
            return _Ratio(known)
        operands = [self._ratio(operand) for operand in origin[1:]]
        if kind in ("floor", "ceil", "trunc", "round") and len(operands) == 1:
            return _Ratio(self._whole(kind, operands[0]))
        if kind not in _FOLLOWED:
            raise NotFollowed
        return self._combined(kind, *operands)

    def _combined(self, kind: str, left: _Ratio, right: _Ratio) -> _Ratio:
        if left.rounded or right.rounded:
            raise NotFollowed
        a, b = multiply(left.numerator, right.denominator), multiply(right.numerator, left.denominator)
        below = left.denominator * right.denominator
        if kind == "+":
            return _Ratio(add(a, b), below)
        if kind == "-":
            return _Ratio(add(a, multiply(-1, b)), below)
        if kind == "*":
            return _Ratio(multiply(left.numerator, right.numerator), below)
        if kind == "/":
            return self._over(a, b)
        quotient = self._floor(a, b)
        return _Ratio(quotient) if kind == "//" else _Ratio(add(a, multiply(-1, b, quotient)), below)

    def _over(self, left: Expression, right: Expression) -> _Ratio:
        if right == 0 or not isinstance(right, int):
            raise NotFollowed
        if right < 0:
            left, right = multiply(-1, left), -right
        return _Ratio(left, right, rounded=right & (right - 1) != 0)

    def _floor(self, left: Expression, right: Expression) -> Expression:
        if isinstance(right, int) and right < 0:
            left, right = multiply(-1, left), -right
        least = right if isinstance(right, int) else bounds(right, self.ranges)[0]
        if least is None or least < 1:
            raise NotFollowed
        return floor_divide(left, right)

    def _whole(self, kind: str, ratio: _Ratio) -> Expression:
        """Return a rounded ratio. The quotient of two integers is rounded to a whole number only if it is one."""
        low = bounds(ratio.numerator, self.ranges)[0]
        if ratio.denominator == 1:
            return ratio.numerator
        if kind == "ceil":
            return multiply(-1, floor_divide(multiply(-1, ratio.numerator), ratio.denominator))
        if kind == "floor" or (kind == "trunc" and low is not None and low >= 0):
            return floor_divide(ratio.numerator, ratio.denominator)
        raise NotFollowed

    # ---- what calls are given --------------------------------------------------------------------------------------

    def given_at(self, record: int) -> Mapping[tuple[int, ...], Expression]:
        """Return the sizes that a call was given: their values at each sample, and what they are.

        Numbers that became plain integers before the call are known from there on.
        """
        for origin in self._by_record[1].get(record, ()):
            for sizes, size in self._varying([origin]):
                self.axes.know(sizes, size)
        given: dict[tuple[int, ...], Expression] = {}
        for sizes, size in self._varying(self._by_record[0].get(record, ())):
            self.axes.apart(given.setdefault(sizes, size), size)
        return given

    @cached_property
    def _by_record(self) -> tuple[dict[int, list[Origin]], dict[int, list[Origin]]]:
        """For the position of each call the numbers that it was given, and those that were lost just before it."""
        given: dict[int, list[Origin]] = {}
        for use in self.uses.calls:
            origins = [origin for origin in numbers_of(use) if reads_size(origin)]
            for record in range(use.first, use.last) if origins else ():
                given.setdefault(record, []).extend(origins)
        lost: dict[int, list[Origin]] = {}
        for origin, record in self.uses.lost.items():
            lost.setdefault(record, []).append(origin)
        return given, lost

    def _varying(self, numbers: Iterable[Origin]) -> Iterator[tuple[tuple[int, ...], Expression]]:
        for origin in numbers:
            try:
                size = self.size(origin)
            except NotFollowed:
                continue
            if not isinstance(size, int):
                yield tuple(evaluate(size, sample) for sample in self.axes.samples), size

    def constant_by_chance(self) -> Iterator[tuple[Origin, Expression]]:
        """Yield the numbers that are the same at all samples, and may differ elsewhere."""
        for origin in self.uses.made:
            try:
                size = self.size(origin)
            except NotFollowed:
                continue
            low, high = (size, size) if isinstance(size, int) else bounds(size, self.ranges)
            if (low is None or low != high) and len({evaluate(size, one) for one in self.axes.samples}) == 1:
                yield origin, size

    def is_blurred(self) -> bool:
        """Say whether something was made of a free size of which nothing tells what it is."""
        return any(self._depends(origin) for origin in self.uses.blurred)

    def not_followed(self) -> Iterator[tuple[str, str]]:
        """Yield what the code computed of free sizes, or asked of them, and no expression says; with its place."""
        for asked in self.open:
            yield f"{self.spelled(asked.left)} {asked.relation} {self.spelled(asked.right)}", asked.source
        for origin, (_, source) in self.uses.made.items():
            try:
                self._ratio(origin)
            except NotFollowed:
                if self._depends(origin):
                    yield self.spelled(origin), source

    def require_constants(self) -> None:
        """Require of numbers that were the same at all samples to be so everywhere: what follows took them for that."""
        for origin, size in self.constant_by_chance():
            self.axes.record, source = self.uses.made[origin]
            value = evaluate(size, self.axes.samples[0])
            self.axes.require("equal", size, value, question(f"{self.spelled(origin)} == {value}", True, source))

    # ---- what is asked ---------------------------------------------------------------------------------------------

    def require_answers(self) -> None:
        """Require of every question that its answer is the same for all sizes."""
        for asked in self.uses.asked.values():
            try:
                self._require_answer(asked)
            except NotFollowed:
                if self._depends(asked.left) or self._depends(asked.right):
                    self.open.append(asked)

    def _require_answer(self, asked: Asked) -> None:
        one, two = self._ratio(asked.left), self._ratio(asked.right)
        if one.rounded or two.rounded:
            if not isinstance(one.numerator, int) or not isinstance(two.numerator, int):
                raise NotFollowed
            return
        left, right = multiply(one.numerator, two.denominator), multiply(two.numerator, one.denominator)
        gap = add(left, multiply(-1, right))
        if isinstance(gap, int):
            return
        relation = asked.relation if asked.held else _OPPOSITE[asked.relation]
        self.axes.record = asked.record
        why = question(
            f"{self.spelled(asked.left)} {asked.relation} {self.spelled(asked.right)}", asked.held, asked.source
        )
        low, high = bounds(gap, self.ranges)
        if relation in (">", ">="):
            left, right, relation, low, high = right, left, {">": "<", ">=": "<="}[relation], _minus(high), _minus(low)
        if relation == "==":
            self.axes.require("equal", left, right, why)
        elif relation in ("<", "<="):
            most = -1 if relation == "<" else 0
            if high is None or high > most:
                self.axes.require("at_least", right, left if relation == "<=" else add(left, 1), why)
        elif (low is None or low <= 0) and (high is None or high >= 0):
            self._require_unequal(gap, low, high, why)

    def _require_unequal(self, gap: Expression, low: int | None, high: int | None, why: str) -> None:
        """Require that a difference is not 0: of one sign where it can have no other, else its square."""
        remainder = self._is_remainder(gap)
        if low == 0 or remainder:
            self.axes.require("at_least", gap, 1, why)
        elif high == 0:
            self.axes.require("at_least", multiply(-1, gap), 1, why)
        else:
            self.axes.require("at_least", multiply(gap, gap), 1, why)

    def _is_remainder(self, size: Expression) -> bool:
        """Say whether a size is n − m·⌊n/m⌋, and so never negative."""
        quotients = [part for part in size[1:] if isinstance(part, tuple)] if isinstance(size, tuple) else []
        for part in quotients:
            inner = part[2] if part[0] == "*" and len(part) == 3 else part
            if isinstance(inner, tuple) and inner[0] == "//":
                whole = add(size, multiply(inner[2], inner))
                if whole == inner[1]:
                    return True
        return False

    def _depends(self, origin: Origin) -> bool:
        """Say whether a number follows from a free size."""
        if origin[0] in ("number", "attribute"):
            return False
        if origin[0] == "size":
            state = self.states.get(Ref(origin[1]))
            return state is None or len(set(self.axes.sizes(state.dims[origin[2]]))) > 1
        return any(self._depends(operand) for operand in origin[1:])

    # ---- words -----------------------------------------------------------------------------------------------------

    def spelled(self, origin: Origin) -> str:
        """Return what the code computes, with the sizes that it reads in the place of names."""
        kind = origin[0]
        if kind == "number":
            return str(origin[1])
        if kind in ("attribute", "size"):
            try:
                size = self.size(origin)
            except NotFollowed:
                return "a size"
            return f"({text(size)})" if isinstance(size, tuple) else text(size)
        if kind.isidentifier():
            return f"{kind}({', '.join(self.spelled(operand) for operand in origin[1:])})"
        if kind == "-" and origin[1] == ("number", 0):
            return f"-{self._bracketed(origin[2])}"
        return f"{self._bracketed(origin[1])} {kind} {self._bracketed(origin[2])}"

    def _bracketed(self, origin: Origin) -> str:
        spelled = self.spelled(origin)
        return f"({spelled})" if origin[0] in _FOLLOWED else spelled


_FOLLOWED = ("+", "-", "*", "/", "//", "%")
_OPPOSITE = {"==": "!=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def _minus(end: int | None) -> int | None:
    return None if end is None else -end
