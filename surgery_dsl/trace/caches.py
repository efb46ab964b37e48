"""Functions of a model's code that remember what they returned (``functools.lru_cache``).

A forward that asks such a function for a table of positions makes the table once in a process: a second run would not
make the same calls, a fake tensor would stay in the memory of a function that real networks call next, and a table of
an old width would be handed to an edited network. So the memory of such functions is put aside for a while.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import _lru_cache_wrapper, lru_cache, partial
from types import FunctionType
from typing import Any

from torch import nn

from surgery_dsl.trace.walking import modules_of

_STANDARD = ("torch", "builtins")


@contextmanager
def fresh_caches(model: nn.Module) -> Iterator[None]:
    """Let functions that remember begin with nothing, and have their own memory back afterwards.

    Meant are the methods of the model's classes and the functions that the files of these classes name, also where
    a decorator wraps the function that remembers.
    """
    with ExitStack() as undo:
        for kind in _classes(model):
            for name, value in list(vars(kind).items()):
                _renew(value, partial(setattr, kind, name), undo)
        for names in _files(_classes(model)):
            for name, value in list(names.items()):
                _renew(value, partial(names.__setitem__, name), undo)
        yield


def _classes(model: nn.Module) -> list[type]:
    """Return the classes of a model that are no classes of torch."""
    found = dict.fromkeys(kind for own in {type(module) for module in modules_of(model)} for kind in own.__mro__)
    return [kind for kind in found if kind.__module__.partition(".")[0] not in _STANDARD]


def _files(classes: Iterable[type]) -> list[dict[str, Any]]:
    """Return the names of the files that define classes, also of files that are no modules of the process."""
    found: dict[int, dict[str, Any]] = {}
    for kind in classes:
        if kind.__module__ in sys.modules:
            names = vars(sys.modules[kind.__module__])
            found[id(names)] = names
        for value in vars(kind).values():
            if type(value) is FunctionType and value.__module__ == kind.__module__:
                found[id(value.__globals__)] = value.__globals__
    return list(found.values())


def _renew(value: Any, put: Callable[[Any], None], undo: ExitStack) -> None:
    """Put a function with an empty memory in the place of one that remembers; note how that is undone."""
    if type(value) is _lru_cache_wrapper:
        put(lru_cache(**value.cache_parameters())(value.__wrapped__))
        undo.callback(put, value)
    elif type(value) in (staticmethod, classmethod):
        undo.callback(put, value)
        _renew(value.__func__, lambda made: put(type(value)(made)), undo)
    elif type(value) is FunctionType and value.__closure__ is not None:
        for cell in value.__closure__:
            held = _content(cell)
            if type(held) is _lru_cache_wrapper:
                _renew(held, partial(setattr, cell, "cell_contents"), undo)


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that was never given a value
        return None
