"""Seeing which integers of the Python code reach which operators.

While a forward is recorded, every integer attribute of its modules is a :class:`Traced`: an ``int`` that remembers
where it came from, through arithmetic too. A function mode sees the calls that are given such integers, before torch
turns them into plain numbers. Integers are found in modules, in tuples and lists of integers that they hold, and in
plain objects (a config): each module is given a shallow copy of its own, so that two readers of one config are told
apart. Sizes read from tensors (``x.shape``) are traced as well, for ``x.shape[-1] // self.num_heads``.
"""

import copy
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from surgery_dsl.trace.recorder import Recorder, Ref
from surgery_dsl.trace.traced_numbers import Origin, Traced, reads_size
from surgery_dsl.trace.walking import named_modules

SHAPED = {"view": 1, "reshape": 1}
"""Calls that are noted whatever they are given: their integers are sizes, and those not traced are the code's own."""

_DEPTH = 2
"""How deep plain objects are looked into: ``config.text_config.hidden_size``."""


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


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that the code asked of the size of a tensor: whether ``left relation right``.

    Attributes:
        left: An origin.
        relation: ``==  <  <=  >  >=``.
        right: An origin.
        held: The answer.
        record: The position of the next call.
        source: ``file:line`` of the user's code.
    """

    left: Origin
    relation: str
    right: Origin
    held: bool
    record: int
    source: str


@dataclass(slots=True)
class Uses:
    """What became of the integers of one forward.

    Attributes:
        place: Says where the forward is: the position of the next call, and ``file:line`` of the user's code.
        calls: The calls that were given some.
        values: The value of each attribute, by module path and name.
        equal: Pairs of origins whose integers the code compared and found equal.
        compared: What the code asked of an integer: origin, ``==`` or ``<``, and a number of its own.
        asked: What it asked of numbers that follow from the sizes of tensors, once each.
        made: Quotients, remainders and rounded numbers made of such sizes, and where.
        lost: Those that became plain integers, ``int(…)``, and before which call.
        blurred: Those of which code made what nothing tells: roots, powers, bits.
    """

    place: Callable[[], tuple[int, str]] = lambda: (0, "")
    calls: list[Use] = field(default_factory=list)
    values: dict[tuple[str, str], int] = field(default_factory=dict)
    equal: dict[tuple[Origin, Origin], None] = field(default_factory=dict)
    compared: dict[tuple[Origin, str, int], None] = field(default_factory=dict)
    asked: dict[tuple[Origin, str, Origin], Asked] = field(default_factory=dict)
    made: dict[Origin, tuple[int, str]] = field(default_factory=dict)
    lost: dict[Origin, int] = field(default_factory=dict)
    blurred: dict[Origin, None] = field(default_factory=dict)

    def ask(self, left: Origin, relation: str, right: Origin, held: bool) -> None:
        """Note a question, if it is about sizes of tensors."""
        key = (left, relation, right)
        if key not in self.asked and (reads_size(left) or reads_size(right)):
            self.asked[key] = Asked(left, relation, right, held, *self.place())

    def note(self, origin: Origin) -> None:
        """Note a number that is made of sizes, but no sum or product of them."""
        if origin not in self.made and reads_size(origin):
            self.made[origin] = self.place()

    def lose(self, origin: Origin) -> None:
        """Note a number that goes on without its origin."""
        if origin not in self.lost and reads_size(origin):
            self.lost[origin] = self.place()[0]
            self.note(origin)

    def blur(self, origin: Origin) -> None:
        """Note a number of which something was made that is not followed."""
        if reads_size(origin):
            self.blurred[origin] = None


def numbers_of(value: Any) -> Iterator[Origin]:
    """Yield the origins of the numbers that a call, or some container, was given."""
    if isinstance(value, Use):
        yield from numbers_of((*value.arguments[0], *value.arguments[1].values()))
    elif type(value) is Traced:
        yield value.origin
    elif isinstance(value, tuple | list):
        for item in value:
            yield from numbers_of(item)
    elif isinstance(value, slice):
        yield from numbers_of((value.start, value.stop, value.step))


class Tainting(TorchFunctionMode):
    """The function mode that notes uses. It works beside a :class:`Recorder` and asks that for tensors' numbers."""

    def __init__(self, recorder: Recorder, uses: Uses) -> None:
        super().__init__()
        self.recorder = recorder
        self.uses = uses
        self._getters = {Tensor.shape.__get__, Tensor.size}  # type: ignore[attr-defined]
        self._counters = {Tensor.numel, Tensor.nelement, Tensor.__len__}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run a call; note it where it is given traced integers; trace the sizes that it asks for."""
        kwargs = kwargs or {}
        if self.recorder.paused:
            return func(*args, **kwargs)
        if func in self._getters:
            return self._sizes(args[0], func(*args, **kwargs), args[1:] or tuple(kwargs.values()))
        if func in self._counters:
            return self._count(args[0], func(*args, **kwargs), func is Tensor.__len__)
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

    def _count(self, tensor: Any, result: Any, first: bool) -> Any:
        """Return how many entries a tensor has, or how many rows: ``len`` makes a plain integer of it."""
        ref = self.recorder.number(tensor) if isinstance(tensor, Tensor) else None
        if ref is None:
            return result
        sizes = [("size", ref, dim) for dim in range(1 if first else tensor.dim())]
        origin: Origin = ("number", 1)
        for size in sizes:
            origin = ("*", origin, size)
        if first:
            self.uses.lose(origin)
            return result
        return Traced.of(result, origin, self.uses)


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
