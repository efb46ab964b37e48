"""Sums, and products with constants."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from surgery_dsl.evidence.bounds.graph import Affine, Call, Pointwise, Source
from surgery_dsl.evidence.bounds.operators import rule
from surgery_dsl.evidence.bounds.operators.functions import RELU


def affine(
    call: Call,
    sources: tuple[Source, ...],
    linear: Callable[..., Tensor],
    absolute: Callable[..., Tensor] | None = None,
    offset: Tensor | None = None,
    terms: "Tensor | int" = 0,
) -> Affine:
    """Return an affine node whose way back follows from its linear part."""
    return Affine(
        tuple(source.node for source in sources),
        call.shape,
        call.operator,
        call.module,
        linear,
        linear if absolute is None else absolute,
        offset,
        terms,
    )


def _constant(value: Any, call: Call) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach().double().broadcast_to(call.shape)
    return torch.full(call.shape, float(value), dtype=torch.float64)


@rule("add", "sub", "rsub")
def add(call: Call) -> Affine:
    """Left + α · right; sub and rsub with the sign of theirs."""
    left, right = call.arguments[:2]
    alpha = float(call.argument(2, "alpha", 1))
    if call.operator == "rsub":
        left, right = right, left
    if call.operator != "add":
        alpha = -alpha
    if isinstance(left, Source) and isinstance(right, Source):
        return affine(call, (left, right), lambda a, b: a + alpha * b, lambda a, b: a + abs(alpha) * b, terms=3)
    if isinstance(left, Source):
        shape = call.shape
        offset = _constant(right, call).to(_device(right, left)) * alpha
        return affine(call, (left,), lambda a: a.expand(shape), offset=offset, terms=3)
    shape = call.shape
    return affine(
        call,
        (right,),
        lambda b: alpha * b.expand(shape),
        lambda b: abs(alpha) * b.expand(shape),
        _constant(left, call),
        3,
    )


def _device(value: Any, _: Source) -> torch.device:
    return value.device if isinstance(value, Tensor) else torch.device("cpu")


@rule("mul", "div")
def multiply(call: Call) -> Affine:
    """A product with, or a quotient by, a constant; a quotient may be taken as a product with the reciprocal."""
    left, right = call.arguments[:2]
    if isinstance(left, Source) and isinstance(right, Source):
        raise call.refuse("a product or quotient of two values that both depend on the input")
    if call.operator == "div":
        if not isinstance(left, Source) or call.argument(2, "rounding_mode"):
            raise call.refuse("a quotient by a value that depends on the input, or a rounded one")
        factor = 1 / _constant(right, call)
    else:
        source, right = (left, right) if isinstance(left, Source) else (right, left)
        left, factor = source, _constant(right, call)
    return affine(call, (left,), lambda x: x * factor, lambda x: x * factor.abs(), terms=4)


@rule("neg")
def negate(call: Call) -> Affine:
    """−z."""
    return affine(call, call.arguments[:1], lambda x: -x, lambda x: x)


@rule("maximum")
def maximum(call: Call) -> Pointwise:
    """The greater of a value and zero."""
    left, right = call.arguments[:2]
    source, other = (left, right) if isinstance(left, Source) else (right, left)
    if isinstance(other, Tensor) and not bool(other.any()) and source.shape == call.shape:
        return Pointwise((source.node,), call.shape, call.operator, call.module, RELU)
    raise call.refuse("the greater of two values that both depend on the input, or of one and a constant")
