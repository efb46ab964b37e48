"""Keep chosen indices of tensor dimensions: what removing or duplicating structure does to a tensor.

Each result is a fresh, contiguous tensor. Where several dimensions lose indices, the tensor is walked in
chunks of rows, so that no intermediate result of the tensor's size ever exists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from surgery_dsl.kernels.blocks import block_limit

_NARROW = frozenset({torch.bool, torch.uint8, torch.int8, torch.int16, torch.float16, torch.bfloat16})


def take_block(tensor: Tensor, keep: Mapping[int, Tensor | Sequence[int]], out: Tensor | None = None) -> Tensor:
    """Gather indices along several dimensions at once.

    Consecutive indices are copied as ranges; others are gathered, in the order given. An index that
    occurs twice duplicates its slice.

    Args:
        tensor: any dtype and device, any strides.
        keep: for each dimension that changes (not negative), the indices to keep, in order.
        out: where the result goes: contiguous, of the result's shape and of the tensor's dtype and device, in memory of
            its own. By default memory is taken for it.

    Shapes: ``(…, n, …)`` -> ``(…, len(keep), …)``.
    Dtype and device: those of ``tensor``. Values are copied bit for bit.
    Complexity: one reading of the kept rows and one writing of the result. Extra memory: the result and some
        chunks of half a block (see ``blocks.block_limit``).

    Raises:
        ValueError: a dimension or an index is out of range, or ``out`` does not fit.
    """
    source = tensor.detach()
    shape = list(source.shape)
    gathers: dict[int, Tensor] = {}
    for dim, indices in sorted(keep.items()):
        kept = _checked(indices, dim, tensor)
        shape[dim] = len(kept)
        start = int(kept[0]) if len(kept) else 0
        if torch.equal(kept, torch.arange(start, start + len(kept))):
            source = source.narrow(dim, start, len(kept))
        else:
            gathers[dim] = kept.to(tensor.device)
    result = torch.empty(shape, dtype=tensor.dtype, device=tensor.device) if out is None else out
    if list(result.shape) != shape or result.dtype != tensor.dtype or not result.is_contiguous():
        raise ValueError(f"the result is {tuple(shape)} of {tensor.dtype}, not as the memory given for it")
    if result.numel():
        _take(source, gathers, result, max(1, block_limit(tensor.device) // 2))
    return result


def select(
    tensor: Tensor, dim: int, keep: Tensor | Sequence[int], sizes: Sequence[int] | None = None, position: int = 0
) -> Tensor:
    """Gather indices of one axis, which may be one factor of a dimension.

    A flattened dimension is a product of axes (channels times pixels, heads times head size); removing one
    channel removes all its pixels. The dimension is read as ``sizes`` and the axis at ``position`` is cut.

    Args:
        tensor: any dtype and device.
        dim: the dimension, not negative.
        keep: indices of the axis to keep, in order; repeats duplicate.
        sizes: sizes of the dimension's axes, outermost first; by default the dimension is one axis.
        position: which of ``sizes`` is meant.

    Shapes: ``(…, outer * n * inner, …)`` -> ``(…, outer * len(keep) * inner, …)``.
    Dtype and device: those of ``tensor``.

    Raises:
        ValueError: the sizes do not multiply to the dimension, or something is out of range.
    """
    if sizes is None:
        return take_block(tensor, {dim: keep})
    product = as_product(tensor, dim, sizes, position)
    taken = take_block(product, {dim + position: keep})
    merged = math.prod(taken.shape[dim : dim + len(sizes)])
    return taken.view(*tensor.shape[:dim], merged, *tensor.shape[dim + 1 :])


def as_product(tensor: Tensor, dim: int, sizes: Sequence[int], position: int) -> Tensor:
    """View one dimension as a product of axes, outermost first.

    Raises:
        ValueError: the dimension or position does not exist, or the sizes do not multiply to the dimension.
    """
    _check_dim(dim, tensor)
    if not 0 <= position < len(sizes):
        raise ValueError(f"position {position} is not one of {len(sizes)} axes")
    if math.prod(sizes) != tensor.shape[dim]:
        raise ValueError(f"axes {tuple(sizes)} do not multiply to dimension {dim} of size {tensor.shape[dim]}")
    shape = tensor.shape
    return tensor.detach().view(*shape[:dim], *sizes, *shape[dim + 1 :])  # splitting is a view for any strides


def expanded(keep: Tensor | Sequence[int], sizes: Sequence[int], position: int) -> Tensor:
    """Return the indices of a whole dimension that indices of one of its axes stand for.

    Args:
        keep: indices of the axis, in order.
        sizes: sizes of the dimension's axes, outermost first.
        position: which of ``sizes`` is meant.

    Shapes: ``(k,)`` -> ``(outer * k * inner,)``, int64 on the CPU, in the order of :func:`select`.

    Raises:
        ValueError: the position does not exist or an index is out of range.
    """
    whole = torch.arange(math.prod(sizes))
    return select(whole, 0, keep, sizes, position)


def _check_dim(dim: int, tensor: Tensor) -> None:
    if not 0 <= dim < tensor.dim():
        raise ValueError(f"dimension {dim} does not exist in shape {tuple(tensor.shape)}")


def _checked(indices: Tensor | Sequence[int], dim: int, tensor: Tensor) -> Tensor:
    _check_dim(dim, tensor)
    kept = torch.as_tensor(indices, dtype=torch.int64).to("cpu")
    if kept.dim() != 1:
        raise ValueError(f"indices must be a list, not of shape {tuple(kept.shape)}")
    size = tensor.shape[dim]
    if len(kept) and (int(kept.min()) < 0 or int(kept.max()) >= size):
        raise ValueError(f"indices of dimension {dim} must lie in 0..{size - 1}: {kept.min()}..{kept.max()}")
    return kept


def _take(source: Tensor, gathers: Mapping[int, Tensor], result: Tensor, limit: int) -> None:
    """Write the gathered source into the result; the result's leading slices are contiguous."""
    if not gathers:
        result.copy_(source)
        return
    if len(gathers) == 1:
        ((dim, indices),) = gathers.items()
        _select(source, dim, indices, result)
        return
    rows = gathers.get(0)
    inner = {dim - 1: indices for dim, indices in gathers.items() if dim}
    step = limit // math.prod(source.shape[1:])
    if not step:
        for row in range(len(result)):
            _take(source[row if rows is None else int(rows[row])], inner, result[row], limit)
        return
    *first, last = sorted(dim for dim in gathers if dim)
    # One buffer for all chunks: fresh memory costs more than the copy.
    buffer = source.new_empty((0 if rows is None else min(step, len(result)), *source.shape[1:]))
    for start in range(0, len(result), step):
        part = source[start : start + step]
        if rows is not None:
            chosen = rows[start : start + step]
            part = torch.index_select(source, 0, chosen, out=buffer[: len(chosen)])
        for dim in first:
            part = part.index_select(dim, gathers[dim])
        _select(part, last, gathers[last], result[start : start + step])


def _select(source: Tensor, dim: int, indices: Tensor, result: Tensor) -> None:
    """Gather along one dimension; along the last, torch gathers narrow elements faster than it selects them."""
    if dim == source.dim() - 1 and source.dtype in _NARROW and source.device.type == "cpu":
        torch.gather(source, dim, indices.expand(*source.shape[:-1], -1), out=result)
    else:
        torch.index_select(source, dim, indices, out=result)
