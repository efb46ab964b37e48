"""Fake tensors at a fraction of the cost: what an operator gives for arguments of one form is computed once.

torch's own cache of fake results spends most of its time on its keys. A network runs the same few hundred calls
again and again, so a plain dictionary from the form of the arguments (operator, shapes, strides, dtypes, numbers) to
the form of the results answers nearly all of them. Whatever is not plainly of that kind goes to torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

_CPU = torch.device("cpu")
_DEVICE = torch.ops.prim.device.default
_BATCH_NORM = torch.ops.aten.native_batch_norm.default
_HASHED = frozenset(
    (int, float, bool, str, complex, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format)
)
_MOST = 1 << 16
"""Entries after which the memory starts anew; a forward has hundreds."""


@dataclass(frozen=True, slots=True)
class _Form:
    """A result: a new tensor, a view of the first argument (``offset`` ≥ 0), or the argument at ``same`` itself."""

    shape: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    dtype: torch.dtype = torch.float32
    offset: int = -1
    same: int = -1


@dataclass(frozen=True, slots=True)
class _Forms:
    """The results of a call; ``kind`` is ``list`` or ``tuple`` where there are several, else ``None``."""

    forms: tuple[_Form, ...]
    kind: type | None


class MemoizedFakes(FakeTensorMode):  # type: ignore[no-untyped-call]
    """A fake tensor mode on the CPU that remembers forms. Final; one instance serves one thread.

    Results share storage as torch's do. Tensors that hold known values (``torch.tensor(3)``) and operators that look
    at values are left to torch.
    """

    _memory: dict[tuple[Any, ...], _Forms | None] = {}

    def __init__(self) -> None:
        super().__init__(allow_non_fake_inputs=True)
        template = FakeTensor(self, torch.empty(0, device="meta"), _CPU)
        # Not what goes with a memo: it is read only where there is one, and costs most of a tensor's memory.
        unread = ("_memo_vc", "_memo_epoch", "_nested_int_memo")
        self._fields = {name: value for name, value in vars(template).items() if not name.endswith(unread)}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # torch would wrap every call in a guard against torch.compile, at a third of the cost of the call.
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Answer from memory where the form of the call is known."""
        if func is _DEVICE:
            return _CPU if args[0].fake_device == _CPU else args[0].fake_device
        kwargs = kwargs or {}
        key: list[Any] = [func]
        if not _add(key, args) or (kwargs and not _add_named(key, kwargs)) or _CPU not in key:
            return super().__torch_dispatch__(func, types, args, kwargs)
        known = tuple(key)
        try:
            found = self._memory.get(known, self)
        except TypeError:  # an argument that has no hash
            return super().__torch_dispatch__(func, types, args, kwargs)
        if found is self and func is _BATCH_NORM and not kwargs and (forms := _of_batch_norm(args)):
            found = self._memory[known] = forms
        if found is self:
            result = super().__torch_dispatch__(func, types, args, kwargs)
            if len(self._memory) > _MOST:
                self._memory.clear()
            self._memory[known] = self._learn(func, args, result)
            return result
        if found is None:
            return super().__torch_dispatch__(func, types, args, kwargs)
        assert isinstance(found, _Forms)
        if found.kind is None:
            return self._make(found.forms[0], args)
        return found.kind([self._make(form, args) for form in found.forms])

    def _make(self, form: _Form, args: Sequence[Any]) -> Tensor:
        if form.same >= 0:
            same: Tensor = args[form.same]
            return same
        with torch._C._DisableTorchDispatch():
            empty = torch.empty_strided(form.shape, form.stride, dtype=form.dtype, device="meta")
            if form.offset >= 0:
                storage = args[0].untyped_storage()
                empty.set_(storage, form.offset, form.shape, form.stride)
        # As FakeTensor.__new__ does, without its checks.
        made: Tensor = Tensor._make_subclass(
            FakeTensor, empty, False, dispatch_device=True, device_for_backend_keys=_CPU
        )
        torch._C._set_throw_on_mutable_data_ptr(made)
        vars(made).update(self._fields)
        return made

    def _learn(self, func: OpOverload, args: Sequence[Any], result: Any) -> _Forms | None:
        """Return the form of what a call gave; ``None`` where it cannot be made again from its form."""
        # Decompositions give named tuples (batch norm); who calls the operator gets a plain one.
        kind = list if isinstance(result, list) else tuple if isinstance(result, tuple) else None
        if func.namespace != "aten":
            return None
        results = list(result) if kind else [result]
        forms = []
        for tensor in results:
            if type(tensor) is not FakeTensor or not _is_ordinary(tensor) or tensor.fake_mode is not self:
                return None
            same = next((i for i, arg in enumerate(args) if arg is tensor), -1)
            if same < 0 and (func._schema.is_mutable or (func.is_view and not isinstance(args[0], FakeTensor))):
                return None
            offset = int(tensor.storage_offset()) if func.is_view else -1
            forms.append(_Form(tuple(tensor.shape), tensor.stride(), tensor.dtype, offset, same))
        return _Forms(tuple(forms), kind) if forms else None


def _of_batch_norm(args: Sequence[Any]) -> _Forms | None:
    """Return what a batch norm in eval mode gives on the CPU, ``None`` for what is not plainly that.

    torch computes it through twenty smaller operators, at 7 ms for every new shape: a third of a trace of a ResNet.
    """
    x, _, _, mean, variance, training = args[:6]
    dtype, shape = x.dtype, tuple(x.shape)
    if training or mean is None or variance is None or len(shape) < 2 or not dtype.is_floating_point:
        return None
    if any(t is not None and (t.dtype is not dtype or tuple(t.shape) != shape[1:2]) for t in args[1:5]):
        return None
    stride = [1]
    for size in shape[:0:-1]:
        stride.insert(0, stride[0] * size)
    if 0 in shape or x.stride() != tuple(stride):
        return None
    empty = _Form((0,), (1,), dtype)
    return _Forms((_Form(shape, tuple(stride), dtype), empty, empty), tuple)


def _is_ordinary(tensor: FakeTensor) -> bool:
    plain = tensor.constant is None and tensor.layout is torch.strided and tensor.fake_device == _CPU
    return plain and not (tensor.is_conj() or tensor.is_neg() or tensor.requires_grad or tensor.is_quantized)


def _add_named(key: list[Any], given: Mapping[str, Any]) -> bool:
    key += given
    return _add(key, tuple(given.values()))


def _add(key: list[Any], values: Iterable[Any]) -> bool:
    """Add the form of arguments to a key; say whether a result follows from it. A tensor's begins with its device."""
    for value in values:
        kind = type(value)
        if kind is FakeTensor or isinstance(value, Tensor):
            if not isinstance(value, FakeTensor) or value.constant is not None or value.fake_device != _CPU:
                return False
            if value.layout is not torch.strided or value.is_conj() or value.is_neg():
                return False
            key += (_CPU, value.shape, value.stride(), value.dtype, value.storage_offset())
        elif kind is list or kind is tuple:
            key += (kind, len(value))
            if value and not _add(key, value):
                return False
        elif kind in _HASHED:
            key += (kind, value)
        else:
            return False
    return True
