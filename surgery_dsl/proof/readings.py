"""From the sides of an obligation to amounts: quantities at points become polynomials with lower and upper bounds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from surgery_dsl.interface import expression as sizes
from surgery_dsl.interface.model import Extent, Interface
from surgery_dsl.interface.polynomial import Polynomial
from surgery_dsl.language.plan import Apply, Arithmetic, Expression, Quantified, Reading
from surgery_dsl.proof.amount import Amount, Domain
from surgery_dsl.proof.bookkeeping import variable
from surgery_dsl.proof.state import State
from surgery_dsl.proof.tiers.intervals import span_of
from surgery_dsl.vocabulary.context import Static
from surgery_dsl.vocabulary.kinds import Quantity
from surgery_dsl.vocabulary.values import Point


class NotStatic(Exception):
    """An expression that no static rule decides; the text says which part and why."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """An expression between two amounts; ``loose`` counts the readings whose bounds differ.

    ``attained`` says whether some outcome reaches each bound of every loose reading.
    """

    low: Amount
    high: Amount
    loose: int = 0
    attained: bool = True

    @staticmethod
    def exactly(value: Fraction) -> "Bounds":
        """Return the bounds of a number."""
        amount = Amount.constant(value)
        return Bounds(amount, amount)

    @property
    def number(self) -> Fraction | None:
        """The value, where it is one number."""
        return self.low.number if self.low.number == self.high.number else None


@dataclass
class Reader:
    """Reads expressions at one place of a plan and collects the variables that occur."""

    state: State
    domains: dict[str, Domain] = field(default_factory=dict)
    zero_bases: list[Reading] = field(default_factory=list)
    _sums: dict[str, dict[tuple[str, ...], int]] = field(default_factory=dict)
    _names: dict[tuple[tuple[tuple[str, ...], int], ...], str] = field(default_factory=dict)

    def read(self, expression: Expression) -> Bounds:
        """Return the bounds of an expression; raise :class:`NotStatic` where it has none."""
        if isinstance(expression, Quantified):
            return Bounds.exactly(expression.number)
        if isinstance(expression, Reading):
            return self._reading(expression)
        if isinstance(expression, Arithmetic):
            return self._arithmetic(expression)
        if isinstance(expression, Apply):
            return self._apply(expression)
        raise NotStatic(f"`{expression.step}.{expression.name}` is known only after training")

    # ---- readings ------------------------------------------------------------------------------------------------

    def _reading(self, reading: Reading) -> Bounds:
        word: Quantity = reading.word
        if not word.static:
            raise NotStatic(f"`{word.name}` is known only from data")
        state = state_at(self.state, reading.point)
        prefix = f"{reading.point.name} " if reading.point.at == "model" else ""
        context: Static = state.static()
        low, high = word.bounds(state.interface, context)
        scale = Fraction(1, word.denominator)
        stated = word.nominal()
        lower = self._amount(low, state, prefix, stated).scale(scale)
        if low == high:
            return Bounds(lower, lower)
        upper = self._amount(high, state, prefix, stated).scale(scale)
        return Bounds(lower, upper, 1, word.reached(state.interface, context))

    def _amount(self, polynomial: Polynomial, state: State, prefix: str, stated: Mapping[str, int]) -> Amount:
        factors: dict[int, Amount | int | str] = {}
        for name, summands in polynomial.sums.items():
            factors[name] = self._sum(summands, factors, state, prefix)
        parts: list[Amount] = []
        plain: dict[tuple[str, ...], int] = {}
        for monomial, coefficient in polynomial.written.items():
            names: list[str] = []
            rest: list[Amount] = []
            for axis in monomial:
                factor = factors.get(axis)
                if factor is None:
                    factor = factors[axis] = _single(self._axis(axis, state, prefix, stated))
                if isinstance(factor, str):
                    names.append(factor)
                elif isinstance(factor, int):
                    coefficient *= factor
                else:
                    rest.append(factor)
            names.sort()
            key = tuple(names)
            if rest:
                product = Amount({key: Fraction(coefficient)}) if coefficient else Amount({})
                for amount in rest:
                    product = product * amount
                parts.append(product)
            else:
                plain[key] = plain.get(key, 0) + coefficient
        whole = Amount({m: Fraction(c) for m, c in plain.items() if c}, self._sums if polynomial.sums else {})
        return Amount.sum_of([whole, *parts]) if parts else whole

    def _sum(
        self,
        parts: Mapping[tuple[int, ...], int],
        known: dict[int, "Amount | int | str"],
        state: State,
        prefix: str,
    ) -> str:
        """Return the name of a sum of axes; sums of the same have the same name."""
        named: dict[tuple[str, ...], int] = {}
        for part, weight in parts.items():
            for axis in part:
                if axis not in known:
                    known[axis] = _single(self._axis(axis, state, prefix, {}))
            key = tuple([str(known[axis]) for axis in part])
            named[key] = weight
        name = self._names.setdefault(tuple(named.items()), f"sum {len(self._names)}")
        self._sums[name] = named
        return name

    def _axis(self, axis: int, state: State, prefix: str, stated: Mapping[str, int]) -> Amount | int:
        size = state.interface.axes[axis].size
        if isinstance(size, int):
            return size
        if isinstance(size, Extent):
            if size.least == size.most:
                return size.least
            name = prefix + variable(axis, state.versions.get(axis, 0))
            label = state.interface.axes[axis].label
            self.domains[name] = Domain(size.least, size.most, size.step, "axis", label)
            return Amount.variable(name)
        size = sizes.put_in(size, stated) if stated else size
        return size if isinstance(size, int) else self._size(size, state.interface)

    def _size(self, size: sizes.Expression, interface: Interface) -> Amount:
        """Write a symbolic size as an amount; quotients become variables of their own."""
        ranges = {free.name: (free.least, free.most) for free in interface.free}
        if isinstance(size, int):
            return Amount.constant(size)
        if isinstance(size, str):
            least, most = ranges.get(size, (1, None))
            self.domains[size] = Domain(least, most, 1, "free", size)
            return Amount.variable(size)
        parts = [self._size(part, interface) for part in size[1:]] if size[0] != "//" else []
        if size[0] == "+":
            return Amount.sum_of(parts)
        if size[0] == "*":
            product = Amount.constant(1)
            for part in parts:
                product = product * part
            return product
        for name in sizes.symbols(size):
            self._size(name, interface)
        low, high = sizes.bounds(size, {name: ranges.get(name, (1, None)) for name in sizes.symbols(size)})
        name = sizes.text(size)
        self.domains[name] = Domain(max(low or 0, 0), high, 1, "quotient", name, size)
        return Amount.variable(name)

    # ---- arithmetic ----------------------------------------------------------------------------------------------

    def _arithmetic(self, node: Arithmetic) -> Bounds:
        left, right = self.read(node.left), self.read(node.right)
        loose, attained = left.loose + right.loose, left.attained and right.attained
        if node.operator == "+":
            return Bounds(left.low + right.low, left.high + right.high, loose, attained)
        if node.operator == "-":
            return Bounds(left.low - right.high, left.high - right.low, loose, attained)
        if node.operator == "/":
            divisor = right.number
            if divisor is None:
                raise NotStatic("a division by a count that is still open: write a product on the other side")
            if divisor == 0:
                self._zero(node.right)
                raise NotStatic("a division by zero")
            return self._scaled(left, 1 / divisor)
        for factor, other, source in ((left, right, node.right), (right, left, node.left)):
            if factor.number is not None:
                if other.number == 0:
                    self._zero(source)
                return self._scaled(other, factor.number)
        if all((span_of(b.low, self.domains)[0] or Fraction(-1)) >= 0 for b in (left, right)):
            return Bounds(left.low * right.low, left.high * right.high, loose, attained)
        raise NotStatic("a product of two counts that may be negative")

    def _zero(self, node: Expression) -> None:
        if isinstance(node, Reading):
            self.zero_bases.append(node)

    @staticmethod
    def _scaled(bounds: Bounds, factor: Fraction) -> Bounds:
        low, high = bounds.low.scale(factor), bounds.high.scale(factor)
        return (
            Bounds(low, high, bounds.loose, bounds.attained)
            if factor >= 0
            else Bounds(high, low, bounds.loose, bounds.attained)
        )

    def _apply(self, node: Apply) -> Bounds:
        parts = [self.read(argument) for argument in node.arguments]
        if node.function == "mean":
            total = parts[0]
            for part in parts[1:]:
                total = Bounds(total.low + part.low, total.high + part.high, total.loose + part.loose, total.attained)
            return self._scaled(total, Fraction(1, len(parts)))
        values = [part.number for part in parts]
        known = [value for value in values if value is not None]
        if len(known) != len(values) or node.function in ("first", "last"):
            raise NotStatic(f"`{node.function}` of counts that are still open")
        if node.function == "abs":
            return Bounds.exactly(abs(known[0]))
        return Bounds.exactly(max(known) if node.function == "max" else min(known))


def state_at(state: State, point: Point) -> State:
    """Return the state that a point means; raise :class:`NotStatic` where only a run knows it."""
    if point.at == "now":
        return state
    if point.at == "base":
        return state.at_base()
    if point.at == "model" and point.name in state.models:
        interface = state.models[point.name]
        return State(state.file, state.sink, interface, interface, data=state.data)
    known: Mapping[str, State] = {"before": state.before, "after": state.after}.get(point.at, {})
    if point.name in known:
        return known[point.name]
    raise NotStatic(f"`{point.at}({point.name})` is known only after a run")


def _single(factor: Amount | int) -> Amount | int | str:
    """Return the name of an amount that is one variable; anything else as it is."""
    if isinstance(factor, int) or len(factor.terms) != 1:
        return factor
    ((monomial, coefficient),) = factor.terms.items()
    return monomial[0] if coefficient == 1 and len(monomial) == 1 else factor
