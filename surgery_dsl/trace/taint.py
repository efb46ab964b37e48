"""Seeing which integers of the Python code reach which operators.

While a forward is recorded, every integer attribute of its modules is a :class:`Traced`: an ``int`` that remembers
where it came from, through arithmetic too. A function mode sees the calls that are given such integers, before torch
turns them into plain numbers. Integers are found in modules, in tuples and lists of integers that they hold, and in
plain objects (a config): each module is given a shallow copy of its own, so that two readers of one config are told
apart. Sizes read from tensors (``x.shape``) are traced as well, for ``x.shape[-1] // self.num_heads``.
"""

import copy
import functools
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from surgery_dsl.trace.recorder import Recorder, Ref
from surgery_dsl.trace.walking import named_modules

Origin = tuple[Any, ...]
"""Where an integer came from: ``("attribute", path, name)``, ``("size", ref, dim)``, ``("number", n)``, or an operation
and its operands: ``("*", origin, origin)``; ``//``, ``%``, ``+`` and ``-`` likewise."""

SHAPED = {"view": 1, "reshape": 1}
"""Calls that are noted whatever they are given: their integers are sizes, and those not traced are the code's own."""

_DEPTH = 2
"""How deep plain objects are looked into: ``config.text_config.hidden_size``."""


class Traced(int):
    """An integer with its origin. It behaves as the plain number everywhere; equalities that held are noted."""

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
        return int, (int(self),)

    def __eq__(self, other: object) -> bool:
        same = int.__eq__(self, other)
        if same is True and type(other) is Traced:
            self.session.equal[self.origin, other.origin] = None
        elif type(other) is int:
            self.session.compared[self.origin, "==", other] = None
        return same

    def __ne__(self, other: object) -> bool:
        same = self.__eq__(other)
        return same if same is NotImplemented else not same

    # What is no integer (a tensor) answers itself, and with more than a bool: `not` must not be asked of it.

    def __lt__(self, other: int) -> bool:
        if type(other) is int:
            self.session.compared[self.origin, "<", other] = None
        return int.__lt__(self, other)

    def __ge__(self, other: int) -> bool:
        if type(other) is int:
            self.session.compared[self.origin, "<", other] = None
        return int.__ge__(self, other)

    def __gt__(self, other: int) -> bool:
        if type(other) is int:
            self.session.compared[self.origin, "<", other + 1] = None
        return int.__gt__(self, other)

    def __le__(self, other: int) -> bool:
        if type(other) is int:
            self.session.compared[self.origin, "<", other + 1] = None
        return int.__le__(self, other)

    __hash__ = int.__hash__

    def __neg__(self) -> int:
        return Traced.of(-int(self), ("-", ("number", 0), self.origin), self.session)


def _arithmetic(symbol: str, function: Callable[[int, int], int], swapped: bool) -> Callable[[Traced, Any], Any]:
    def method(self: Traced, other: Any) -> Any:
        if type(other) is not int and type(other) is not Traced:
            plain = int(self)
            try:
                return function(other, plain) if swapped else function(plain, other)
            except TypeError:
                return NotImplemented
        theirs = other.origin if type(other) is Traced else ("number", other)
        left, right = (int(other), int(self)) if swapped else (int(self), int(other))
        sides = (theirs, self.origin) if swapped else (self.origin, theirs)
        return Traced.of(function(left, right), (symbol, *sides), self.session)

    return method


for _symbol, _name, _function in (
    ("+", "add", operator.add),
    ("-", "sub", operator.sub),
    ("*", "mul", operator.mul),
    ("//", "floordiv", operator.floordiv),
    ("%", "mod", operator.mod),
):
    setattr(Traced, f"__{_name}__", _arithmetic(_symbol, _function, swapped=False))
    setattr(Traced, f"__r{_name}__", _arithmetic(_symbol, _function, swapped=True))


@dataclass(frozen=True, slots=True)
class Use:
    """A call that was given traced integers.

    Attributes:
        function: Its name: ``view``, ``split``, ``__getitem__`` …
        arguments: What it was given, by position and name; tensors as :class:`Ref`, integers as they came.
        first: Its first record.
        last: Its last record, exclusive.
        outputs: The tensors it returned.
        run: Position of the module run that made it.
        source: ``file:line`` of the user's code.
    """

    function: str
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    first: int
    last: int
    outputs: tuple[Ref, ...]
    run: int
    source: str


@dataclass(slots=True)
class Uses:
    """What became of the integers of one forward.

    Attributes:
        calls: The calls that were given some.
        values: The value of each attribute, by module path and name.
        equal: Pairs of origins whose integers the code compared and found equal.
        compared: What the code asked of an integer: origin, ``==`` or ``<``, and a number of its own.
    """

    calls: list[Use] = field(default_factory=list)
    values: dict[tuple[str, str], int] = field(default_factory=dict)
    equal: dict[tuple[Origin, Origin], None] = field(default_factory=dict)
    compared: dict[tuple[Origin, str, int], None] = field(default_factory=dict)


class Tainting(TorchFunctionMode):
    """The function mode that notes uses. It works beside a :class:`Recorder` and asks that for tensors' numbers."""

    def __init__(self, recorder: Recorder, uses: Uses) -> None:
        super().__init__()
        self.recorder = recorder
        self.uses = uses
        self._getters = {Tensor.shape.__get__, Tensor.size}  # type: ignore[attr-defined]

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a call; note it where it is given traced integers; trace the sizes that it asks for."""
        kwargs = kwargs or {}
        if self.recorder.paused:
            return func(*args, **kwargs)
        if func in self._getters:
            return self._sizes(args[0], func(*args, **kwargs), args[1:] or tuple(kwargs.values()))
        name = getattr(func, "__name__", "")
        if name not in SHAPED and not any(True for _ in self._traced((args, tuple(kwargs.values())))):
            return func(*args, **kwargs)
        recorder = self.recorder
        first = len(recorder.recording.records)
        result = func(*args, **kwargs)
        self.uses.calls.append(
            Use(
                function=name,
                arguments=(self._noted(args), {name: self._noted(value) for name, value in kwargs.items()}),
                first=first,
                last=len(recorder.recording.records),
                outputs=tuple(recorder.flatten(result)),
                run=recorder.open[-1] if recorder.open else -1,
                source=recorder.last_source,
            )
        )
        return result

    def _traced(self, value: Any) -> Iterator[Traced]:
        if type(value) is Traced:
            if value.session is self.uses:
                yield value
        elif isinstance(value, tuple | list):
            for item in value:
                yield from self._traced(item)
        elif isinstance(value, slice):
            yield from self._traced((value.start, value.stop, value.step))

    def _noted(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            return self.recorder.number(value)
        if isinstance(value, tuple | list):
            return tuple(self._noted(item) for item in value)
        return value

    def _sizes(self, tensor: Any, result: Any, arguments: tuple[Any, ...]) -> Any:
        ref = self.recorder.number(tensor) if isinstance(tensor, Tensor) else None
        if ref is None:
            return result
        if type(result) is int:
            return Traced.of(result, ("size", ref, int(arguments[0]) % max(tensor.dim(), 1)), self.uses)
        if isinstance(result, torch.Size):
            return torch.Size([Traced.of(n, ("size", ref, i), self.uses) for i, n in enumerate(result)])
        return result


def taint(model: nn.Module, uses: Uses) -> None:
    """Let every integer attribute of every module remember itself; :func:`in_eval_mode` puts the plain ones back."""
    for path, module in named_modules(model):
        _Tainter(path, uses).attributes(vars(module), "", _DEPTH)


@dataclass(frozen=True)
class _Tainter:
    path: str
    uses: Uses

    def attributes(self, box: dict[str, Any], prefix: str, depth: int) -> None:
        for name, value in list(box.items()):
            new = self.tainted(value, prefix + name, depth)
            if new is not value:
                box[name] = new

    def tainted(self, value: Any, name: str, depth: int) -> Any:
        if type(value) is int:
            self.uses.values[self.path, name] = value
            return Traced.of(value, ("attribute", self.path, name), self.uses)
        if type(value) in (tuple, list) and value and len(value) <= 64 and any(type(item) is int for item in value):
            return type(value)(self.tainted(item, f"{name}.{i}", 0) for i, item in enumerate(value))
        if depth and is_plain_object(value):
            own = copy.copy(value)
            if not is_plain_object(own):  # objects decide themselves what a copy of them is
                return value
            self.attributes(vars(own), f"{name}.", depth - 1)
            return own
        return value


def is_plain_object(value: Any) -> bool:
    """Say whether a value is an object of Python code that may hold settings: a config, a namespace."""
    if isinstance(value, nn.Module | Tensor | type | FunctionType | MethodType | ModuleType | functools.partial):
        return False
    home = type(value).__module__.partition(".")[0]
    if home in ("torch", "builtins", "functools", "collections", "enum", "threading", "logging", "numpy"):
        return False
    return isinstance(getattr(value, "__dict__", None), dict) and "_modules" not in vars(value)
