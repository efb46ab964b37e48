"""What is worked out once of an interface, though many ask."""

from collections import deque
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from surgery_dsl.interface.model import Interface

Found = TypeVar("Found")
MOST_KEPT = 16
"""How many interfaces an answer is kept of: a plan goes back to its base and to a few places, not to all."""


def once(function: Callable[[Interface], Found]) -> Callable[[Interface], Found]:
    """Keep what a function found of the last few interfaces. These are frozen, and told apart by identity."""
    kept: deque[tuple[Interface, Found]] = deque(maxlen=MOST_KEPT)

    @wraps(function)
    def asked(interface: Interface) -> Found:
        for known, answer in kept:
            if known is interface:
                return answer
        answer = function(interface)
        kept.append((interface, answer))
        return answer

    return asked
