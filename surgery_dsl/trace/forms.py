"""What common operators give for arguments of one form, worked out from torch's documentation.

torch asks a fake tensor's way through decompositions, meta kernels and caches: 0.2 to 7 ms for every new form, and the
forms of a network are hundreds, anew at each size that is tried. For tensors without gaps, in the order of their
dimensions, the answer is plain. Whatever is not that, or would fail, is left to torch: ``None``. ``tests`` hold each
of these to what torch itself gives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

_aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Form:
    """A result: a new tensor, a view of the first argument (``offset`` ≥ 0), or the argument at ``same`` itself."""

    shape: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    dtype: torch.dtype = torch.float32
    offset: int = -1
    same: int = -1


@dataclass(frozen=True, slots=True)
class Forms:
    """The results of a call; ``kind`` is ``list`` or ``tuple`` where there are several, else ``None``."""

    forms: tuple[Form, ...]
    kind: type | None = None


def forms_of(func: Any, args: Sequence[Any]) -> Forms | None:
    """Return what a call without keywords gives; ``None`` where torch is to be asked.

    Args:
        func: An overload of an ATen operator.
        args: Its arguments; tensors stand on the CPU.
    """
    rule = _RULES.get(func)
    return None if rule is None else rule(args)


def in_order(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of a tensor without gaps, its last dimension innermost."""
    stride = [1] * len(shape)
    for i in range(len(shape) - 1, 0, -1):
        stride[i - 1] = stride[i] * shape[i]
    return tuple(stride)


def _plain(tensor: Any, dtype: torch.dtype) -> bool:
    """Say whether an argument is a tensor of real numbers, not empty, without gaps."""
    if not isinstance(tensor, Tensor) or tensor.dtype is not dtype or not dtype.is_floating_point:
        return False
    shape = tuple(tensor.shape)
    return 0 not in shape and tensor.stride() == in_order(shape)


def _new(shape: Sequence[int], dtype: torch.dtype) -> Forms:
    return Forms((Form(tuple(shape), in_order(shape), dtype),))


def _batch_norm(args: Sequence[Any]) -> Forms | None:
    """``native_batch_norm(x, weight, bias, mean, variance, training, …)`` in eval mode."""
    x, _, _, mean, variance, training = args[:6]
    shape = tuple(x.shape)
    if training or mean is None or variance is None or len(shape) < 2 or not _plain(x, x.dtype):
        return None
    if any(t is not None and (t.dtype is not x.dtype or tuple(t.shape) != shape[1:2]) for t in args[1:5]):
        return None
    empty = Form((0,), (1,), x.dtype)
    return Forms((Form(shape, x.stride(), x.dtype), empty, empty), tuple)


def _convolution(args: Sequence[Any]) -> Forms | None:
    """``convolution(x, weight, bias, stride, padding, dilation, transposed, output_padding, groups)``."""
    x, weight, bias, stride, padding, dilation, transposed, _, groups = args
    rank = x.dim() - 2
    if transposed or rank not in (1, 2, 3) or not _plain(x, x.dtype) or not _plain(weight, x.dtype):
        return None
    outer, inner, *kernel = weight.shape
    fits = len(kernel) == rank and x.shape[1] == inner * groups and outer % groups == 0
    if not fits or (bias is not None and (not _plain(bias, x.dtype) or tuple(bias.shape) != (outer,))):
        return None
    steps = [given * rank if len(given) == 1 else given for given in (stride, padding, dilation)]
    if any(len(given) != rank for given in steps) or min(steps[0]) < 1 or min(steps[1]) < 0 or min(steps[2]) < 1:
        return None
    shape = [
        (size + 2 * pad - far * (width - 1) - 1) // step + 1
        for size, width, step, pad, far in zip(x.shape[2:], kernel, *steps, strict=True)
    ]
    return _new((x.shape[0], outer, *shape), x.dtype) if min(shape) > 0 else None


def _pointwise(args: Sequence[Any]) -> Forms | None:
    """What numbers of one dtype and shape, and Python's numbers, give entry by entry."""
    x = args[0]
    if not isinstance(x, Tensor) or not _plain(x, x.dtype):
        return None
    for other in args[1:]:
        if isinstance(other, Tensor):
            if other.shape != x.shape or not _plain(other, x.dtype):
                return None
        elif type(other) not in (int, float, str):
            return None
    return _new(x.shape, x.dtype)


def _in_place(args: Sequence[Any]) -> Forms | None:
    return None if _pointwise(args) is None else Forms((Form(same=0),))


def _mm(args: Sequence[Any]) -> Forms | None:
    """``mm(a, b)``, whatever the strides of its arguments."""
    a, b = args
    if a.dtype is not b.dtype or not a.dtype.is_floating_point or a.dim() != 2 or b.dim() != 2:
        return None
    if a.shape[1] != b.shape[0] or 0 in a.shape or 0 in b.shape:
        return None
    return _new((a.shape[0], b.shape[1]), a.dtype)


def _addmm(args: Sequence[Any]) -> Forms | None:
    """``addmm(bias, a, b)``."""
    if len(args) != 3 or (product := _mm(args[1:])) is None:
        return None
    return product if _plain(args[0], args[1].dtype) and tuple(args[0].shape) == product.forms[0].shape[1:] else None


def _viewed(args: Sequence[Any]) -> tuple[tuple[int, ...], Tensor] | None:
    x, wanted = args
    if 0 in x.shape or x.stride() != in_order(x.shape) or any(type(n) is not int for n in wanted):
        return None
    known = prod(n for n in wanted if n != -1)
    if wanted.count(-1) > 1 or known < 1 or min(wanted, default=1) < -1 or x.numel() % known:
        return None
    shape = tuple(x.numel() // known if n == -1 else n for n in wanted)
    return (shape, x) if prod(shape) == x.numel() else None


def _view(args: Sequence[Any]) -> Forms | None:
    """``view(x, size)``."""
    if (found := _viewed(args)) is None:
        return None
    shape, x = found
    return Forms((Form(shape, in_order(shape), x.dtype, int(x.storage_offset())),))


def _unsafe_view(args: Sequence[Any]) -> Forms | None:
    """``_unsafe_view(x, size)``, of which torch does not say that it shares memory."""
    found = _viewed(args)
    return None if found is None or found[1].storage_offset() else _new(found[0], found[1].dtype)


_RULES: dict[Any, Callable[[Sequence[Any]], Forms | None]] = {
    _aten.native_batch_norm.default: _batch_norm,
    _aten.convolution.default: _convolution,
    _aten.mm.default: _mm,
    _aten.addmm.default: _addmm,
    _aten.view.default: _view,
    _aten._unsafe_view.default: _unsafe_view,
    _aten.add_.Tensor: _in_place,
    **dict.fromkeys(
        (
            *(_aten.add.Tensor, _aten.sub.Tensor, _aten.mul.Tensor, _aten.div.Tensor, _aten.neg.default),
            *(_aten.relu.default, _aten.gelu.default, _aten.silu.default, _aten.sigmoid.default, _aten.tanh.default),
            *(_aten.hardswish.default, _aten.hardsigmoid.default, _aten.exp.default, _aten.rsqrt.default),
        ),
        _pointwise,
    ),
}
