"""Products with a constant matrix."""

from torch import Tensor

from surgery_dsl.evidence.bounds.graph import Affine, Call, Source
from surgery_dsl.evidence.bounds.operators import rule


def product(call: Call, source: Source, weight: Tensor, offset: Tensor | None, scalings: int = 0) -> Affine:
    """Return source @ weight + offset.

    Args:
        call: The recorded call.
        source: [1, …, n] or a matrix [m, n] with the batch of one folded in.
        weight: [n, k].
        offset: Broadcasts with the result.
        scalings: Products with factors of the whole, which round once more each.
    """
    matrix = weight.detach().double()
    entries = (matrix != 0).sum(0)
    terms = (entries + (0 if offset is None else 1) + scalings).clamp(min=1)
    return Affine(
        (source.node,),
        call.shape,
        call.operator,
        call.module,
        lambda x: x @ matrix,
        lambda x: x @ matrix.abs(),
        None if offset is None else offset.detach().double().broadcast_to(call.shape),
        terms,
        lambda rows: (rows @ matrix.T,),
        alike=True,
    )


@rule("addmm")
def addmm(call: Call) -> Affine:
    """β · offset + α · (source @ weight)."""
    offset, left, right = call.arguments[:3]
    beta, alpha = float(call.argument(3, "beta", 1)), float(call.argument(4, "alpha", 1))
    if isinstance(offset, Source):
        raise call.refuse("its bias depends on the input")
    return _matrix(call, left, right, alpha, offset.detach().double() * beta)


@rule("mm", "matmul")
def mm(call: Call) -> Affine:
    """Source @ weight, or weight @ source."""
    left, right = call.arguments[:2]
    return _matrix(call, left, right, 1.0, None)


@rule("linear")
def linear(call: Call) -> Affine:
    """Source @ weightᵀ + bias."""
    source, weight = call.arguments[:2]
    bias = call.argument(2, "bias")
    if not isinstance(source, Source) or isinstance(weight, Source) or isinstance(bias, Source):
        raise call.refuse("its weight depends on the input")
    return product(call, source, weight.detach().T, bias)


@rule("bmm", "baddbmm")
def bmm(call: Call) -> Affine:
    """A product of stacks of matrices, one of them constant."""
    left, right = call.arguments[-2:]
    if isinstance(right, Source) and not isinstance(left, Source) and call.operator == "bmm":
        return _matrix(call, left, right, 1.0, None)
    if isinstance(left, Source) and not isinstance(right, Source) and call.operator == "bmm":
        weight = right.detach().double()
        return Affine(
            (left.node,),
            call.shape,
            call.operator,
            call.module,
            lambda x: x @ weight,
            lambda x: x @ weight.abs(),
            None,
            weight.shape[-2],
            lambda rows: (rows @ weight.transpose(-1, -2),),
        )
    raise call.refuse("a product of two values that both depend on the input")


def _matrix(call: Call, left: object, right: object, alpha: float, offset: Tensor | None) -> Affine:
    if isinstance(left, Source) and isinstance(right, Tensor):
        return product(call, left, right.detach().double() * alpha, offset, 2)
    if isinstance(right, Source) and isinstance(left, Tensor):
        matrix = left.detach().double() * alpha
        return Affine(
            (right.node,),
            call.shape,
            call.operator,
            call.module,
            lambda x: matrix @ x,
            lambda x: matrix.abs() @ x,
            None if offset is None else offset.broadcast_to(call.shape),
            matrix.shape[-1] + 3,
            lambda rows: (matrix.transpose(-1, -2) @ rows,),
        )
    raise call.refuse("a product of two values that both depend on the input")
