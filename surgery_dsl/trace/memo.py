"""Fake tensors at a fraction of the cost: what an operator gives for arguments of one form is computed once.

torch's own cache of fake results spends most of its time on its keys. A network runs the same few hundred calls
again and again, so a plain dictionary from the form of the arguments (operator, shapes, strides, dtypes, numbers) to
the form of the results answers nearly all of them. Whatever is not plainly of that kind goes to torch.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from surgery_dsl.trace.dtypes import name_of
from surgery_dsl.trace.forms import Form, Forms, forms_of, in_order

_CPU = torch.device("cpu")
_DEVICE = torch.ops.prim.device.default
_HASHED = frozenset(
    (int, float, bool, str, complex, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format)
)
_PRODUCTS = frozenset(
    getattr(torch.ops.aten, name).default for name in ("mm", "addmm", "bmm", "baddbmm", "mv", "addmv", "convolution")
)
_MOST = 1 << 16
"""Entries after which the memory starts anew; a forward has hundreds."""


class MemoizedFakes(FakeTensorMode):  # type: ignore[no-untyped-call]
    """A fake tensor mode on the CPU that remembers forms. Final; one instance serves one thread.

    Results share storage as torch's do. Tensors that hold known values (``torch.tensor(3)``) and operators that look
    at values are left to torch.
    """

    _memory: dict[tuple[Any, ...], Forms | None] = {}

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
        if found is self and func in _PRODUCTS:
            _of_one_dtype(args)
        if found is self and func is torch.ops.aten.embedding.default:
            _of_integers(args[1])
        if found is self and not kwargs and (forms := forms_of(func, args)):
            found = self._memory[known] = forms
        if found is self:
            result = super().__torch_dispatch__(func, types, args, kwargs)
            if len(self._memory) > _MOST:
                self._memory.clear()
            self._memory[known] = self._learn(func, args, result)
            return result
        if found is None:
            return super().__torch_dispatch__(func, types, args, kwargs)
        assert isinstance(found, Forms)
        if found.kind is None:
            return self._make(found.forms[0], args)
        return found.kind([self._make(form, args) for form in found.forms])

    def empty(self, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
        """Return a fake tensor without gaps, as ``torch.empty`` does at ten times the cost."""
        return self._make(Form(tuple(shape), in_order(shape), dtype), ())

    def _make(self, form: Form, args: Sequence[Any]) -> Tensor:
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

    def _learn(self, func: OpOverload, args: Sequence[Any], result: Any) -> Forms | None:
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
            if same < 0 and not func.is_view and tensor.storage_offset():  # `_unsafe_view` keeps its secret
                return None
            offset = int(tensor.storage_offset()) if func.is_view else -1
            forms.append(Form(tuple(tensor.shape), tensor.stride(), tensor.dtype, offset, same))
        return Forms(tuple(forms), kind) if forms else None


def _of_one_dtype(args: Sequence[Any]) -> None:
    """Refuse a product of unlike dtypes, which torch refuses of tensors that hold values, and not of fake ones."""
    found = list(dict.fromkeys(name_of(value.dtype) for value in args if isinstance(value, Tensor)))
    if len(found) > 1:
        raise RuntimeError(f"expected factors of one dtype, but got {' and '.join(found)}")


def _of_integers(indices: Tensor) -> None:
    """Refuse a look-up of what are no integers, as torch does of tensors, and before 2.12 not of fake ones."""
    if indices.dtype not in (torch.int64, torch.int32):
        raise RuntimeError(f"an embedding is looked up with int64 or int32, not with {str(indices.dtype)[6:]}")


def as_parameter(fake: Tensor, requires_grad: bool) -> nn.Parameter:
    """Let a fake tensor be a parameter, as ``torch.nn.Parameter`` does with a copy of it."""
    made: Any = fake.requires_grad_(requires_grad)
    made._is_param = True
    parameter: nn.Parameter = made
    return parameter


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
