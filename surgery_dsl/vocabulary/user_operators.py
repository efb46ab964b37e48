"""Operators that user code registers with torch, kept while that code is executed again.

A plan's files are executed anew at every call, so that nothing that one call leaves behind is seen by the next. torch
holds one operator of a name: registering it again frees the first, which networks built before go on calling. So
files that have not changed get the operator again that they registered before.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType
from typing import Any

_KEPT: dict[str, tuple[str, Any]] = {}
"""Operator name to the digest of the code that registered it, and torch's object for it."""

_REGISTRARS = ("custom_op", "triton_op")
"""What torch.library offers for making an operator out of a function; a second call by the same name replaces."""


@contextmanager
def kept(digest: Callable[[str], str | None]) -> Iterator[None]:
    """Let code that is executed in this block get the operators that it registered before.

    Args:
        digest: Digest of a file of the user's and of what it imports, ``None`` for files that are not the user's.
    """
    from torch import library

    before = {name: getattr(library, name) for name in _REGISTRARS}
    for name, registrar in before.items():
        setattr(library, name, _keeping(registrar, digest))
    try:
        yield
    finally:
        for name, registrar in before.items():
            setattr(library, name, registrar)


def _keeping(registrar: Callable[..., Any], digest: Callable[[str], str | None]) -> Callable[..., Any]:
    def register(name: str, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        if function is None:
            return lambda decorated: register(name, decorated, **options)
        code = _registering(digest)
        known, operator = _KEPT.get(name, (None, None))
        if code is None or known != code or not _alive(operator):
            operator = registrar(name, function, **options)
            if code is not None:
                _KEPT[name] = code, operator
        return operator

    return register


def _registering(digest: Callable[[str], str | None]) -> str | None:
    """Return the digest of the user's file that is being executed, or else of the one that called first."""
    frame, found = sys._getframe(2), None
    while frame is not None:
        code: CodeType = frame.f_code
        own = digest(code.co_filename)
        found = own or found
        if own and code.co_name == "<module>":
            break
        frame = frame.f_back  # type: ignore[assignment]
    return found


def _alive(operator: Any) -> bool:
    """Whether torch still holds this very operator: others may have registered one by its name."""
    return getattr(getattr(operator, "_lib", None), "m", None) is not None
