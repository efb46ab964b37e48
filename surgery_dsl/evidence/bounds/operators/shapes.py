"""What only moves elements about."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from surgery_dsl.evidence.bounds.graph import Affine, Call, Source
from surgery_dsl.evidence.bounds.operators import Several, rule
from surgery_dsl.evidence.bounds.operators.arithmetic import affine


@rule("alias", "clone", "contiguous", "detach", "lift_fresh", "lift_fresh_copy", "_to_copy")
def same(call: Call) -> Source:
    """The same elements: a copy, or a change of dtype, which real arithmetic does not know."""
    source: Source = call.arguments[0]
    return source


@rule("view", "_unsafe_view", "reshape", "unsqueeze", "squeeze", "flatten", "unflatten")
def reshape(call: Call) -> Affine:
    """The same elements in the same order."""
    source: Source = call.arguments[0]
    shape, before = call.shape, source.shape
    return Affine(
        (source.node,),
        shape,
        call.operator,
        call.module,
        lambda x: x.reshape(shape),
        lambda x: x.reshape(shape),
        transposed=lambda rows: (rows.reshape(rows.shape[0], *before),),
    )


@rule(
    "permute",
    "transpose",
    "t",
    "expand",
    "slice",
    "select",
    "flip",
    "roll",
    "repeat",
    "index_select",
    "narrow",
    "index",
)
def move(call: Call) -> Affine:
    """Elements in another order, some left out, some repeated."""
    source, *rest = call.arguments
    if not isinstance(source, Source) or any(isinstance(value, Source) for value in _every(rest)):
        raise call.refuse("where elements go depends on the input")
    rest = [_positions(value) for value in rest]
    operator = getattr(torch.ops.aten, call.operator)
    keywords = call.keywords

    def linear(x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = operator(x, *rest, **keywords)
        return found

    return affine(call, (source,), linear)


def _every(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _every(value)
        else:
            yield value


def _positions(value: Any) -> Any:
    """Return indices with masks among them as positions, which many examples can share."""
    if not isinstance(value, list | tuple):
        return value
    found: list[Any] = []
    for one in value:
        if isinstance(one, torch.Tensor) and one.dtype in (torch.bool, torch.uint8):
            found += list(one.nonzero().unbind(1))
        else:
            found.append(one)
    return found


@rule("where")
def where(call: Call) -> Affine:
    """One value where a constant condition holds, else the other."""
    condition, left, right = call.arguments
    if isinstance(condition, Source):
        raise call.refuse("its condition depends on the input")
    chosen = condition.bool().broadcast_to(call.shape)
    shares = [mask.double() for mask, part in ((chosen, left), (~chosen, right)) if isinstance(part, Source)]
    sources = tuple(part for part in (left, right) if isinstance(part, Source))
    offset = None
    if len(sources) == 1:
        constant, mask = (right, ~chosen) if isinstance(left, Source) else (left, chosen)
        offset = torch.where(mask, torch.as_tensor(constant).double(), 0.0)

    def linear(*values: torch.Tensor) -> torch.Tensor:
        parts = [value * share for value, share in zip(values, shares, strict=True)]
        found: torch.Tensor = sum(parts[1:], parts[0])
        return found

    return affine(call, sources, linear, offset=offset)


@rule("masked_fill")
def masked_fill(call: Call) -> Affine:
    """A constant where a constant mask holds."""
    source, mask, value = call.arguments
    if not isinstance(source, Source) or isinstance(mask, Source) or isinstance(value, Source):
        raise call.refuse("its mask or its value depends on the input")
    found: Affine = where(Call((mask, value, source), {}, call.shape, call.operator, call.module))
    return found


@rule("cat", "stack")
def join(call: Call) -> Affine:
    """Several values side by side; constants among them are an offset."""
    parts, dim = call.arguments[0], call.argument(1, "dim", 0)
    make = torch.cat if call.operator == "cat" else torch.stack
    sources = tuple(part for part in parts if isinstance(part, Source))
    zeros = [None if isinstance(part, Source) else part.detach().double() for part in parts]

    def linear(*values: torch.Tensor) -> torch.Tensor:
        given = iter(values)
        return make([next(given) if zero is None else torch.zeros_like(zero) for zero in zeros], dim)

    offset = None
    if len(sources) < len(parts):
        like = next(zero for zero in zeros if zero is not None)
        filled = [like.new_zeros(part.shape) if isinstance(part, Source) else part.detach().double() for part in parts]
        offset = make(filled, dim)
    return affine(call, sources, linear, offset=offset)


@rule("split", "split_with_sizes", "chunk", "unbind", "unsafe_split", "tensor_split")
def split(call: Call) -> Several:
    """Several pieces of one value."""
    source, *rest = call.arguments
    if not isinstance(source, Source):
        raise call.refuse("where it is split depends on the input")
    operator, keywords = getattr(torch.ops.aten, call.operator), call.keywords
    shapes = [tuple(part.shape) for part in operator(torch.empty(source.shape, device="meta"), *rest, **keywords)]

    def piece(index: int, shape: tuple[int, ...]) -> Affine:
        part = Call(call.arguments, keywords, shape, call.operator, call.module)
        return affine(part, (source,), lambda x: operator(x, *rest, **keywords)[index])

    return Several(tuple(piece(index, shape) for index, shape in enumerate(shapes)))


@rule("constant_pad_nd")
def pad(call: Call) -> Affine:
    """A border of one constant."""
    source, widths = call.arguments[:2]
    value = float(call.argument(2, "value", 0))
    offset = None
    if value:
        inside = torch.zeros(source.shape, dtype=torch.float64)
        offset = torch.constant_pad_nd(inside, widths, value)
    return affine(call, (source,), lambda x: torch.constant_pad_nd(x, widths, 0), offset=offset)


@rule("reflection_pad1d", "reflection_pad2d", "replication_pad1d", "replication_pad2d")
def mirrored(call: Call) -> Affine:
    """A border of elements from inside."""
    source, widths = call.arguments[:2]
    operator = getattr(torch.ops.aten, call.operator)
    return affine(call, (source,), lambda x: operator(x, widths))
