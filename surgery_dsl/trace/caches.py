"""Functions of a model's code that remember what they returned (``functools.lru_cache``).

A forward that asks such a function for a table of positions makes the table once in a process: a second run would not
make the same calls, a fake tensor would stay in the memory of a function that real networks call next, and a table of
an old width would be handed to an edited network. So the memory of such functions is put aside for a while.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import _lru_cache_wrapper, lru_cache, partial
from types import FunctionType
from typing import Any

from torch import nn

_STANDARD = ("torch", "builtins")


@contextmanager
def fresh_caches(model: nn.Module) -> Iterator[None]:
    """Let functions that remember begin with nothing, and have their own memory back afterwards.

    Meant are the methods of the model's classes and the functions that the files of these classes name, also where
    a decorator wraps the function that remembers.
    """
    with ExitStack() as undo:
        for holder in _holders(model):
            for name, value in list(vars(holder).items()):
                _renew(value, partial(setattr, holder, name), undo)
        yield


def _holders(model: nn.Module) -> list[Any]:
    """Return the classes of a model that are no classes of torch, and the Python modules that define them."""
    classes = dict.fromkeys(kind for own in {type(module) for module in model.modules()} for kind in own.__mro__)
    own = [kind for kind in classes if kind.__module__.partition(".")[0] not in _STANDARD]
    files = dict.fromkeys(kind.__module__ for kind in own)
    return [*own, *(sys.modules[name] for name in files if name in sys.modules)]


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
