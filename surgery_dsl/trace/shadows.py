"""Names of Python under which traced numbers stay traced while a forward runs.

``int(H)``, ``float(H)``, ``len(x)``, ``math.isqrt(n)`` and ``range(0, H, 16)`` take a number as it is and give a plain
one back: what is asked of that, or made of it, nobody sees. So the globals of the network's own code hold other
``int``, ``float``, ``range``, ``len`` and ``math`` meanwhile, which do the same and keep origins. What no name stands
for stays unseen: an index of a list, a key of a table, text.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType
from typing import Any, Final

from torch import Tensor, nn

from surgery_dsl.trace.traced_numbers import Quotient, Traced, computed, reads_size
from surgery_dsl.trace.walking import modules_of
from surgery_dsl.trace.whose_code import is_library


@contextmanager
def shadowed(model: nn.Module) -> Iterator[None]:
    """Let the code of a network's classes, and the functions that they call by name, see the other names."""
    changed = [(names, dict(_shadows(names))) for names in _namespaces(model)]
    before = [{name: names[name] for name in shadows if name in names} for names, shadows in changed]
    try:
        for names, shadows in changed:
            names.update(shadows)
        yield
    finally:
        for (names, shadows), old in zip(changed, before, strict=True):
            for name in shadows:
                names.pop(name, None)
            names.update(old)


def _namespaces(model: nn.Module) -> list[dict[str, Any]]:
    """Return the globals of the network's own code, once each."""
    classes = dict.fromkeys(base for module in modules_of(model) for base in type(module).__mro__)
    own = {id(g): g for cls in classes for function in _functions(vars(cls).values()) if (g := function.__globals__)}
    called = {id(f.__globals__): f.__globals__ for names in own.values() for f in _functions(names.values())}
    return list((own | called).values())


def _functions(values: Iterable[Any]) -> Iterator[FunctionType]:
    for value in list(values):
        function = getattr(value, "__wrapped__", value) if isinstance(value, FunctionType) else None
        if isinstance(function, FunctionType) and not is_library(function.__code__.co_filename):
            yield function


def _shadows(names: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((name, shadow) for name, shadow in _BUILTINS.items() if name not in names)
    for name, value in names.items():
        if value is math:
            yield name, _MATH
        elif isinstance(value, BuiltinFunctionType) and value.__module__ == "math":
            yield name, getattr(_MATH, value.__name__)


class _Type(type):
    """The class of a class that stands for another: the same instances, and calls that keep origins."""

    real: type
    kept: Callable[[Any], Any]

    def __call__(cls, *given: Any, **named: Any) -> Any:
        if len(given) == 1 and not named and type(given[0]) in (Traced, Quotient) and reads_size(given[0].origin):
            return cls.kept(given[0])
        return cls.real(*given, **named)

    def __instancecheck__(cls, value: object) -> bool:
        return isinstance(value, cls.real)

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, cls.real)

    def __getattr__(cls, name: str) -> Any:
        return getattr(cls.real, name)

    def __eq__(cls, other: object) -> bool:
        return other is cls.real or other is cls

    def __hash__(cls) -> int:
        return hash(cls.real)


class _Whole(metaclass=_Type):
    real = int

    @staticmethod
    def kept(number: Traced | Quotient) -> int:
        return math.trunc(number)


class _Broken(metaclass=_Type):
    real = float

    @staticmethod
    def kept(number: Traced | Quotient) -> float:
        return Quotient.of(float(number), number.origin, number.session)


def _counted(*ends: Any) -> Any:
    """Return a range; where sizes make it, how often it turns is noted, and its numbers keep their origins."""
    if not any(type(end) is Traced and reads_size(end.origin) for end in ends):
        return range(*ends)
    start, stop, step = (0, *ends, 1) if len(ends) == 1 else (*ends, 1)[:3]
    turns = -((start - stop) // step)
    return [start + i * step for i in range(turns)]


def _length(value: Any) -> int:
    """Return a length; that of a tensor is the size of its first dimension."""
    return value.shape[0] if isinstance(value, Tensor) and value.dim() else len(value)


class _Math:
    """The module ``math``, whose functions keep origins; those that round ask the numbers themselves."""

    def __getattr__(self, name: str) -> Any:
        found = getattr(math, name)
        return found if not callable(found) or name in ("floor", "ceil", "trunc", "prod") else _keeping(name, found)


def _keeping(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def kept(*given: Any, **named: Any) -> Any:
        traced = not named and any(type(one) in (Traced, Quotient) and reads_size(one.origin) for one in given)
        return computed(name, function, *given) if traced else function(*given, **named)

    return kept


_MATH: Final = _Math()
_BUILTINS: Final = {"int": _Whole, "float": _Broken, "range": _counted, "len": _length}
