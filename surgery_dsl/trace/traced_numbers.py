"""Numbers that remember where they came from, and tell what code asks of them and makes of them.

A :class:`Traced` behaves as the plain integer everywhere. Arithmetic, rounding and ``divmod`` keep its origin, roots
and bits too; every comparison and truth value is noted. What takes an ``int`` as it is (``int``, ``range``, ``math``)
stands under other names meanwhile (:mod:`~surgery_dsl.trace.shadows`). An index of a list, a key of a table and text
cannot be seen.
"""

import functools
import math
import operator
from collections.abc import Callable, Mapping
from numbers import Number
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surgery_dsl.trace.taint import Uses

Origin = tuple[Any, ...]
"""Where a number came from: ``("attribute", path, name)``, ``("size", ref, dim)``, ``("number", n)``, or an operation
and its operands: ``("*", origin, origin)``; ``/``, ``//``, ``%``, ``+`` and ``-`` likewise; ``("floor", origin)``,
``ceil``, ``trunc`` and ``round`` of quotients. What no expression says has one all the same: ``("sqrt", origin)``."""


class Traced(int):
    """An integer with its origin. It behaves as the plain number everywhere; what the code asks of it is noted."""

    origin: Origin
    session: "Uses"

    @staticmethod
    def of(value: int, origin: Origin, session: "Uses") -> "Traced":
        """Return a number that remembers."""
        traced = Traced(value)
        traced.origin = origin
        traced.session = session
        return traced

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        return int, (_plain(self),)

    def __eq__(self, other: object) -> bool:
        same = int.__eq__(self, other)
        if same is True and type(other) is Traced:
            self.session.equal[self.origin, other.origin] = None
        elif type(other) is int:
            self.session.compared[self.origin, "==", other] = None
        _ask(self, "==", other, same)
        return same

    def __ne__(self, other: object) -> bool:
        same = self.__eq__(other)
        return same if same is NotImplemented else not same

    # What is no integer (a tensor) answers itself, and with more than a bool: `not` must not be asked of it.

    def __lt__(self, other: int) -> bool:
        if type(other) is int:
            self.session.compared[self.origin, "<", other] = None
        return _ask(self, "<", other, int.__lt__(self, other))

    def __ge__(self, other: int) -> bool:
        if type(other) is int:
            self.session.compared[self.origin, "<", other] = None
        return _ask(self, ">=", other, int.__ge__(self, other))

    def __gt__(self, other: int) -> bool:
        if type(other) is int:
            self.session.compared[self.origin, "<", other + 1] = None
        return _ask(self, ">", other, int.__gt__(self, other))

    def __le__(self, other: int) -> bool:
        if type(other) is int:
            self.session.compared[self.origin, "<", other + 1] = None
        return _ask(self, "<=", other, int.__le__(self, other))

    def __bool__(self) -> bool:
        zero = _plain(self) == 0
        self.session.ask(self.origin, "==", ("number", 0), zero)
        return not zero

    __hash__ = int.__hash__

    def __neg__(self) -> int:
        return Traced.of(-_plain(self), ("-", ("number", 0), self.origin), self.session)

    def __pos__(self) -> int:
        return self

    def __abs__(self) -> int:
        return -self if self < 0 else self

    def __divmod__(self, other: int) -> tuple[int, int]:
        return self // other, self % other

    def __rdivmod__(self, other: int) -> tuple[int, int]:
        return other // self, other % self

    def __pow__(self, power: Any, modulus: Any = None) -> Any:
        if modulus is None and type(power) is int and 1 <= power <= _POWERS and reads_size(self.origin):
            return functools.reduce(operator.mul, [self] * power)
        return computed("**" if modulus is None else "pow", pow, self, power, *(() if modulus is None else (modulus,)))

    def __rpow__(self, base: Any, modulus: Any = None) -> Any:
        return computed("**", pow, base, self)

    def __rshift__(self, places: int) -> Any:
        return self // (1 << places)

    def __lshift__(self, places: int) -> Any:
        return self * (1 << places)

    def __and__(self, other: Any) -> Any:
        if type(other) is int and other > 0 and other & (other + 1) == 0:
            return self % (other + 1)
        return computed("&", operator.and_, self, other)

    def __or__(self, other: Any) -> Any:
        return computed("|", operator.or_, self, other)

    def __xor__(self, other: Any) -> Any:
        return computed("^", operator.xor, self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def __invert__(self) -> int:
        return -self - 1

    def bit_length(self) -> Any:
        """Return how many bits it takes; what is made of that is not followed."""
        return computed("bit_length", int.bit_length, self)

    def bit_count(self) -> Any:
        """Return how many bits are set; what is made of that is not followed."""
        return computed("bit_count", int.bit_count, self)

    def __truediv__(self, other: Any) -> Any:
        return _divided(self, other, self.session)

    def __rtruediv__(self, other: Any) -> Any:
        return _divided(other, self, self.session)

    def __round__(self, digits: Any = None) -> Any:
        return self if digits is None else computed("round", round, self, digits)

    def __floor__(self) -> int:
        return self

    __ceil__ = __trunc__ = __floor__

    def __int__(self) -> int:
        self.session.lose(self.origin)
        return int.__int__(self)

    def __float__(self) -> float:
        self.session.blur(self.origin)
        return float(_plain(self))


class Quotient(float):
    """A number that ``/`` made of the size of a tensor: rounded, it is a size again."""

    origin: Origin
    session: "Uses"

    @staticmethod
    def of(value: float, origin: Origin, session: "Uses") -> "Quotient":
        """Return a number that remembers."""
        quotient = Quotient(value)
        quotient.origin = origin
        quotient.session = session
        return quotient

    def __reduce__(self) -> tuple[type[float], tuple[float]]:
        return float, (_plain(self),)

    def _whole(self, way: str, value: int) -> int:
        self.session.note(origin := (way, self.origin))
        return Traced.of(value, origin, self.session)

    def __floor__(self) -> int:
        return self._whole("floor", math.floor(_plain(self)))

    def __ceil__(self) -> int:
        return self._whole("ceil", math.ceil(_plain(self)))

    def __trunc__(self) -> int:
        return self._whole("trunc", math.trunc(_plain(self)))

    def __round__(self, digits: Any = None) -> Any:
        if digits is not None:
            return computed("round", round, self, digits)
        return self._whole("round", round(_plain(self)))

    def __int__(self) -> int:
        self.session.lose(("trunc", self.origin))
        return math.trunc(float.__float__(self))

    def __float__(self) -> float:
        self.session.blur(self.origin)
        return float.__float__(self)

    def __bool__(self) -> bool:
        zero = _plain(self) == 0
        self.session.ask(self.origin, "==", ("number", 0), zero)
        return not zero

    def __neg__(self) -> float:
        return Quotient.of(-_plain(self), ("-", ("number", 0), self.origin), self.session)

    def __pos__(self) -> float:
        return self

    def __abs__(self) -> float:
        return -self if self < 0 else self

    def __divmod__(self, other: Any) -> tuple[float, float]:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> tuple[float, float]:
        return other // self, other % self

    def __pow__(self, power: Any, modulus: None = None) -> Any:
        return computed("**", pow, self, power)

    def __rpow__(self, base: Any, modulus: None = None) -> Any:
        return computed("**", pow, base, self)

    def is_integer(self) -> bool:
        """Say whether it is whole; that is noted, as every question."""
        whole = float.is_integer(self)
        self.session.ask(self.origin, "==", ("floor", self.origin), whole)
        return whole

    def __eq__(self, other: object) -> bool:
        return _ask(self, "==", other, float.__eq__(self, other))

    def __ne__(self, other: object) -> bool:
        same = self.__eq__(other)
        return same if same is NotImplemented else not same

    def __lt__(self, other: float) -> bool:
        return _ask(self, "<", other, float.__lt__(self, other))

    def __ge__(self, other: float) -> bool:
        return _ask(self, ">=", other, float.__ge__(self, other))

    def __gt__(self, other: float) -> bool:
        return _ask(self, ">", other, float.__gt__(self, other))

    def __le__(self, other: float) -> bool:
        return _ask(self, "<=", other, float.__le__(self, other))

    def __truediv__(self, other: Any) -> Any:
        return _divided(self, other, self.session)

    def __rtruediv__(self, other: Any) -> Any:
        return _divided(other, self, self.session)

    __hash__ = float.__hash__


def _plain(number: Any) -> Any:
    """Return a number without its origin; nothing is noted."""
    return int.__int__(number) if isinstance(number, int) else float.__float__(number)


def _origin(value: object) -> Origin | None:
    """Return where a number came from; ``None`` for what is no number."""
    if type(value) is Traced or type(value) is Quotient:
        return value.origin
    if type(value) is bool:
        return ("number", int(value))
    return ("number", value) if type(value) is int or type(value) is float else None


def _ask(number: Traced | Quotient, relation: str, other: object, held: bool) -> bool:
    """Note a question and its answer; one of something else than numbers is answered elsewhere."""
    theirs = _origin(other)
    if theirs is not None:
        # An integer leaves the answer to the float that it is compared with.
        held = held if held is not NotImplemented else _COMPARED[relation](_plain(number), _plain(other))
        number.session.ask(number.origin, relation, theirs, held)
    return held


_COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_POWERS = 4
"""Powers up to which a number remembers its factors."""


def _divided(one: Any, two: Any, session: "Uses") -> Any:
    """Return ``one / two``; a number that remembers, where a tensor's size is among them."""
    left, right = _origin(one), _origin(two)
    if left is None or right is None:
        return NotImplemented
    value = _plain(one) / _plain(two)
    return Quotient.of(value, ("/", left, right), session) if reads_size(left) or reads_size(right) else value


def reads_size(origin: Origin) -> bool:
    """Say whether a number follows from the size of a tensor."""
    if origin[0] in ("number", "attribute"):
        return False
    return origin[0] == "size" or any(reads_size(operand) for operand in origin[1:])


def computed(kind: str, function: Callable[..., Any], *numbers: Any) -> Any:
    """Return what a function makes of numbers, as a number that nothing can say, yet remembers what it is made of.

    A question that is asked of it, and a whole number that is made of it, are told; a scale is none of either.
    """
    origins = tuple(_origin(number) for number in numbers)
    value = function(*(_plain(number) if type(number) in (Traced, Quotient) else number for number in numbers))
    session = next(number.session for number in numbers if type(number) in (Traced, Quotient))
    known = tuple(origin for origin in origins if origin is not None)
    if not reads_size(origin := (kind, *known)):
        return value
    if type(value) is bool:
        session.ask(origin, "==", ("number", 1), value)
    if len(known) < len(origins) or type(value) not in (int, float):
        for one in known:
            session.blur(one)
        return value
    if type(value) is float:
        return Quotient.of(value, origin, session)
    session.note(origin)
    return Traced.of(value, origin, session)


def _arithmetic(symbol: str, function: Callable[[Any, Any], Any], swapped: bool) -> Callable[[Any, Any], Any]:
    def method(self: Any, other: Any) -> Any:
        theirs = _origin(other)
        if theirs is None:
            plain = _plain(self)
            if isinstance(other, Number):
                self.session.blur(self.origin)
            try:
                return function(other, plain) if swapped else function(plain, other)
            except TypeError:
                return NotImplemented
        left, right = (_plain(other), _plain(self)) if swapped else (_plain(self), _plain(other))
        origin = (symbol, *((theirs, self.origin) if swapped else (self.origin, theirs)))
        result = function(left, right)
        if type(result) is float:
            return Quotient.of(result, origin, self.session) if reads_size(origin) else result
        if symbol in ("//", "%"):
            self.session.note(origin)
        return Traced.of(result, origin, self.session)

    return method


ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
}
"""What of Python's arithmetic on integers gives an integer, by its symbol."""

for _symbol, _function in ARITHMETIC.items():
    _name = _function.__name__
    for _kind in (Traced, Quotient):
        setattr(_kind, f"__{_name}__", _arithmetic(_symbol, _function, swapped=False))
        setattr(_kind, f"__r{_name}__", _arithmetic(_symbol, _function, swapped=True))
