"""What is fixed about an ATen operator."""

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(slots=True)
class Operation:
    """What is fixed about an ATen operator.

    Attributes:
        name: Its packet's name (``convolution``), with its namespace where that is not ATen's (``audio::gate``); an
            in-place form keeps its underscore.
        overload: Its overload's name.
        arguments: Argument names and defaults, in order.
        writes: Positions of arguments that are written.
        is_view: Whether what it returns shares memory with its first tensor.
        pointwise: Whether it carries torch's tag for pointwise operators.
    """

    name: str
    overload: str
    arguments: tuple[tuple[str, Any], ...]
    writes: tuple[int, ...]
    is_view: bool
    pointwise: bool

    @classmethod
    def of(cls, func: Any) -> "Operation":
        """Read an operator's schema."""
        schema, packet = func._schema, func.overloadpacket.__name__
        arguments, writes, is_view = [], [], False
        for position, argument in enumerate(schema.arguments):
            arguments.append((argument.name, argument.default_value if argument.has_default_value() else None))
            if argument.alias_info is not None:
                writes += [position] if argument.alias_info.is_write else []
                is_view = is_view or not argument.alias_info.is_write
        return cls(
            name=packet if func.namespace == "aten" else f"{func.namespace}::{packet}",
            overload=func._overloadname,
            arguments=tuple(arguments),
            writes=tuple(writes),
            is_view=is_view,
            pointwise=torch.Tag.pointwise in func.tags,
        )
