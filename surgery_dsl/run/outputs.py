"""Calling a network as its plan says, and finding the tensors in what it returns."""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor, nn


def call(model: nn.Module, inputs: Mapping[str, Tensor], by_keyword: bool) -> Any:
    """Run the forward; inputs go by position, in order, or by name."""
    return model(**inputs) if by_keyword else model(*inputs.values())


def all_outputs(result: Any) -> list[Tensor]:
    """Return every tensor in a result, in order, from tuples, lists, mappings and objects that are mappings."""
    return list(_tensors(result))


def first_output(result: Any, names: tuple[str, ...] = ()) -> Tensor:
    """Return the tensor that losses and metrics read: the first named output, else the first tensor."""
    if names and isinstance(result, Mapping) and isinstance(result.get(names[0]), Tensor):
        named: Tensor = result[names[0]]
        return named
    return next(_tensors(result))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _tensors(item)
