"""What a rule sees of the call at hand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from surgery_dsl.interface import frozen
from surgery_dsl.interface.expression import Expression
from surgery_dsl.interface.model import Setting
from surgery_dsl.trace.atoms import Product, Sizes
from surgery_dsl.trace.axes import Axes
from surgery_dsl.trace.operation import Operation
from surgery_dsl.trace.recorder import Record, Ref


@dataclass(slots=True)
class State:
    """What is known of one tensor.

    Attributes:
        dims: Its dimensions.
        value: Its value's number, −1 where it does not depend on an input.
        names: Parameters and buffers that it was computed from.
        order: Where it is one parameter, permuted: the parameter's dimension behind each of its own; else ``None``.
        below: For a table position made by the forward (``arange``): what its entries stay below.
        picks: For indices that the forward found by comparing entries (``topk``): the dimension they are indices of.
        greatest: The greatest entry that it has for some input, where that is followed (:mod:`.greatest`).
    """

    dims: list[Product]
    value: int = -1
    names: tuple[str, ...] = ()
    order: tuple[int, ...] | None = None
    below: Product | None = None
    picks: Product | None = None
    greatest: Expression | None = None

    @property
    def active(self) -> bool:
        """Whether it depends on an input."""
        return self.value >= 0

    @property
    def is_parameter(self) -> bool:
        """Whether it is a parameter or buffer, or computed from such alone."""
        return not self.active and bool(self.names)


class Step:
    """One call at all samples: arguments, dimensions, and the algebra."""

    __slots__ = ("axes", "dtypes", "operation", "output_sizes", "records", "states")

    def __init__(
        self,
        axes: Axes,
        records: tuple[Record, ...],
        states: dict[Ref, State],
        output_sizes: list[list[Sizes]],
        dtypes: Sequence[torch.dtype] = (),
    ) -> None:
        self.axes = axes
        self.records = records
        self.states = states
        self.operation: Operation = records[0].operation
        self.output_sizes = output_sizes
        self.dtypes = dtypes

    def __getitem__(self, argument: str) -> Any:
        """Return an argument as the first sample saw it; tensors as references."""
        return self.records[0].arguments.get(argument)

    def state(self, argument: str) -> State | None:
        """Return what is known of a tensor argument; ``None`` where it was not given."""
        ref = self[argument]
        return self.states[ref] if isinstance(ref, Ref) else None

    def of(self, argument: str) -> State:
        """Return what is known of a tensor argument that must be there."""
        state = self.state(argument)
        if state is None:
            raise TypeError(f"{self.operation.name} has no tensor {argument}")
        return state

    def many(self, argument: str) -> list[State]:
        """Return what is known of the tensors of a list argument."""
        return [self.states[ref] for ref in self[argument] if isinstance(ref, Ref)]

    def sizes(self, argument: str, default: int = 0) -> Sizes:
        """Return an integer argument at each sample."""
        values = (record.arguments.get(argument) for record in self.records)
        return tuple(default if value is None else int(value) for value in values)

    def size_list(self, argument: str) -> list[Sizes]:
        """Return a list of integers at each sample."""
        return list(zip(*(record.arguments[argument] for record in self.records), strict=True))

    def dim(self, argument: str, rank: int, default: int = 0) -> int:
        """Return a dimension argument, counted from the front."""
        value = self[argument]
        return (default if value is None else int(value)) % max(rank, 1)

    def dims(self, argument: str, rank: int) -> list[int]:
        """Return a list of dimensions, counted from the front; all where none is given."""
        value = self[argument]
        if value is None or value == ():
            return list(range(rank))
        return [int(d) % max(rank, 1) for d in ((value,) if isinstance(value, int) else value)]

    def by_entry(self, dim: Product, number: int | None = None) -> bool:
        """Say whether indices of a dimension may be those of a list's entries: of one, or of all in their order.

        Where so, that is settled when the whole forward is known; where not, the rule freezes the dimension.
        """
        axes = self.axes
        return axes.turns.pick(dim, self.records[0].run, axes.record, number, frozen.selected(axes.place))

    def goes_through(self, size: object) -> bool:
        """Say whether the module whose call this is runs the entries of a list of that length."""
        return any(True for _ in self.axes.turns.candidates(self.records[0].run, self.axes.record, size))

    def is_mask(self, ref: Ref) -> bool:
        """Say whether a tensor holds truth values."""
        return self.dtypes[ref] in (torch.bool, torch.uint8)

    @property
    def output(self) -> list[Sizes]:
        """Sizes of the first output's dimensions."""
        return self.output_sizes[0]

    def settings(self, *names: str) -> dict[str, Setting]:
        """Return the named arguments as settings; lists of one element for all dimensions stay as they are."""
        return {name: self[name] for name in names if self[name] is not None}

    def scalars(self) -> dict[str, Setting]:
        """Return the numbers, flags and words the call was given, where they differ from the operator's default."""
        found: dict[str, Setting] = {}
        for name, default in self.operation.arguments:
            values = [record.arguments[name] for record in self.records]
            if values[0] == default or any(value != values[0] for value in values):
                continue
            if _is_setting(values[0]):
                found[name] = values[0]
        return found


def _is_setting(value: Any) -> bool:
    if isinstance(value, tuple):
        return bool(value) and all(type(item) is int for item in value)
    return isinstance(value, bool | int | float | str) and not isinstance(value, Ref)
