"""What all data of the house is: frozen pydantic models that know their fields."""

from collections.abc import Callable
from functools import cache, cached_property, partial
from typing import Any, Self, cast

from pydantic import BaseModel, ConfigDict, ValidationError


class Data(BaseModel):
    """Frozen data that refuses fields it does not know. Abstract."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, ignored_types=(cached_property,))

    @classmethod
    def made(cls, **fields: Any) -> Self:
        """Return an instance of fields that are known to be right: nothing is validated.

        As ``model_construct``, with a third of its memory: a large network has tens of thousands of these. Fields that
        are set one by one share the keys of their table, and the names that count as set are one set for the class.
        """
        made = cls.__new__(cls)
        for name, default in _defaults(cls):
            _put(made, name, fields[name] if name in fields else default())
        _put(made, "__pydantic_fields_set__", _names(cls))
        _put(made, "__pydantic_extra__", None)
        _put(made, "__pydantic_private__", None)
        return made

    def replaced(self, **changes: Any) -> Self:
        """Return a copy with some fields changed; nothing is validated and nothing cached is carried over."""
        return type(self).made(**{name: getattr(self, name) for name in _names(type(self))} | changes)


_put = object.__setattr__


@cache
def _defaults(kind: type[Data]) -> list[tuple[str, Callable[[], Any]]]:
    """Return what gives the default of each field; pydantic looks at signatures for it, each time."""
    return [
        (name, cast(Any, field.default_factory) or partial(field.get_default, call_default_factory=True))
        for name, field in kind.__pydantic_fields__.items()
    ]


@cache
def _names(kind: type[Data]) -> set[str]:
    return set(kind.__pydantic_fields__)


def first_misfit(error: ValidationError) -> str:
    """Say what first stands against data that were read, and where."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{first['msg']}{f' at `{where}`' if where else ''}"
