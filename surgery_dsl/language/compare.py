"""Whether two syntax trees say the same."""

from dataclasses import fields
from functools import cache
from typing import Any

# Places and the comma behind a last item are layout.
_LAYOUT = frozenset({"span", "opened", "closed", "dialect_span", "trailing_comma", "comments"})


@cache
def _telling(node: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(node) if field.name not in _LAYOUT)


def same_tree(left: Any, right: Any) -> bool:
    """Return whether two trees are equal apart from layout and comments."""
    waiting = [(left, right)]
    while waiting:
        one, other = waiting.pop()
        if type(one) is not type(other):
            return False
        if isinstance(one, tuple):
            if len(one) != len(other):
                return False
            waiting.extend(zip(one, other, strict=True))
        elif hasattr(one, "__dataclass_fields__"):
            waiting.extend((getattr(one, name), getattr(other, name)) for name in _telling(one.__class__))
        elif one != other:
            return False
    return True
